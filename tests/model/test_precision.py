"""Number formats: what was asked for, or the fastest the machine multiplies."""

from pathlib import Path
from typing import Any, get_args

import pytest

from brain_tumor.model import precision

CPUINFO = "processor\t: 0\nmodel name\t: some avx512_bf16 name\nflags\t\t: fpu sse2{more}\n\n"


@pytest.mark.parametrize("wanted", get_args(precision.Format))
def test_given_format_is_taken(wanted: Any) -> None:
    assert precision.resolve(wanted) == wanted


@pytest.mark.parametrize(
    ("more", "found"), [("", False), (" avx512_bf16", True), (" amx_bf16 avx512f", True)]
)
def test_bfloat16_is_seen_in_the_flags_alone(tmp_path: Path, more: str, found: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(more=more))
    flags = precision._processor_flags(cpuinfo)
    assert bool(flags & precision._BFLOAT16_FLAGS) is found


def test_system_that_lists_no_flags_has_none(tmp_path: Path) -> None:
    assert precision._processor_flags(tmp_path / "missing") == set()


@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "expected"), [([], "float32"), (["gpu"], "bfloat16")])
def test_automatic_format_follows_the_device(
    gpus: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
    monkeypatch.setattr(precision, "_processor_flags", set)
    assert precision.resolve("auto") == expected
    monkeypatch.setattr(precision, "_processor_flags", lambda: {"avx512_bf16"})
    assert precision.resolve("auto") == "bfloat16"
