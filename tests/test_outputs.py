"""Files that stages hand on come back as they were written."""

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path

import pandas as pd
import pytest

from brain_tumor import outputs
from brain_tumor.errors import UserError
from brain_tumor.files import write_json
from brain_tumor.outputs import (
    Artefact,
    Best,
    InitialWeights,
    OperatingPoint,
    Registered,
    TrainingRun,
    read_manifest,
    read_metrics,
    read_split,
    read_table,
    write_split,
    write_table,
)
from tests.damage import DAMAGES, Damage


def test_a_manifest_without_its_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "manifest.csv").write_text("path,label\nno/a.png,no\n")
    with pytest.raises(ValueError, match=r"columns .*'format'.* are missing"):
        read_manifest(tmp_path / "manifest.csv")


def test_a_damaged_table_is_named_with_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "manifest.csv"
    for damaged in (b"", b"path,label\n\xff\xfe,no\n", b'a,b\n"1,2\n'):
        path.write_bytes(damaged)
        with pytest.raises(UserError, match=r"manifest\.csv: not readable; run `dvc repro`"):
            read_manifest(path)


def table() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "path": [f"no/{index}.png" for index in range(20)],
            "source": "no/0.png",
            "label": "no",
            "split": "train",
            "group": "a",
        }
    )


def write_a_table(path: Path) -> None:
    write_table(path, table())


def write_a_split(path: Path) -> None:
    write_split(table(), path)


def write_metrics(path: Path) -> None:
    write_json(path, {"val": {"auroc": {"value": 0.8, "low": 0.7, "high": 0.9}}})


WEIGHTS = InitialWeights(
    requested="random", source="random", sha256="a" * 64, complete_to_block=10, note=""
)
POINT = OperatingPoint(temperature=1.5, threshold=0.4, sensitivity=0.9, images=50, folds=5)
REGISTERED = Registered(
    name="a", version="1", alias=None, run_id="r", digest="d", decision={"reason": "first"}
)
ARTEFACTS: list[Artefact] = [
    WEIGHTS, Best(study="s", trial=1, value=0.3), POINT, TrainingRun(run_id="r"), REGISTERED
]  # fmt: skip
Write = Callable[[Path], object]
Read = Callable[[Path], object]
_TABLES: dict[str, tuple[Write, Read]] = {
    "split.csv": (write_a_split, read_split),
    "records.csv": (write_a_table, lambda path: read_table(path, ("path", "source"))),
    "figures.json": (write_metrics, read_metrics),
}
FILES: Mapping[str, tuple[Write, Read]] = _TABLES | {
    type(artefact).__name__: (artefact.write, type(artefact).read) for artefact in ARTEFACTS
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(("write", "read"), FILES.values(), ids=FILES)
def test_what_is_damaged_is_named_in_a_line_with_what_to_do(
    write: Write, read: Read, damage: Damage, tmp_path: Path
) -> None:
    path = tmp_path / "file.png"
    write(path)
    read(path)
    damage(path)
    with pytest.raises(UserError, match=r"file\.png: .*`dvc (repro|pull)[ `]") as caught:
        read(path)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < len(str(path)) + 600


def test_a_best_trial_of_no_study_is_read(tmp_path: Path) -> None:
    Best().write(tmp_path / "best.json")
    assert Best.read(tmp_path / "best.json") == Best()


def test_weights_that_are_not_those_described_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "backbone.weights.h5"
    path.write_bytes(bytes(range(256)))
    described = WEIGHTS.model_copy(update={"sha256": hashlib.sha256(path.read_bytes()).hexdigest()})
    content = path.read_bytes()
    for damage in DAMAGES.values():
        path.write_bytes(content)
        described.check_file(path)
        damage(path)
        with pytest.raises(UserError, match=r"weights\.h5: .*`dvc repro backbone`"):
            described.check_file(path)


NAMES = [
    *(
        "no/a\rb.png",
        "no/a\nb.png",
        "no/a\r\nb.png",
        'no/"q",.png',
        "no/ lead.png",
        "no/trail .png",
    ),
    *(
        "no/NA",
        "no/null",
        "no/nan",
        "no/'#;|.png",
        "no/\x1b[2J.png",
        "no/a\\b.png",
        "no/\u2028.png",
    ),
    *("no/=1", "no/e\u0301.png", "no/\u00e9.png", "no/" + "n" * 251 + ".png"),
]


def test_a_table_holds_any_name(tmp_path: Path) -> None:
    texts = {"label": "no", "split": "train", "group": "a"}
    table = pd.DataFrame([{"path": name} | texts for name in NAMES])
    outputs.write_split(table, tmp_path / "split.csv")
    assert list(outputs.read_split(tmp_path / "split.csv")["path"]) == NAMES


def test_a_table_may_be_empty_or_hold_numbers_alone() -> None:
    assert outputs.table_text(pd.DataFrame(columns=["path", "label"])) == "path,label\n"
    assert outputs.table_text(pd.DataFrame({"a": [1, 2]})) == "a\n1\n2\n"
    missing = pd.DataFrame({"a": ["x", None], "b": [True, False]})
    assert outputs.table_text(missing) == "a,b\nx,True\n,False\n"
