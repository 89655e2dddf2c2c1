"""What systems leave behind is no image, whatever the case of its name, for every command."""

from pathlib import Path, PurePosixPath

import pytest

from brain_tumor.data.compare import images
from brain_tumor.data.fetch import copy_class_folders, find_class_folders
from brain_tumor.data.folder import find_images
from brain_tumor.data.grow import collect
from brain_tumor.data.junk import is_document, is_junk
from brain_tumor.inference.files import expand
from tests import sections
from tests.data.growing import picture

JUNK = [
    *("Thumbs.db", "THUMBS.DB", "ehthumbs.db", "ehthumbs_vista.db", "Desktop.ini", "desktop.INI"),
    *("$RECYCLE.BIN/a.png", "System Volume Information/a.png", "~$notes.docx", "Link.lnk"),
    *("a.png:Zone.Identifier", ".DS_Store", "._a.png", "__MACOSX/._a.png", "Icon\r"),
    *(".Spotlight-V100/a.png", ".Trashes/a.png", ".fseventsd/a", ".AppleDouble/a.png"),
    *(".directory", ".Trash-1000/files/a.png", "lost+found/a.png", "a.png~", ".nfs0001"),
    *("@eaDir/a.png/SYNOPHOTO_THUMB_M.jpg", "@EADIR/a.png", "#recycle/a.png", "@Recycle/a.png"),
    *(".@__thumb/default_a.png", "#snapshot/a.png", "a.png@SynoEAStream", "@tmp/a.png"),
    *("~snapshot/a.png", ".snapshot/a.png", "Network Trash Folder/a.png", "Temporary Items/a.png"),
    *("DICOMDIR", "dicomdir", "AUTORUN.INF", "autorun.exe", "Viewer.EXE", "lib.dll", "viewer.jar"),
    *("RUN.BAT", "icon.ICO", "LOCKFILE", "IHE_PDI/LOGO.png", "viewer.app/Contents/a.png"),
]
DOCUMENTS = ["README.TXT", "README", "INDEX.HTM", "style.css", "LICENSE", "report.PDF", "a.xml"]
IMAGES = ["a.png", "IM000001", "1.2.840.113619.2.55.3", "x.ima", "scan.nii.gz", "a.com.png", "I"]


@pytest.mark.parametrize("name", JUNK)
def test_junk_is_known(name: str) -> None:
    assert any(is_junk(part) for part in PurePosixPath(name).parts)


@pytest.mark.parametrize("name", DOCUMENTS)
def test_documents_are_known(name: str) -> None:
    assert is_document(name)
    assert not is_junk(name)


@pytest.mark.parametrize("name", IMAGES)
def test_an_image_is_neither(name: str) -> None:
    assert not is_junk(name)
    assert not is_document(name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Two images of each class among all that systems leave behind."""
    root = tmp_path / "data"
    for name in ("no", "yes"):
        for path in (*JUNK, *DOCUMENTS, "deep/1.png", "2.png"):
            picture(root / name / "x.png", len(name))
            (root / name / path).parent.mkdir(parents=True, exist_ok=True)
            (root / name / "x.png").rename(root / name / path)
    return root


TAKEN = ["no/2.png", "no/deep/1.png", "yes/2.png", "yes/deep/1.png"]


def test_every_command_takes_the_same_files(data: Path, tmp_path: Path) -> None:
    params = sections.validate(min_side_px=16)
    contents = find_images(data, params)
    assert sorted(path for path, _ in contents.images) == TAKEN
    assert not contents.errors
    listing = {path.relative_to(data).as_posix(): "" for path in data.rglob("*") if path.is_file()}
    assert sorted(images(listing, ["no", "yes"])) == TAKEN
    assert [path.relative_to(data).as_posix() for path in expand([str(data)])] == TAKEN
    incoming = collect(data / "no", "no", params)
    assert sorted(f"no/{path}" for path in incoming.images) == TAKEN[:2]
    assert not incoming.problems
    names = ("no", "yes")
    copied = copy_class_folders(find_class_folders(data, names), tmp_path, names)
    assert copied == {"no": 2, "yes": 2}


def test_what_validation_ignores_it_tells(data: Path) -> None:
    warnings = dict(find_images(data, sections.validate()).warnings)
    assert warnings["no/.DS_Store"] == "hidden file: ignored"
    assert warnings["no/DICOMDIR"] == "left behind by a system: ignored"
    assert warnings["no/@eaDir/"] == "left behind by a system: ignored"
    assert warnings["no/README.TXT"] == "no image by its name: ignored"
