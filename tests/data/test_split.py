"""No group in two splits, counts as asked for, and what growth may move."""

import hashlib
import itertools
import time
import tracemalloc
from collections.abc import Sequence

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from brain_tumor.data.split import (
    SplitError,
    Unit,
    choose,
    required_images,
    split,
    summarise,
    uniform_hash,
)
from brain_tumor.outputs import SPLITS, read_split, write_split
from brain_tumor.settings import ClassCounts, Kinship, SplitCounts, SplitFractions, SplitParams
from tests import sections

# label, duplicate group, whether its bytes are those of the group's first image, patient ("": none)
Image = tuple[str, int, bool, str]
THIRDS = SplitFractions(val=0.3, test=0.3)
GROUPINGS: list[tuple[Kinship, ...]] = [("duplicate",), ("patient",), ("duplicate", "patient")]

images = st.tuples(
    st.sampled_from(["no", "yes"]),
    st.integers(0, 30),
    st.booleans(),
    st.sampled_from(["", "", "p1", "p2", "p3"]),
)
quick = settings(deadline=None, max_examples=60)


def manifest_of(drawn: Sequence[Image], singles: int = 40) -> pd.DataFrame:
    """`singles` unrelated images of each class and the drawn ones, as a manifest."""
    rows = []
    for label, number in itertools.product(("no", "yes"), range(singles)):
        path = f"{label}/single{number}.png"
        rows.append((path, label, hashlib.sha256(path.encode()).hexdigest(), path, ""))
    for number, (label, group, same, patient) in enumerate(drawn):
        content = f"group {group}" if same else f"image {number}"
        digest = hashlib.sha256(content.encode()).hexdigest()
        rows.append((f"{label}/{number}.png", label, digest, f"group {group}", patient))
    return pd.DataFrame(rows, columns=["path", "label", "sha256", "group", "patient"])


def split_of(manifest: pd.DataFrame, params: SplitParams) -> dict[str, str]:
    table = split(manifest, params)
    return dict(zip(table["path"], table["split"], strict=True))


def counts_params(
    val: tuple[int, int], test: tuple[int, int], group_by: tuple[Kinship, ...] | None
) -> SplitParams:
    counts = SplitCounts(
        val=ClassCounts(no=val[0], yes=val[1]),
        test=ClassCounts(no=test[0], yes=test[1]),
        train=None,
    )
    return sections.split(mode="counts", counts=counts, group_by=group_by or "none")


some_params = st.builds(
    SplitParams,
    seed=st.integers(0, 1000),
    group_by=st.sampled_from([*GROUPINGS, "none"]),
    mode=st.sampled_from(["fractions", "counts"]),
    fractions=st.just(THIRDS),
    counts=st.just(
        SplitCounts(val=ClassCounts(no=7, yes=8), test=ClassCounts(no=9, yes=6), train=None)
    ),
)
some_fractions = st.builds(
    SplitParams,
    seed=st.integers(0, 1000),
    group_by=st.sampled_from(GROUPINGS),
    mode=st.just("fractions"),
    fractions=st.just(THIRDS),
    counts=st.just(sections.SETTINGS.split.counts),
)


@quick
@given(st.lists(images, max_size=40), some_params)
def test_every_image_is_in_one_split_and_no_group_or_patient_in_two(
    drawn: list[Image], params: SplitParams
) -> None:
    manifest = manifest_of(drawn)
    table = split(manifest, params)
    assert list(table["path"]) == sorted(manifest["path"])
    assert set(table["split"]) == set(SPLITS)
    assert table.groupby("group")["split"].nunique().max() == 1
    joined = table.merge(manifest, on=["path", "label"], suffixes=("", "_duplicate"))
    of_patients = joined[joined["patient"] != ""]
    if "duplicate" in params.kinships:
        assert joined.groupby("group_duplicate")["split"].nunique().max() == 1
    if "patient" in params.kinships and len(of_patients):
        assert of_patients.groupby("patient")["split"].nunique().max() == 1
    if not params.kinships:
        assert list(table["group"]) == list(table["path"])


@quick
@given(st.lists(images, max_size=40), some_params, st.integers(0, 2**32 - 1))
def test_the_order_of_images_and_a_second_run_change_nothing(
    drawn: list[Image], params: SplitParams, order: int
) -> None:
    manifest = manifest_of(drawn)
    shuffled = manifest.sample(frac=1.0, random_state=order)
    assert split(manifest, params).equals(split(shuffled, params))


@quick
@given(
    st.lists(images, max_size=40),
    st.tuples(st.integers(1, 25), st.integers(1, 25)),
    st.tuples(st.integers(1, 25), st.integers(1, 25)),
    st.sampled_from([*GROUPINGS, None]),
)
def test_counts_are_met_exactly(
    drawn: list[Image],
    val: tuple[int, int],
    test: tuple[int, int],
    group_by: tuple[Kinship, ...] | None,
) -> None:
    manifest = manifest_of(drawn, singles=55)
    table = split(manifest, counts_params(val, test, group_by))
    sizes = table.groupby(["split", "label"]).size()
    counts = [(sizes[part, "no"], sizes[part, "yes"]) for part in ("val", "test")]
    assert counts == [val, test]


