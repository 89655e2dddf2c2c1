"""Two listings compared, whatever they hold."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.data.compare import DataDiff, compare, images, since, status
from brain_tumor.data.dvc import (
    DvcError,
    ListingError,
    RemoteError,
    at_revision,
    in_folder,
    missing_on_remote,
    on_record,
)
from tests.data.growing import commit, dvc, files, picture, run

FOLDERS = ("no", "yes")
PATHS = st.sampled_from(
    [
        *(f"{folder}/{name}" for folder in FOLDERS for name in ("a", "b", "c", "s/a", "s/b")),
        *("yes/.hidden", "no/Thumbs.db", "masks/yes/a.png", "patients.csv", "maybe/a", "no"),
    ]
)
# Few contents, so that many files have the same bytes.
LISTINGS = st.dictionaries(PATHS, st.sampled_from(["1", "2", "3"]))


def applied(diff: DataDiff, before: dict[str, str], after: dict[str, str]) -> dict[str, str]:
    """What `before` becomes; from `after` only the bytes of what the diff calls new are read."""
    moved = diff.relabelled + diff.renamed
    gone = {*diff.removed, *diff.changed, *diff.other, *(old for old, _ in moved)}
    listing = {path: digest for path, digest in before.items() if path not in gone}
    listing |= {new: before[old] for old, new in moved}
    new = {*diff.added, *diff.changed, *diff.other}
    return listing | {path: after[path] for path in new if path in after}


@given(LISTINGS, LISTINGS)
def test_applying_the_difference_gives_what_is_there_after(
    before: dict[str, str], after: dict[str, str]
) -> None:
    assert applied(compare(before, after, FOLDERS), before, after) == after


@given(LISTINGS)
def test_nothing_differs_from_itself(listing: dict[str, str]) -> None:
    diff = compare(listing, listing, FOLDERS)
    assert diff.is_empty
    assert diff.before == diff.after


@given(LISTINGS, LISTINGS)
def test_different_listings_differ(before: dict[str, str], after: dict[str, str]) -> None:
    assert compare(before, after, FOLDERS).is_empty == (before == after)


@given(LISTINGS, LISTINGS)
def test_looking_back_swaps_everything(before: dict[str, str], after: dict[str, str]) -> None:
    there, back = compare(before, after, FOLDERS), compare(after, before, FOLDERS)
    assert (there.added, there.removed) == (back.removed, back.added)
    assert (there.changed, there.other) == (back.changed, back.other)
    assert (there.before, there.after) == (back.after, back.before)
    for ours, theirs in ((there.relabelled, back.relabelled), (there.renamed, back.renamed)):
        assert set(ours) == {(old, new) for new, old in theirs}


@given(LISTINGS, LISTINGS)
def test_counts_balance_in_each_class(before: dict[str, str], after: dict[str, str]) -> None:
    diff = compare(before, after, FOLDERS)
    for folder in FOLDERS:

        def of_class(paths: tuple[str, ...], folder: str = folder) -> int:
            return sum(path.startswith(f"{folder}/") for path in paths)

        losses = of_class(tuple(old for old, _ in diff.relabelled))
        gains = of_class(tuple(new for _, new in diff.relabelled))
        gain = of_class(diff.added) - of_class(diff.removed) + gains - losses
        assert diff.after[folder] - diff.before[folder] == gain


@given(LISTINGS, LISTINGS)
def test_bytes_that_are_there_before_and_after_are_neither_added_nor_removed(
    before: dict[str, str], after: dict[str, str]
) -> None:
    diff = compare(before, after, FOLDERS)
    old, new = list(images(before, FOLDERS).values()), list(images(after, FOLDERS).values())
    for content in ("1", "2", "3"):
        surplus = new.count(content) - old.count(content)
        fresh = [path for path in (*diff.added, *diff.changed) if after[path] == content]
        stale = [path for path in (*diff.removed, *diff.changed) if before[path] == content]
        assert (len(fresh), len(stale)) == (max(surplus, 0), max(-surplus, 0))


def test_each_kind_of_change_is_told_from_the_others() -> None:
    before = {
        "no/wrong.jpg": "w",
        "no/old.jpg": "o",
        "yes/name.jpg": "n",
        "yes/edited.jpg": "e1",
        "patients.csv": "p1",
    }
    after = {
        "yes/wrong.jpg": "w",
        "yes/new.jpg": "x",
        "yes/another name.jpg": "n",
        "yes/edited.jpg": "e2",
        "patients.csv": "p2",
    }
    assert compare(before, after, FOLDERS) == DataDiff(
        added=("yes/new.jpg",),
        removed=("no/old.jpg",),
        relabelled=(("no/wrong.jpg", "yes/wrong.jpg"),),
        renamed=(("yes/name.jpg", "yes/another name.jpg"),),
        changed=("yes/edited.jpg",),
        other=("patients.csv",),
        before={"no": 2, "yes": 2},
        after={"no": 0, "yes": 4},
    )


def test_labels_swapped_under_the_same_names_are_seen() -> None:
    diff = compare({"no/1": "a", "yes/1": "b"}, {"no/1": "b", "yes/1": "a"}, FOLDERS)
    assert diff.relabelled == (("no/1", "yes/1"), ("yes/1", "no/1"))
    assert not diff.changed


def test_of_copies_the_one_that_kept_its_class_is_no_relabelled_one() -> None:
    before = {"yes/a": "x", "yes/b": "x"}
    diff = compare(before, {"yes/c": "x", "no/b": "x"}, FOLDERS)
    assert diff.renamed == (("yes/a", "yes/c"),)
    assert diff.relabelled == (("yes/b", "no/b"),)
    assert compare(before, {"no/b": "x"}, FOLDERS).removed == ("yes/a",)


def test_a_copy_in_the_other_class_is_new() -> None:
    diff = compare({"yes/a": "x"}, {"yes/a": "x", "no/a": "x"}, FOLDERS)
    assert (diff.added, diff.relabelled) == (("no/a",), ())


def test_as_dict_is_plain() -> None:
    diff = compare({"no/a": "x"}, {"yes/a": "x", "yes/b": "y"}, FOLDERS)
    assert json.loads(json.dumps(diff.as_dict())) == {
        "added": ["yes/b"],
        "removed": [],
        "relabelled": [{"old": "no/a", "new": "yes/a"}],
        "renamed": [],
        "changed": [],
        "other": [],
        "before": {"no": 1, "yes": 0},
        "after": {"no": 0, "yes": 2},
    }


def status_lines(repository: Path) -> dict[str, str]:
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
    assert status_lines(repository) == {
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
    changed = status_lines(repository)
    assert changed["data"] == "2 no, 3 yes"
    assert changed["patients"] == "3 known; 1 of 5 images are of unknown ones"
    assert "(1 added, 2 other files)" in changed["data.dvc"]
    assert "`dvc add" in changed["next"]
    (data / "yes/.DS_Store").unlink()
    dvc(repository, "add", "--quiet", "data")
    assert "git add" in status_lines(repository)["next"]
    commit(repository, "More")
    unpushed = status_lines(repository)
    assert unpushed["remote"] == "store lacks 3 of 7 files"
    assert unpushed["next"] == "`dvc push`"
    dvc(repository, "push", "--quiet")
    assert status_lines(repository)["next"].startswith("`dvc repro`")


def test_status_without_data_without_remote_without_anything(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    missing = status_lines(repository)
    assert missing["data"] == "missing; on record: 2 no, 2 yes"
    assert missing["next"] == "`brain-tumor data ensure`"
    dvc(repository, "remote", "remove", "store")
    assert status_lines(repository)["remote"] == "none is set"
    forget(repository)
    assert status_lines(repository)["data"] == "missing"
    with pytest.raises(ListingError, match=r"default remote \(none is set\)"):
        on_record(repository / "data")
    (repository / "data.dvc").unlink()
    assert "brain-tumor data fetch SOURCE" in status_lines(repository)["next"]
    picture(repository / "data/no/1.png", 1)
    assert status_lines(repository)["next"].startswith("`dvc add")


def test_status_without_the_listing_does_not_guess(repository: Path) -> None:
    forget(repository)
    shutil.rmtree(repository.parent / "store")
    state = status_lines(repository)
    assert "cannot be compared" in state["data.dvc"]
    assert "dvc fetch" in state["next"]
    assert state["remote"] == "store lacks 1 of 1 files"


def test_a_remote_that_cannot_be_asked_is_said(repository: Path) -> None:
    dvc(repository, "remote", "add", "--force", "--quiet", "store", "gs://store")
    with pytest.raises(RemoteError, match="'store' could not be asked"):
        missing_on_remote(repository / "data")
    assert "could not be asked" in status_lines(repository)["remote"]
    forget(repository)
    with pytest.raises(ListingError, match=r"default remote \(.*gs"):
        at_revision(repository / "data", "HEAD")


def test_status_of_a_revision_that_git_does_not_have(repository: Path) -> None:
    subprocess.run(["rm", "-r", ".git"], cwd=repository, check=True)
    dvc(repository, "config", "core.no_scm", "true")
    assert status_lines(repository)["git"] == "there is no git repository"
