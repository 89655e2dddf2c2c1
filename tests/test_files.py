"""Writes are whole or not there; artefacts of other versions are read, errors say what to do."""

import json
from pathlib import Path

import pytest

from brain_tumor.files import read_artefact, read_json, replacing, write_text
from brain_tumor.model.saved import ModelMeta
from brain_tumor.outputs import Best, OperatingPoint
from brain_tumor.settings import Section
from tests import sections
from tests.report.cards import example_card

_MODEL = ModelMeta(
    head="gap",
    head_block=6,
    fine_tuned_blocks=0,
    size_px=299,
    threshold=0.21,
    initial_weights="imagenet",
    initial_weights_sha256="1" * 64,
    parameters=7,
    seed=0,
)
_CARD = example_card(_MODEL, {"train": {}, "val": {}, "test": {"auroc": {"value": 0.9}}})


def filled(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(text)
    return folder


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "old")
    with replacing(data) as aside:
        filled(aside, "new")
        assert (data / "file").read_text() == "old"
    assert (data / "file").read_text() == "new"
    assert names(tmp_path) == ["data"]


def test_an_error_leaves_what_was_there(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "old")
    with pytest.raises(FileExistsError), replacing(data) as aside:
        filled(aside, "new").mkdir()  # there already
    assert (data / "file").read_text() == "old"
    assert names(tmp_path) == ["data"]


def test_a_folder_that_was_never_written_does_not_cost_the_old_one(tmp_path: Path) -> None:
    data = filled(tmp_path / "data", "old")
    with pytest.raises(FileNotFoundError), replacing(data):
        pass
    assert (data / "file").read_text() == "old"


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    filled(tmp_path / ".data.1.new.partial", "half")
    filled(tmp_path / ".data.1.old.partial", "older")
    filled(tmp_path / "data", "old")
    with replacing(tmp_path / "data") as aside:
        filled(aside, "new")
    assert names(tmp_path) == ["data"]


def test_a_folder_moved_away_by_a_killed_process_comes_back(tmp_path: Path) -> None:
    filled(tmp_path / ".data.1.old.partial", "old")
    with pytest.raises(ValueError, match="stop"), replacing(tmp_path / "data"):
        raise ValueError("stop")
    assert (tmp_path / "data" / "file").read_text() == "old"


@pytest.mark.parametrize("other", ["scan.002.png", "scan.png", "scan[1].png", "scan"])
def test_a_file_another_worker_is_writing_is_left_alone(tmp_path: Path, other: str) -> None:
    with replacing(tmp_path / other) as aside:
        aside.write_text("other")
        write_text(tmp_path / "scan.001.png", "one")
    assert (tmp_path / other).read_text() == "other"


def test_the_suffix_stays_so_that_writers_know_the_format(tmp_path: Path) -> None:
    with replacing(tmp_path / "backbone.weights.h5") as aside:
        assert aside.name.endswith(".weights.h5")
        aside.write_text("")


@pytest.mark.parametrize(
    "artefact",
    [
        _MODEL,
        _CARD,
        _CARD.initial_weights,
        sections.preprocess(),
        Best(study="s", trial=3),
        OperatingPoint(temperature=1.2, threshold=0.3, sensitivity=None, images=9, folds=5),
    ],
    ids=lambda artefact: type(artefact).__name__,
)
def test_an_artefact_of_a_version_with_another_option_is_read(
    artefact: Section, tmp_path: Path
) -> None:
    values = json.loads(artefact.model_dump_json())
    nested = {
        key: value | {"dropped_option": 1} if key in ("model", "data", "calibration") else value
        for key, value in values.items()
    }
    path = tmp_path / "artefact.json"
    path.write_text(json.dumps({**nested, "dropped_option": 1}), encoding="utf-8")
    assert read_artefact(path, type(artefact)) == artefact


def test_an_artefact_is_typed_strictly_and_the_error_says_what_to_do(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    with pytest.raises(ValueError, match=r"best\.json: missing; run `dvc repro tune`"):
        read_artefact(path, Best, "run `dvc repro tune`")
    path.write_text('{"study": 3}', encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"best\.json: not readable; run `dvc repro tune`: study: .*string$"
    ):
        read_artefact(path, Best, "run `dvc repro tune`")
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match=r"best\.json: not readable: Expecting"):
        read_json(path)
