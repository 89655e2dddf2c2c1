"""Writes are whole or not there, whatever happens in between."""

from pathlib import Path

import pytest

from brain_tumor.atomic import replacing, write_text


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