@quick
@given(st.lists(images, max_size=40), st.lists(images, max_size=20), some_fractions)
def test_fractions_growth_moves_only_what_gains_members_and_only_towards_train(
    old: list[Image], new: list[Image], params: SplitParams
) -> None:
    before = split(manifest_of(old), params)
    after = split(manifest_of([*old, *new]), params).set_index("path")
    towards_train = {"test": 0, "val": 1, "train": 2}
    members = after.reset_index().groupby("group")["path"].apply(set).to_dict()
    for _, unit in before.groupby("group"):
        was = unit["split"].iloc[0]
        now, group = after.loc[unit["path"].iloc[0], ["split", "group"]]
        assert towards_train[now] >= towards_train[was]
        if members[group] == set(unit["path"]):
            assert now == was


@quick
@given(st.lists(st.sampled_from(["p1", "p2", "p3"]), min_size=1, max_size=9), st.integers(0, 1000))
def test_fractions_a_patient_keeps_its_split_however_many_images_it_gains(
    patients: list[str], seed: int
) -> None:
    params = sections.split(seed=seed, fractions=THIRDS)
    drawn: list[Image] = [("no", number, False, who) for number, who in enumerate(patients)]
    few, many = manifest_of(drawn[:1]), manifest_of(drawn)
    assert split_of(many, params)["no/0.png"] == split_of(few, params)["no/0.png"]


@quick
@given(st.integers(0, 25), st.integers(0, 25), st.integers(0, 1000))
def test_counts_growth_of_single_images_never_brings_one_back_from_train(
    no: int, yes: int, seed: int
) -> None:
    params = counts_params((6, 7), (5, 8), None).model_copy(update={"seed": seed})
    new: list[Image] = [("no", n, False, "") for n in range(no)]
    new += [("yes", 100 + n, False, "") for n in range(yes)]
    before, after = split_of(manifest_of([]), params), split_of(manifest_of(new), params)
    towards_train = {"test": 0, "val": 1, "train": 2}
    assert all(towards_train[after[path]] >= towards_train[was] for path, was in before.items())


