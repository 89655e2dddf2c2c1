"""The data of git revisions, and where the data stand, under real git and DVC."""

import shutil
import subprocess
from pathlib import Path

import pytest
from tests.dataset.growing import commit, dvc, files, picture, run

from brain_tumor.dataset.fetch.data_dvc import DvcError
from brain_tumor.dataset.growth.listing import (
    ListingError,
    at_revision,
    in_folder,
    on_record,
)
from brain_tumor.dataset.growth.repository import RemoteError, missing_on_remote
from brain_tumor.dataset.growth.since import since
from brain_tumor.dataset.growth.status import status

FOLDERS = ("no", "yes")


def told(repository: Path) -> dict[str, str]:
    """The lines of a status by their first word."""
    lines = status(repository / "data", FOLDERS)
    return {line.split(":")[0].split("/")[-1]: line.split(": ", 1)[1] for line in lines}


def forget(repository: Path) -> None:
    """Leave what a fresh clone has: no cache, and nothing DVC remembers."""
    for folder in (
        repository / ".dvc/cache",
        repository / ".dvc/tmp",
        repository.parents[1] / "site",
    ):
        shutil.rmtree(folder, ignore_errors=True)


def test_listings_agree_with_the_files(repository: Path) -> None:
    data = repository / "data"
    assert in_folder(data).keys() == files(data).keys()
    assert at_revision(data, "HEAD") == in_folder(data) == on_record(data)
    assert since("main", data, FOLDERS).is_empty


def test_a_revision_without_data_has_none(repository: Path) -> None:
    run(repository, "git", "rm", "--quiet", "--cached", "data.dvc")
    run(repository, "git", "commit", "--quiet", "--message", "No data")
    diff = since("HEAD", repository / "data", FOLDERS)
    assert (len(diff.added), diff.before) == (4, {"no": 0, "yes": 0})
    run(repository, "git", "rm", "-r", "--quiet", "--cached", ".dvc")
    run(repository, "git", "commit", "--quiet", "--message", "No DVC")
    assert at_revision(repository / "data", "HEAD") == {}
    assert len(at_revision(repository / "data", "HEAD~2")) == 4


def test_before_the_first_commit_all_is_new(tmp_path: Path) -> None:
    run(tmp_path, "git", "init", "--quiet")
    dvc(tmp_path, "init", "--quiet")
    picture(tmp_path / "data/no/1.png", 1)
    assert since("HEAD", tmp_path / "data", FOLDERS).added == ("no/1.png",)


def test_unknown_revisions_are_named(repository: Path) -> None:
    with pytest.raises(ListingError, match="'v9' is no revision"):
        at_revision(repository / "data", "v9")


def test_without_git_or_dvc_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(DvcError, match="dvc init"):
        at_revision(tmp_path / "data", "HEAD")
    dvc(tmp_path, "init", "--no-scm", "--quiet")
    with pytest.raises(ListingError, match="no git repository"):
        at_revision(tmp_path / "data", "HEAD")


