"""Errors in params.yaml name the key, what is wrong with it, and the key that may be meant."""

from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brain_tumor import settings
from brain_tumor.settings import Section, Settings, SettingsError

FILE = Path(__file__).parents[1] / "params.yaml"
PARAMS = FILE.read_text(encoding="utf-8")


def error(tmp_path: Path, *changes: tuple[str, str]) -> str:
    """What is said of params.yaml with texts replaced, after the file's name."""
    text = PARAMS
    for old, new in changes:
        assert PARAMS.count(old) == 1
        text = text.replace(old, new)
    path = tmp_path / "params.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(SettingsError) as caught:
        settings.read(path)
    return str(caught.value).removeprefix(f"{path}: ")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "  batch_size: 32", "  batchsize: 32",
            "train.batchsize: unknown key, did you mean 'batch_size'?",
        ),
        (
            "    val: {no: 18, yes: 32}", "    val: {noo: 18, yes: 32}",
            "split.counts.val.noo: unknown key, did you mean 'no'?",
        ),
        (
            "    dropout: {low: 0.0", "    dropout: {lo: 0.0",
            "tune.space.dropout.lo: unknown key, did you mean 'low'?",
        ),
        (
            "  exclude: []", "  exclude: [{pth: no/N1.jpg, reason: x}]",
            "validate.exclude.0.pth: unknown key, did you mean 'path'?",
        ),
        (
            "  batch_size: 32", "  batch_size: 32\n  colour: red",
            "train.colour: unknown key",
        ),
    ],
)  # fmt: skip
def test_a_misspelt_key_is_named_with_the_one_that_is_meant(
    old: str, new: str, message: str, tmp_path: Path
) -> None:
    assert error(tmp_path, (old, new)) == message


def test_a_missing_key_is_named_without_the_whole_section(tmp_path: Path) -> None:
    message = error(tmp_path, ("  batch_size: 32  # images\n", ""))
    assert message == "train.batch_size: missing"


def test_a_misspelt_section_is_named(tmp_path: Path) -> None:
    message = error(tmp_path, ("\ntrain:\n", "\ntrian:\n"))
    assert message == "section 'train' is missing; it has 'trian', is that a misspelling?"


def test_a_section_that_nothing_reads_is_named(tmp_path: Path) -> None:
    message = error(tmp_path, ("\ntrain:\n", "\nextra: {}\ntrain:\n"))
    assert message == "unknown section 'extra'"


def test_a_wrong_value_is_named_with_what_was_received(tmp_path: Path) -> None:
    message = error(tmp_path, ("  batch_size: 32", "  batch_size: many"))
    assert message == "train.batch_size: Input should be a valid integer (received 'many')"


def test_values_that_do_not_fit_together_are_said_without_the_whole_section(
    tmp_path: Path,
) -> None:
    message = error(tmp_path, ("    val: 0.2", "    val: 0.9"))
    assert message == (
        "split: fractions.val + fractions.test must leave some for train, received 1.1"
    )


def test_what_is_wrong_in_all_sections_is_said_at_once(tmp_path: Path) -> None:
    changes = ("  batch_size: 32", "  batch_size: 0"), ("  margin: 0.025 ", "  margin: 2.0 ")
    message = error(tmp_path, *changes)
    assert "train.batch_size: " in message
    assert "; register.margin: " in message


def sections(section: type[Section]) -> Iterator[type[Section]]:
    """A class and those of its nested sections."""
    yield section
    for field in section.model_fields.values():
        nested = settings._section_in(field.annotation)
        if nested:
            yield from sections(nested)


def test_the_code_has_no_defaults() -> None:
    classes: list[Any] = [field.type for field in fields(Settings)]
    for section in (nested for whole in classes for nested in sections(whole)):
        assert all(field.is_required() for field in section.model_fields.values()), section


def test_a_file_that_is_missing_or_no_yaml_is_named(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    with pytest.raises(SettingsError, match=f"^{path}: cannot be read as YAML: "):
        settings.read(path)
    path.write_text("a: [", encoding="utf-8")
    with pytest.raises(SettingsError, match=f"^{path}: cannot be read as YAML: "):
        settings.read(path)


def test_one_section_of_another_file_is_read(tmp_path: Path) -> None:
    path = tmp_path / "other.yaml"
    with path.open("w", encoding="utf-8") as file:
        YAML().dump({"summary": {"seed": 0, "bootstrap_resamples": 30}}, file)
    section = settings.load(path, "summary", settings.EvaluateParams)
    assert section.bootstrap_resamples == 30
