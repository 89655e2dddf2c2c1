import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

import pytest

from brain_tumor import settings
from brain_tumor.data import dvc
from brain_tumor.data.dvc import DvcError
from brain_tumor.data.fetch import ensure, fetch
from brain_tumor.data.folder import find_images
from brain_tumor.data.grow import add
from brain_tumor.errors import UserError
from tests import sections
from tests.data.growing import dvc as run_dvc
from tests.data.growing import files, run
from tests.documents import ROOT

PHANTOM = sections.phantom(no=3, yes=3, exact_duplicates=0, near_duplicates=0, canvas_px=(75, 80))
NAMES = ("no", "yes")


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A directory as the Kaggle archive is: every image twice, the second time nested."""
    root = tmp_path / "download"
    for holder in (root, root / "brain_tumor_dataset"):
        for label, count in (("no", 2), ("yes", 3)):
            (holder / label).mkdir(parents=True)
            for index in range(count):
                (holder / label / f"{label} {index}.jpg").write_bytes(f"{label}{index}".encode())
    return root


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    root = tmp_path / "repository"
    root.mkdir()
    run(root, "git", "init", "-q")
    run_dvc(root, "init", "-q")
    return root


def fill(
    source: Path | str, data: Path, class_folders: tuple[str, str] = NAMES, *, force: bool = False
) -> dict[str, int]:
    """Fetch without DVC."""
    with patch.object(dvc, "require_repository"), patch.object(dvc, "add"):
        return fetch(str(source), data, PHANTOM, class_folders, force=force)


def fetch_again(data: Path) -> None:
    fetch("phantom", data, PHANTOM, NAMES, force=True)


def add_again(data: Path) -> None:
    add(data.parents[1], "no", data, sections.validate())


def names(folder: Path) -> list[str]:
    return sorted(files(folder))


def zipped(folder: Path, archive: Path) -> Path:
    with zipfile.ZipFile(archive, "w") as bundle:
        for name in names(folder):
            bundle.write(folder / name, name)
    return archive


def test_nested_copies_are_taken_once(source: Path, tmp_path: Path) -> None:
    assert fill(source, tmp_path / "data") == {"no": 2, "yes": 3}
    assert [name for name in names(tmp_path / "data") if "no" in name] == [
        "no/no 0.jpg",
        "no/no 1.jpg",
    ]


@pytest.mark.parametrize("kind", ["zip", "tar.gz", "tar.xz"])
def test_archives_give_what_the_directory_gives(kind: str, source: Path, tmp_path: Path) -> None:
    archive = tmp_path / f"images.{kind}"
    if kind == "zip":
        zipped(source, archive)
    else:
        with tarfile.open(archive, "w:xz" if kind.endswith("xz") else "w:gz") as tar:
            tar.add(source, "some/where")
    assert fill(archive, tmp_path / "data") == {"no": 2, "yes": 3}
    assert (tmp_path / "data/yes/yes 1.jpg").read_bytes() == b"yes1"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "download", archive.name]


def test_masks_and_patients_come_along_and_junk_does_not(source: Path, tmp_path: Path) -> None:
    (source / "masks/yes").mkdir(parents=True)
    (source / "masks/yes/yes 0.jpg.png").write_bytes(b"mask")
    (source / "patients.csv").write_text("path,patient\n")
    (source / "no/.DS_Store").write_bytes(b"junk")
    (source / "__MACOSX/no").mkdir(parents=True)
    fill(source, tmp_path / "data")
    others = [name for name in names(tmp_path / "data") if not name.endswith(".jpg")]
    assert others == ["masks/yes/yes 0.jpg.png", "patients.csv"]


def test_class_folders_may_have_other_names(source: Path, tmp_path: Path) -> None:
    (source / "no").rename(source / "healthy")
    (source / "yes").rename(source / "tumour")
    assert fill(source, tmp_path / "data", ("healthy", "tumour")) == {"healthy": 2, "tumour": 3}


def test_missing_class_folders_name_what_was_found_and_the_parameters(tmp_path: Path) -> None:
    (tmp_path / "set/glioma").mkdir(parents=True)
    with pytest.raises(UserError, match=r"found glioma; validate\.negative_folder"):
        fill(tmp_path / "set", tmp_path / "data")
    assert not (tmp_path / "data").exists()


def test_rival_class_folders_are_not_guessed_between(source: Path, tmp_path: Path) -> None:
    for name in ("train", "test"):
        shutil.copytree(source / "brain_tumor_dataset", tmp_path / "parts" / name)
    with pytest.raises(UserError, match="several places: test, train"):
        fill(tmp_path / "parts", tmp_path / "data")


def test_an_empty_class_folder_is_refused(source: Path, tmp_path: Path) -> None:
    shutil.rmtree(source / "no")
    (source / "no").mkdir()
    with pytest.raises(UserError, match="'no' is empty"):
        fill(source, tmp_path / "data")


def test_broken_archives_are_refused_and_leave_nothing(source: Path, tmp_path: Path) -> None:
    whole = zipped(source, tmp_path / "whole.zip").read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(b"yes0")] ^= 1
    with tarfile.open(tmp_path / "whole.tar.gz", "w:gz") as tar:
        tar.add(source, "x")
    packed = (tmp_path / "whole.tar.gz").read_bytes()
    broken = {
        "cut.zip": whole[:200],
        "flip.zip": bytes(flipped),
        "cut.tar.gz": packed[:-30],
        "text.zip": b"x",
    }
    for name, content in broken.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name):
            fill(tmp_path / name, tmp_path / "data")
        assert not list(tmp_path.glob("*data*"))
        assert not list(tmp_path.glob(".*"))


@pytest.mark.parametrize("name", ["../evil.txt", "/evil.txt", "C:\\evil.txt", "a/../../evil.txt"])
def test_archives_cannot_write_elsewhere(name: str, source: Path, tmp_path: Path) -> None:
    bad_zip = zipped(source, tmp_path / "bad.zip")
    with zipfile.ZipFile(bad_zip, "a") as bundle:
        bundle.writestr(name, "evil")
    with pytest.raises(UserError, match="leads outside"):
        fill(bad_zip, tmp_path / "data")
    assert not list(tmp_path.rglob("evil.txt"))


def test_tar_links_cannot_lead_outside(source: Path, tmp_path: Path) -> None:
    link = tarfile.TarInfo("no/link.jpg")
    link.type, link.linkname = tarfile.SYMTYPE, "../../../../etc/hostname"
    with tarfile.open(tmp_path / "bad.tar", "w") as tar:
        tar.add(source, ".")
        tar.addfile(link)
    with pytest.raises(UserError, match="leads outside"):
        fill(tmp_path / "bad.tar", tmp_path / "data")


def odd(folder: Path, name: str) -> None:
    """Put something else than a file into a folder."""
    path = folder / name
    match name:
        case "pipe.jpg":
            os.mkfifo(path)
        case "zero.jpg":
            path.symlink_to("/dev/zero")
        case "secret.jpg":
            path.symlink_to("/etc/hostname")
        case "broken.jpg":
            path.symlink_to("nowhere.jpg")
        case "circle.jpg":
            path.symlink_to(path)
        case "linked":
            path.symlink_to("..")
        case "more.zip" | "more.7z":
            path.write_bytes(b"x")


REASONS = {
    "pipe.jpg": "a named pipe",
    "zero.jpg": "link to /dev/zero: not followed",
    "secret.jpg": "link to /etc/hostname: not followed",
    "broken.jpg": "link to a file that does not exist",
    "circle.jpg": "in a circle",
    "linked": "/: link to a folder: not followed",
    "more.zip": "an archive: unpack it first",
    "more.7z": "an archive: unpack it first",
}


@pytest.mark.parametrize("name", REASONS)
@pytest.mark.parametrize("folder", ["no", "masks"])
def test_what_is_no_file_in_a_folder_is_named_and_nothing_is_fetched(
    source: Path, tmp_path: Path, name: str, folder: str
) -> None:
    (source / "masks").mkdir()
    odd(source / folder, name)
    with pytest.raises(UserError) as error:
        fill(source, tmp_path / "data")
    message = str(error.value)
    assert f"{folder}/{name}" in message
    assert REASONS[name] in message
    assert message.startswith(f"{source}: nothing was fetched: ")
    assert message.isprintable()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["download"]


@pytest.mark.parametrize("name", ["pipe.jpg", "zero.jpg", "secret.jpg", "broken.jpg"])
def test_before_dvc_opens_it_what_is_no_file_is_named(source: Path, name: str) -> None:
    odd(source / "no", name)
    with pytest.raises(UserError, match=rf"no/{name}: .*{REASONS[name]}"):
        ensure(source, PHANTOM, NAMES)


def test_a_linked_class_folder_is_named(source: Path, tmp_path: Path) -> None:
    (source / "no").rename(tmp_path / "elsewhere")
    (source / "no").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"no/: link to a folder"):
        fill(source, tmp_path / "data")


def test_an_archive_in_an_archive_is_named(source: Path, tmp_path: Path) -> None:
    (tmp_path / "outer").mkdir()
    zipped(source, tmp_path / "outer/MRI images.zip")
    outer = zipped(tmp_path / "outer", tmp_path / "outer.zip")
    with pytest.raises(UserError, match=r"outer\.zip: .* the archive MRI images\.zip: unpack and"):
        fill(outer, tmp_path / "data")


@pytest.mark.parametrize("name", ["pipe.jpg", "/dev/zero"])
def test_a_source_that_is_no_file_is_not_opened(tmp_path: Path, name: str) -> None:
    if name == "pipe.jpg":
        os.mkfifo(tmp_path / name)
    with pytest.raises(UserError, match=r"(named pipe|device).*give a directory or an archive"):
        fill(tmp_path / name, tmp_path / "data")


@pytest.mark.slow
def test_what_a_killed_run_left_is_cleared_by_the_next(source: Path, tmp_path: Path) -> None:
    """Killed while it unpacks, and while it copies."""
    archive = zipped(source, tmp_path / "images.zip")
    place = "brain_tumor.data.fetch"
    for function in ("copy_class_folders", "find_class_folders"):
        code = f"""\
