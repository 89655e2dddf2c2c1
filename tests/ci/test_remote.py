"""Restoring data and outputs from a DVC remote, with a real DVC repository of a few small files."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from brain_tumor.ci.facts import (
    push,
    restore,
)
from brain_tumor.data.dvc import DvcError, default_remote
from brain_tumor.data.fetch import fetch
from brain_tumor.errors import UserError
from tests import sections

pytestmark = pytest.mark.slow

NAMES = ("no", "yes")
PHANTOM = sections.phantom(
    seed=1,
    no=2,
    yes=2,
    slices_per_patient=1,
    exact_duplicates=0,
    near_duplicates=0,
    canvas_px=(96, 96),
    tumour_radius_mm=(19.0, 33.0),
    tumour_contrast=(0.9, 1.0),
    noise_fraction=(0.01, 0.03),
    bias_fraction=0.1,
)
DATA = Path("data")


def dvc(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "dvc", *arguments], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A DVC repository with a remote in a folder; the current folder."""
    folder = tmp_path / "project"
    folder.mkdir()
    monkeypatch.chdir(folder)
    subprocess.run(["git", "init", "--quiet"], check=True)
    dvc("init", "--quiet")
    dvc("remote", "add", "--quiet", "--default", "team", str(tmp_path / "remote"))
    return folder


def own_images(folder: Path) -> Path:
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "1.png").write_bytes(name.encode())
    return folder


def forget(repository: Path) -> None:
    """What a fresh clone does not have."""
    shutil.rmtree(repository / "data")
    shutil.rmtree(repository / ".dvc" / "cache", ignore_errors=True)


def test_what_was_pushed_comes_back(repository: Path, tmp_path: Path) -> None:
    fetch(str(own_images(tmp_path / "own")), DATA, PHANTOM, NAMES)
    assert push(DATA).startswith("pushed to team: ")
    forget(repository)
    done = restore(DATA, PHANTOM, NAMES)
    assert done[0].startswith("pulled from team: ")
    assert (DATA / "yes" / "1.png").read_bytes() == b"yes"


def test_without_a_remote_the_phantom_is_made(repository: Path) -> None:
    fetch("phantom", DATA, PHANTOM, NAMES)
    dvc("remote", "remove", "--quiet", "team")
    forget(repository)
    assert default_remote(DATA) is None
    assert push(DATA) == "no DVC remote is set: data and outputs stay on this machine"
    done = restore(DATA, PHANTOM, NAMES)
    assert done == ["no DVC remote is set: nothing to pull", "data made: the phantom"]


def test_remote_that_cannot_be_read_stops_but_for_a_fork(
    repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch("phantom", DATA, PHANTOM, NAMES)
    dvc("remote", "modify", "--quiet", "team", "url", "s3://bucket/dvc")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "")  # as for a fork
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "")
    forget(repository)
    with pytest.raises(DvcError, match="dvc pull"):
        restore(DATA, PHANTOM, NAMES)
    done = restore(DATA, PHANTOM, NAMES, without_access=True)
    assert done[0].startswith("remote team could not be read: ")
    assert done[1] == "data made: the phantom"


def test_own_data_that_are_nowhere_are_an_error(repository: Path, tmp_path: Path) -> None:
    fetch(str(own_images(tmp_path / "own")), DATA, PHANTOM, NAMES)
    forget(repository)
    with pytest.raises(UserError, match=r"data is missing.*could not be pulled"):
        restore(DATA, PHANTOM, NAMES)


def test_data_other_than_data_dvc_are_an_error(repository: Path, tmp_path: Path) -> None:
    fetch(str(own_images(tmp_path / "own")), DATA, PHANTOM, NAMES)
    (DATA / "yes" / "2.png").write_bytes(b"new")
    with pytest.raises(UserError, match=r"not the data that data\.dvc describes"):
        restore(DATA, PHANTOM, NAMES)
