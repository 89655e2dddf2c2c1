"""Writes are whole or not there; artefacts of other versions are read, errors say what to do."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from brain_tumor.errors import UserError
from brain_tumor.files import (
    _partial,
    read_artefact,
    read_bytes,
    read_json,
    replacing,
    write_text,
)
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


def test_a_file_does_not_take_the_place_of_a_folder(tmp_path: Path) -> None:
    filled(tmp_path / "data", "old")
    with pytest.raises(IsADirectoryError):
        write_text(tmp_path / "data", "new")
    assert (tmp_path / "data/file").read_text() == "old"
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


def left(path: Path, mark: str, text: str) -> Path:
    """What a process left beside `path`."""
    return filled(path.with_name(_partial(path, mark, "new")), text)


def test_another_process_at_work_is_left_alone_and_a_dead_one_is_cleared(tmp_path: Path) -> None:
    data = tmp_path / "data"
    code = f"""\
import sys
from pathlib import Path
from brain_tumor.files import replacing
with replacing(Path({str(data)!r})) as aside:
    aside.mkdir()
    (aside / "file").write_text("other")
    print("writing", flush=True)
    sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout
        assert other.stdout.readline()
        write_text(data, "this")
        assert len(names(tmp_path)) == 2
        other.kill()
        other.wait()
    write_text(data, "again")
    assert names(tmp_path) == ["data"]


def test_what_another_machine_left_is_cleared_after_a_day(tmp_path: Path) -> None:
    path = tmp_path / "data"
    folder = left(path, "0123abcd-77_88-0123abcd", "other machine")
    write_text(path, "this")
    assert folder.exists()
    os.utime(folder, (0, 0))
    write_text(path, "this")
    assert names(tmp_path) == ["data"]


REPLACE_OFTEN = """\
import sys
from pathlib import Path
from brain_tumor.files import replacing
path, kind, process = Path(sys.argv[1]), *sys.argv[2:]
for turn in range(100):
    with replacing(path) as aside:
        if kind == "folder":
            aside.mkdir()
        file = aside / "file" if kind == "folder" else aside
        file.write_text(f"{process} {turn}")
"""


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_processes_that_replace_one_path_at_once_all_succeed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "data"
    works = [
        subprocess.Popen([sys.executable, "-c", REPLACE_OFTEN, path, kind, str(number)])
        for number in range(3)
    ]
    assert [work.wait() for work in works] == [0, 0, 0]
    assert names(tmp_path) == ["data"]
    content = (path / "file" if kind == "folder" else path).read_text()
    assert content.endswith(" 99")


@pytest.mark.parametrize(
    "name", ["n" * 251 + ".png", "ü" * 125 + ".h5", "." + ".x" * 127, "a.b" * 85]
)
def test_a_name_of_any_length_can_be_written(tmp_path: Path, name: str) -> None:
    assert 253 <= len(os.fsencode(name)) <= 255
    left(tmp_path / name, "1", "killed")
    write_text(tmp_path / name, "text")
    assert names(tmp_path) == [name]


def test_a_link_to_a_folder_is_replaced_and_what_it_leads_to_stays(tmp_path: Path) -> None:
    target = filled(tmp_path / "target", "kept")
    (tmp_path / "data").symlink_to(target)
    with replacing(tmp_path / "data") as aside:
        filled(aside, "new")
    assert (tmp_path / "data/file").read_text() == "new"
    assert (target / "file").read_text() == "kept"


@pytest.fixture
def odd(tmp_path: Path) -> Iterator[dict[str, Path]]:
    """One of everything that a folder may hold in place of a picture."""
    paths = {name: tmp_path / name for name in (
        "link", "broken", "circle", "pipe", "socket", "folder", "folder link", "device link",
        "stored", "annexed", "file",
    )}  # fmt: skip
    paths["file"].write_text("x")
    paths["folder"].mkdir()
    paths["link"].symlink_to(paths["file"])
    paths["broken"].symlink_to("nowhere.png")
    paths["circle"].symlink_to(paths["circle"])
    os.mkfifo(paths["pipe"])
    paths["folder link"].symlink_to(paths["folder"])
    paths["device link"].symlink_to("/dev/zero")
    for name, store in (
        ("stored", "files/md5/0a/" + "b1" * 15),
        ("annexed", ".git/annex/objects/k/k"),
    ):
        (tmp_path / store).parent.mkdir(parents=True)
        (tmp_path / store).write_text("x")
        paths[name].symlink_to(tmp_path / store)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(paths["socket"]))
        yield paths | {"device": Path("/dev/zero")}


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("link", "link to .*file: not followed"),
        ("broken", r"link to a file that does not exist \(nowhere\.png\)"),
        ("circle", "in a circle"),
        ("pipe", "named pipe"),
        ("socket", "socket"),
        ("device", "device"),
        ("device link", "link to /dev/zero: not followed"),
        ("folder", "a folder, no file"),
        ("folder link", "link to a folder: not followed"),
    ],
)
def test_what_is_no_file_is_named_and_not_opened(
    odd: dict[str, Path], name: str, reason: str
) -> None:
    with pytest.raises(UserError, match=reason):
        read_bytes(odd[name])


@pytest.mark.parametrize("name", ["file", "stored", "annexed"])
def test_a_link_into_a_store_of_contents_is_as_good_as_a_file(
    odd: dict[str, Path], name: str
) -> None:
    assert read_bytes(odd[name]) == b"x"


def test_a_disk_that_is_full_names_the_file(tmp_path: Path) -> None:
    with (
        pytest.raises(OSError, match=r"No space left on device.*model\.keras"),
        replacing(tmp_path / "model.keras"),
        Path("/dev/full").open("wb", 0) as full,
    ):
        full.write(b"x")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(13, "no"), RuntimeError()])
def test_an_end_in_the_middle_of_a_swap_loses_no_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    path = filled(tmp_path / "data", "before")

    def end(*_: object) -> None:
        raise error

    def replace() -> None:
        with monkeypatch.context() as patch, replacing(path) as aside:
            filled(aside, "after")
            patch.setattr(Path, "replace", end)  # undone behind the swap

    with pytest.raises(type(error)):
        replace()
    assert (path / "file").read_text() == "before"
    assert names(tmp_path) == ["data"]


def test_two_that_collide_while_one_is_put_back_both_go_through(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "data", "old")
    rename = Path.rename

    def after_another(self: Path, target: Path) -> Path:
        if target == path:  # the other puts its folder there just before this one comes back
            monkeypatch.undo()
            filled(path, "other")
        return rename(self, target)

    def taken(self: Path, target: Path) -> Path:
        raise OSError(errno.ENOTEMPTY, "Directory not empty", str(target))

    with replacing(path) as aside:
        filled(aside, "new")
        monkeypatch.setattr(Path, "rename", after_another)
        monkeypatch.setattr(Path, "replace", taken)
    assert (path / "file").read_text() == "new"
    assert names(tmp_path) == ["data"]


def test_a_folder_that_cannot_be_put_back_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = filled(tmp_path / "data", "old")
    rename = Path.rename

    def refused(self: Path, target: Path) -> Path:
        if self == path:
            return rename(self, target)
        raise PermissionError(errno.EACCES, "Permission denied", str(target))

    def replace() -> None:
        with monkeypatch.context() as patch, replacing(path) as aside:
            filled(aside, "new")
            patch.setattr(Path, "rename", refused)
            patch.setattr(Path, "replace", refused)

    with pytest.raises(PermissionError):
        replace()
    (kept,) = names(tmp_path)
    assert kept.endswith(".old.partial")
    assert (tmp_path / kept / "file").read_text() == "old"
