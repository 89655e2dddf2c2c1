"""Two listings compared, whatever they hold."""

from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.dataset.growth.diff import DataDiff, compare, images

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
    made = {path: digest for path, digest in before.items() if path not in gone}
    made |= {new: before[old] for old, new in moved}
    new = {*diff.added, *diff.changed, *diff.other}
    return made | {path: after[path] for path in new if path in after}


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

        left = of_class(tuple(old for old, _ in diff.relabelled))
        came = of_class(tuple(new for _, new in diff.relabelled))
        gain = of_class(diff.added) - of_class(diff.removed) + came - left
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
    assert diff.as_dict() == {
        "added": ["yes/b"],
        "removed": [],
        "relabelled": [{"old": "no/a", "new": "yes/a"}],
        "renamed": [],
        "changed": [],
        "other": [],
        "before": {"no": 1, "yes": 0},
        "after": {"no": 0, "yes": 2},
    }