def test_a_missing_folder_is_not_taken_for_an_empty_one(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    with pytest.raises(ListingError, match="brain-tumor data ensure"):
        since("HEAD", repository / "data", FOLDERS)


def test_a_listing_comes_from_the_remote_without_any_image(
    repository: Path, tmp_path: Path
) -> None:
    run(tmp_path / "growing", "git", "clone", "--quiet", "repository", "clone")
    clone = tmp_path / "growing/clone"
    assert at_revision(clone / "data", "HEAD") == in_folder(repository / "data")
    cached = [path for path in (clone / ".dvc/cache").rglob("*") if path.is_file()]
    assert all(path.name.endswith(".dir") for path in cached)


def test_a_listing_that_nobody_has_is_an_error_that_says_where_to_get_it(
    repository: Path, tmp_path: Path
) -> None:
    picture(repository / "data/no/3.png", 3)
    dvc(repository, "add", "--quiet", "data")
    commit(repository, "Never pushed")
    run(tmp_path / "growing", "git", "clone", "--quiet", "repository", "clone")
    clone = tmp_path / "growing/clone"
    with pytest.raises(ListingError, match=r"data\.dvc of HEAD .*remote.*`dvc push`"):
        at_revision(clone / "data", "HEAD")
    assert len(at_revision(clone / "data", "HEAD~1")) == 4


def test_the_folder_may_lie_deeper_than_git_and_be_named_otherwise(tmp_path: Path) -> None:
    project = tmp_path / "git/project"
    picture(project / "sets/brains/no/1.png", 1)
    run(project.parent, "git", "init", "--quiet")
    dvc(project, "init", "--quiet", "--subdir")
    dvc(project, "add", "--quiet", "sets/brains")
    commit(project, "One")
    picture(project / "sets/brains/yes/2.png", 2)
    diff = since("HEAD", project / "sets/brains", FOLDERS)
    assert (diff.added, diff.before) == (("yes/2.png",), {"no": 1, "yes": 0})


def test_what_dvc_ignores_is_not_listed(repository: Path) -> None:
    (repository / ".dvcignore").write_text("*.tmp\n")
    (repository / "data/no/x.tmp").touch()
    assert since("HEAD", repository / "data", FOLDERS).is_empty


def test_status_says_what_is_next_from_new_images_to_a_pushed_set(repository: Path) -> None:
    data = repository / "data"
    assert told(repository) == {
        "data": "2 no, 2 yes",
        "patients": "unknown (no patients.csv names any)",
        "source": "unknown",
        "data.dvc": "describes what is in the folder",
        "git": f"{data}.dvc is committed",
        "remote": "store has the data",
        "next": "`dvc repro` trains on them, if it has not",
    }
    picture(data / "yes/3.png", 3)
    (data / "yes/.DS_Store").touch()
    rows = "no/1.png,a\nno/2.png,a\nyes/1.png,b\nyes/2.png,\nyes/3.png,c\n"
    (data / "patients.csv").write_text(f"path,patient\n{rows}")
    changed = told(repository)
    assert changed["data"] == "2 no, 3 yes"
    assert changed["patients"] == "3 known; 1 of 5 images are of unknown ones"
    assert "(1 added, 2 other files)" in changed["data.dvc"]
    assert "`dvc add" in changed["next"]
    (data / "yes/.DS_Store").unlink()
    dvc(repository, "add", "--quiet", "data")
    assert "git add" in told(repository)["next"]
    commit(repository, "More")
    unpushed = told(repository)
    assert unpushed["remote"] == "store lacks 3 of 7 files"
    assert unpushed["next"] == "`dvc push`"
    dvc(repository, "push", "--quiet")
    assert told(repository)["next"].startswith("`dvc repro`")


def test_status_without_data_without_remote_without_anything(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    missing = told(repository)
    assert missing["data"] == "missing; on record: 2 no, 2 yes"
    assert missing["next"] == "`brain-tumor data ensure`"
    dvc(repository, "remote", "remove", "store")
    assert told(repository)["remote"] == "none is set"
    forget(repository)
    assert told(repository)["data"] == "missing"
    with pytest.raises(ListingError, match=r"default remote \(none is set\)"):
        on_record(repository / "data")
    (repository / "data.dvc").unlink()
    assert "brain-tumor data fetch SOURCE" in told(repository)["next"]
    picture(repository / "data/no/1.png", 1)
    assert told(repository)["next"].startswith("`dvc add")


def test_status_without_the_listing_does_not_guess(repository: Path) -> None:
    forget(repository)
    shutil.rmtree(repository.parent / "store")
    state = told(repository)
    assert "cannot be compared" in state["data.dvc"]
    assert "dvc fetch" in state["next"]
    assert state["remote"] == "store lacks 1 of 1 files"


def test_a_remote_that_cannot_be_asked_is_said(repository: Path) -> None:
    dvc(repository, "remote", "add", "--force", "--quiet", "store", "gs://store")
    with pytest.raises(RemoteError, match="'store' could not be asked"):
        missing_on_remote(repository / "data")
    assert "could not be asked" in told(repository)["remote"]
    forget(repository)
    with pytest.raises(ListingError, match=r"default remote \(.*gs"):
        at_revision(repository / "data", "HEAD")


def test_status_of_a_revision_that_git_does_not_have(repository: Path) -> None:
    subprocess.run(["rm", "-r", ".git"], cwd=repository, check=True)
    dvc(repository, "config", "core.no_scm", "true")
    assert told(repository)["git"] == "there is no git repository"