import os, signal
from pathlib import Path
from unittest.mock import patch
from tests.data.test_fetch import fill
with patch("{place}.{function}", lambda *_: os.kill(os.getpid(), signal.SIGKILL)):
    fill({str(archive)!r}, Path({str(tmp_path / "data")!r}))
"""
        done = subprocess.run([sys.executable, "-c", code], check=False)
        assert done.returncode == -signal.SIGKILL
    assert len([path for path in tmp_path.iterdir() if "partial" in path.name]) >= 2
    fill(archive, tmp_path / "data")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "download", "images.zip"]


@pytest.mark.parametrize("command", [fetch_again, add_again, dvc.on_record, dvc.in_folder])
def test_a_linked_data_folder_is_one_true_sentence(
    tmp_path: Path, command: Callable[[Path], object]
) -> None:
    (tmp_path / "repository/.dvc").mkdir(parents=True)
    (tmp_path / "disk/data/no").mkdir(parents=True)
    data = tmp_path / "repository/data"
    data.symlink_to(tmp_path / "disk/data")
    with pytest.raises(DvcError, match=r"data is a link .*`dvc cache dir .*cache\.type symlink"):
        command(data)


@pytest.mark.slow
def test_what_that_sentence_says_keeps_the_bytes_on_the_other_disk(
    repository: Path, tmp_path: Path
) -> None:
    disk = tmp_path / "disk"
    fill("phantom", disk / "data")
    run_dvc(repository, "cache", "dir", str(disk / "dvc-cache"))
    run_dvc(repository, "config", "cache.type", "symlink")
    fetch(str(disk / "data"), repository / "data", PHANTOM, NAMES)
    kept = [path for path in (repository / "data").rglob("*.png") if path.is_symlink()]
    assert len(kept) == len(list((disk / "data").rglob("*.png")))
    contents = find_images(repository / "data", sections.validate())
    assert (len(contents.images), contents.errors) == (6, [])


@pytest.mark.slow
def test_dvc_says_in_its_own_words_why_it_failed(repository: Path) -> None:
    data = repository / "data"
    data.mkdir()
    (repository / "dvc.yaml").write_text("stages: {a: {cmd: echo, outs: [data]}}")
    with pytest.raises(DvcError, match=r"`dvc add data` failed in repository: .*overlap") as error:
        dvc.add(data, {})
    assert "ERROR" not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["a: [", "- 1", "text", "meta: 3"])
def test_a_damaged_data_dvc_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "data.dvc").write_text(text)
    with pytest.raises(DvcError, match=r"data\.dvc: not as DVC writes it: `git checkout"):
        dvc.read_meta(tmp_path / "data")


def test_existing_data_are_kept_unless_forced(source: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (data / "mine.txt").write_text("precious")
    with pytest.raises(UserError, match="--force"):
        fill(source, data)
    with pytest.raises(UserError):
        fill(source, data, ("a", "b"), force=True)
    assert names(data) == ["mine.txt"]
    fill(source, data, force=True)
    assert len(names(data)) == 5


def test_a_source_inside_the_data_folder_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="lies in"):
        fill(source, source, force=True)
    assert len(names(source)) == 10


@pytest.mark.parametrize("name", ["nowhere", "kaggle:nonsense"])
def test_unknown_sources_are_named(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=name):
        fill(name, tmp_path / "data")


def test_kaggle_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kagglehub", None)
    with pytest.raises(UserError, match=r"pip install 'brain-tumor\[kaggle\]'"):
        fill("kaggle:owner/name", tmp_path / "data")


def test_without_a_dvc_repository_nothing_is_made(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DvcError, match="git init && dvc init"):
        fetch(str(source), tmp_path / "data", PHANTOM, NAMES)
    assert not (tmp_path / "data").exists()


@pytest.mark.slow
def test_fetching_the_phantom_again_leaves_data_dvc_as_it_is(repository: Path) -> None:
    data = repository / "data"
    fetch("phantom", data, PHANTOM, NAMES)
    first = (repository / "data.dvc").read_bytes()
    assert dvc.read_meta(data) == {
        "source": "phantom",
        "phantom": PHANTOM.model_dump(mode="json"),
    }
    fetch("phantom", data, PHANTOM, NAMES, force=True)
    assert (repository / "data.dvc").read_bytes() == first
    shutil.rmtree(data)
    shutil.rmtree(repository / ".dvc/cache")
    assert ensure(data, PHANTOM, NAMES).endswith("the phantom")
    assert (repository / "data.dvc").read_bytes() == first
    assert ensure(data, PHANTOM, NAMES).endswith("is there")


@pytest.mark.slow
def test_a_fresh_clone_of_this_repository_gets_its_data_back(repository: Path) -> None:
    """`make repro` begins with it: data.dvc must name every parameter that this code draws by."""
    data = repository / "data"
    shutil.copy(ROOT / "data.dvc", repository)
    if dvc.read_meta(data)["source"] != "phantom":
        pytest.skip("data.dvc is of other data than the phantom")
    assert ensure(data, settings.read(ROOT / "params.yaml").phantom, NAMES).endswith("the phantom")
    assert (repository / "data.dvc").read_bytes() == (ROOT / "data.dvc").read_bytes()


@pytest.mark.slow
def test_a_phantom_other_than_the_recorded_one_is_not_passed_off_as_it(repository: Path) -> None:
    data = repository / "data"
    fetch("phantom", data, PHANTOM, NAMES)
    pointer = repository / "data.dvc"
    other = re.sub(
        r"md5: \w+", "md5: 0123456789abcdef0123456789abcdef", pointer.read_text(), count=1
    )
    pointer.write_text(other)
    shutil.rmtree(data)
    with pytest.raises(UserError, match=r"source: phantom.*could not be pulled"):
        ensure(data, PHANTOM, NAMES)
    assert pointer.read_text() == other
    assert not data.exists()


@pytest.mark.slow
def test_a_phantom_of_an_older_version_is_pulled_and_not_made_anew(repository: Path) -> None:
    data = repository / "data"
    fetch("phantom", data, PHANTOM, NAMES)
    pointer = repository / "data.dvc"
    older = re.sub(r"  +planes:\n( +(axial|coronal|sagittal): [\d.]+\n)+", "", pointer.read_text())
    assert older != pointer.read_text()
    pointer.write_text(older)
    shutil.rmtree(data)
    assert ensure(data, PHANTOM, NAMES).endswith("pulled")


@pytest.mark.slow
def test_an_archive_is_on_record_without_a_path_and_is_pulled(
    source: Path, repository: Path, tmp_path: Path
) -> None:
    data = repository / "data"
    archive = zipped(source, tmp_path / "images.zip")
    fetch(str(archive), data, PHANTOM, NAMES)
    meta = dvc.read_meta(data)
    assert (meta["source"], meta["name"], meta["files"]) == ("archive", "images.zip", 5)
    assert str(tmp_path) not in (repository / "data.dvc").read_text()
    shutil.rmtree(data)
    cache = (repository / ".dvc/cache").rename(tmp_path / "cache")
    with pytest.raises(UserError, match=r"source: archive.*dvc remote add"):
        ensure(data, PHANTOM, NAMES)
    assert not data.exists()
    shutil.rmtree(repository / ".dvc/cache", ignore_errors=True)
    cache.rename(repository / ".dvc/cache")
    run_dvc(repository, "remote", "add", "-d", "store", str(tmp_path / "store"))
    run_dvc(repository, "push", "-q")
    shutil.rmtree(repository / ".dvc/cache")
    assert ensure(data, PHANTOM, NAMES).endswith("pulled")
    assert len(names(data)) == 5
