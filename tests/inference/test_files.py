"""Paths, folders and patterns become files; a file that kills its reader is only an error."""

import os
from functools import partial
from pathlib import Path

import pytest

from brain_tumor.imaging.read import Content, opened, read_each
from brain_tumor.inference.classifier import Prepared
from brain_tumor.inference.files import _prepared, expand
from tests import sections


def touch(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")


def test_folders_are_searched_and_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    touch(tmp_path, "b.png", "a/IM0001", "a/.hidden/c.png", "patients.csv", "a/DICOMDIR", "x.JPG")
    names = [path.relative_to(tmp_path).as_posix() for path in expand([str(tmp_path)])]
    assert names == ["a/IM0001", "b.png", "x.JPG"]


def test_what_is_named_is_taken_whatever_its_ending_and_once(tmp_path: Path) -> None:
    touch(tmp_path, "table.csv", "a [1].png")
    texts = [str(tmp_path / name) for name in ("table.csv", "a [1].png", "missing.png")]
    assert expand([*texts, *texts]) == [Path(path) for path in texts]


def test_patterns_are_sorted_and_may_match_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, "s2/b.png", "s1/a.png", "other/c.png")
    monkeypatch.chdir(tmp_path)
    assert expand(["s*"]) == [Path("s1/a.png"), Path("s2/b.png")]
    assert expand(["*/?.png"]) == [Path("other/c.png"), Path("s1/a.png"), Path("s2/b.png")]


def fatal(content: Content) -> list[Prepared] | str:
    """Stands for a decoder in C that aborts."""
    data = opened(content)
    if b"bad" in data:
        os._exit(1)
    return data.decode()


@pytest.mark.slow
def test_a_file_that_ends_its_process_does_not_end_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "2")
    paths = [tmp_path / f"{number}.dcm" for number in range(10)]
    for path in paths:
        path.write_text("bad" if path.name == "4.dcm" else path.name)
    results = list(read_each(fatal, paths, "read"))
    assert "ended the process" in str(results[4])
    assert [result for result in results if result != results[4]] == [
        path.name for path in paths if path.name != "4.dcm"
    ]


def test_a_lone_dicom_file_does_not_end_the_command(tmp_path: Path) -> None:
    path = tmp_path / "4.dcm"
    path.write_bytes(b"\0" * 128 + b"DICM bad")
    assert "ended the process" in str(list(read_each(fatal, [path], "read")))


def test_a_folder_is_followed_where_it_is_named_and_links_in_it_have_their_row(
    tmp_path: Path,
) -> None:
    touch(tmp_path / "scans", "a.png")
    (tmp_path / "linked").symlink_to(tmp_path / "scans")
    (tmp_path / "scans" / "loop").symlink_to(tmp_path / "scans")
    (tmp_path / "scans" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    names = [path.name for path in expand([str(tmp_path / "linked")])]
    assert names == ["a.png", "gone.png", "loop"]


def test_pipes_devices_and_links_are_named_and_never_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.png")
    touch(tmp_path / "elsewhere", "secret.png")
    (tmp_path / "link.png").symlink_to(tmp_path / "elsewhere/secret.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "folder").symlink_to(tmp_path / "elsewhere")
    texts = [str(tmp_path / name) for name in ("pipe.png", "link.png", "zero.png")]
    [folder] = [path for path in expand([str(tmp_path)]) if path.name == "folder"]
    files = [*expand(texts), folder, Path("/dev/zero")]
    reasons = list(read_each(partial(_prepared, sections.preprocess(), 1), files, "read"))
    assert [str(reason).partition(":")[0] for reason in reasons] == [
        "a named pipe (FIFO), no file",
        f"link to {tmp_path}/elsewhere/secret.png",
        "link to /dev/zero",
        "link to a folder",
        "a device, no file",
    ]


def test_a_name_that_is_too_long_is_kept_for_its_own_row() -> None:
    assert expand(["x" * 5000]) == [Path("x" * 5000)]