def paper_manifest() -> pd.DataFrame:
    drawn: list[Image] = [("no", n // 2, True, "") for n in range(98)]
    drawn += [("yes", 100 + n // 2, False, "") for n in range(155)]
    return manifest_of(drawn, singles=0)


PAPER = {
    "train": {"images": 163, "no": 60, "yes": 103},
    "val": {"images": 50, "no": 18, "yes": 32},
    "test": {"images": 40, "no": 20, "yes": 20},
}


@pytest.mark.parametrize("group_by", ["none", ("duplicate",), ("duplicate", "patient")])
def test_the_default_counts_give_the_paper_s_split_of_its_98_and_155_images(
    group_by: tuple[Kinship, ...],
) -> None:
    manifest = paper_manifest()
    params = sections.split(mode="counts", group_by=group_by)
    summary = summarise(split(manifest, params), manifest)
    for part, expected in PAPER.items():
        figures = summary[part]
        assert isinstance(figures, dict)
        assert {key: figures[key] for key in expected} == expected


def test_twins_leak_into_train_only_where_duplicates_may_be_split() -> None:
    manifest = paper_manifest()
    leaky = split(manifest, sections.split(mode="counts", group_by="none"))
    grouped = split(manifest, sections.split(mode="counts"))
    assert summarise(grouped, manifest)["twins_in_train"] == {"val": 0, "test": 0}
    twins = summarise(leaky, manifest)["twins_in_train"]
    assert isinstance(twins, dict)
    # Nearly every image has a twin, and nearly two thirds of all images train.
    assert twins["test"] > 15
    assert twins["val"] > 15


def test_the_ranking_hash_is_pinned_since_another_would_move_every_image() -> None:
    assert uniform_hash("0:abc") == 0.6858403315755375


def test_fractions_are_about_the_fractions_of_groups() -> None:
    manifest = manifest_of([], singles=2000)
    shares = split(manifest, sections.split())["split"].value_counts(normalize=True)
    # Four standard deviations of a binomial share of 4,000 at 0.2 are 0.025.
    assert shares["val"] == pytest.approx(0.2, abs=0.025)
    assert shares["test"] == pytest.approx(0.2, abs=0.025)


def test_another_seed_is_another_split() -> None:
    manifest = manifest_of([])
    assert split_of(manifest, sections.split(seed=0)) != split_of(manifest, sections.split(seed=1))


@pytest.mark.parametrize(
    ("params", "singles", "message"),
    [
        (counts_params((1, 41), (1, 1), None), 40, "val cannot .* class 'yes' .39 images left"),
        (counts_params((1, 1), (50, 1), None), 40, "test cannot .* class 'no' .40 images left"),
        (counts_params((20, 1), (20, 1), None), 40, "leave 0 images of class 'no' for train"),
        (sections.split(), 1, "leaves no image of class .* take another split.seed"),
    ],
)
def test_what_cannot_be_met_is_said(params: SplitParams, singles: int, message: str) -> None:
    with pytest.raises(SplitError, match=message):
        split(manifest_of([], singles=singles), params)


def test_groups_that_never_add_up_are_told_from_a_lack_of_images() -> None:
    drawn: list[Image] = [(label, n // 2, False, "") for label in ("no", "yes") for n in range(20)]
    drawn = [(label, group + 50 * (label == "yes"), same, who) for label, group, same, who in drawn]
    with pytest.raises(SplitError, match=r"3 no and 4 yes .* for class 'no' \(20 images left\);"):
        split(manifest_of(drawn, singles=0), counts_params((2, 2), (3, 4), ("duplicate",)))


def test_train_counts_are_checked_where_they_are_given() -> None:
    counts = sections.replaced(sections.SETTINGS.split.counts, train=ClassCounts(no=60, yes=103))
    manifest = paper_manifest()
    split(manifest, sections.split(mode="counts", counts=counts))
    wrong = sections.replaced(counts, train=ClassCounts(no=60, yes=100))
    with pytest.raises(
        SplitError, match="leave 103 images of class 'yes' for train, asked for 100"
    ):
        split(manifest, sections.split(mode="counts", counts=wrong))


def test_required_images_are_the_fewest_that_can_be_enough() -> None:
    assert required_images(sections.split()) == {"no": 3, "yes": 3}
    assert required_images(sections.split(mode="counts")) == {"no": 39, "yes": 53}


def test_fractions_that_leave_nothing_to_train_are_refused() -> None:
    with pytest.raises(ValidationError, match="must leave some for train"):
        sections.split(fractions=SplitFractions(val=0.5, test=0.5))


def test_a_written_split_reads_back_the_same(tmp_path_factory: pytest.TempPathFactory) -> None:
    table = split(paper_manifest(), sections.split(mode="counts"))
    file = tmp_path_factory.mktemp("split") / "split.csv"
    write_split(table, file)
    assert read_split(file).equals(table.astype("str"))


def test_patients_with_images_of_both_classes_stay_whole_and_counts_are_exact() -> None:
    drawn: list[Image] = [
        ("yes" if slice_ % 2 else "no", 10 * who + slice_, False, f"patient {who}")
        for who in range(20)
        for slice_ in range(2 + who % 4)
    ]
    manifest = manifest_of(drawn, singles=0)
    table = split(manifest, counts_params((6, 5), (5, 5), ("patient",)))
    sizes = table.groupby(["split", "label"]).size()
    assert [sizes["val", "no"], sizes["val", "yes"]] == [6, 5]
    assert table.merge(manifest, on="path").groupby("patient")["split"].nunique().max() == 1


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_units_that_add_up_are_found_exactly_where_there_are_any(
    sizes: list[tuple[int, int]], no: int, yes: int
) -> None:
    units = [Unit(0.0, str(number), *size) for number, size in enumerate(sizes)]
    subsets = [
        subset
        for length in range(len(units) + 1)
        for subset in itertools.combinations(units, length)
        if (sum(unit.no for unit in subset), sum(unit.yes for unit in subset)) == (no, yes)
    ]
    chosen = choose(units, no, yes)
    if not subsets:
        assert chosen is None
    else:
        assert chosen is not None
        assert tuple(chosen) in subsets
        chosen_names = [unit.name for unit in chosen if unit.no + unit.yes]
        first = min([unit.name for unit in subset if unit.no + unit.yes] for subset in subsets)
        assert chosen_names == first


@pytest.mark.parametrize("no", [3001, 3002])
def test_exact_counts_of_many_thousands_are_found_or_refused_at_once(no: int) -> None:
    """Of patients of three `no` or two `yes` slices one has one `no`, and one three `yes`."""
    units = [Unit(0.0, f"{n:05d}", *((3, 0) if n % 2 else (0, 2))) for n in range(30_000)]
    units[29_997] = units[29_997]._replace(no=1)
    units[100] = units[100]._replace(yes=3)  # it fits, but what is left would be odd
    tracemalloc.start()
    start = time.process_time()
    chosen = choose(units, no, 2998)
    seconds, peak = time.process_time() - start, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert seconds < 5
    assert peak < 100e6
    if no == 3002:
        assert chosen is None
    else:
        assert chosen is not None
        names = {unit.name for unit in chosen}
        assert (sum(unit.no for unit in chosen), sum(unit.yes for unit in chosen)) == (no, 2998)
        assert "29997" in names
        assert "00100" not in names
