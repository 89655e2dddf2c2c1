"""Which images train, which choose and which judge; groups are never divided."""

import hashlib
import itertools
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from brain_tumor.data.copies import clusters
from brain_tumor.errors import UserError
from brain_tumor.outputs import SPLITS, TEST, TRAIN, VAL
from brain_tumor.settings import LABELS, NEGATIVE, POSITIVE, ClassCounts, SplitParams

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation


class Unit(NamedTuple):
    """Images that stay together.

    Sorting units by (rank, name) gives the fixed order in which splits are filled. `rank` is in
    [0, 1), `no` and `yes` are numbers of images.
    """

    rank: float
    name: str
    no: int
    yes: int


def unit_names(manifest: pd.DataFrame, params: SplitParams) -> list[str]:
    """The unit of each manifest row, named by the smallest path in it.

    With `group_by: none` each image is a unit; else images that share a duplicate group or a known
    patient, as asked, are joined, also through others.
    """
    columns = {"duplicate": "group", "patient": "patient"}
    return list(clusters(manifest, [columns[kin] for kin in params.kinships]))


def rank_units(manifest: pd.DataFrame, names: Sequence[str], params: SplitParams) -> list[Unit]:
    """Rank the units of `unit_names`, sorted.

    A unit's rank is the largest hash of its members' keys. So it does not depend on other units,
    and a unit that gains members, or merges with another, can only rise: from test towards train,
    never back. A key is the patient if units are patients and it is known, so that the rank of a
    patient does not depend on the number of images; else the digest of the file (with its path
    where every image is its own unit, so that twins fall apart as they do in a random split).
    """
    ranks: dict[str, float] = {}
    keys = _keys(manifest, params)
    for name, key in zip(names, keys, strict=True):
        ranks[name] = max(ranks.get(name, 0.0), uniform_hash(f"{params.seed}:{key}"))
    sizes = Counter(zip(names, manifest["label"], strict=True))
    return sorted(
        Unit(rank, name, sizes[name, NEGATIVE], sizes[name, POSITIVE])
        for name, rank in ranks.items()
    )


def uniform_hash(text: str) -> float:
    """The first 52 bits of SHA-256 of `text` as a number in [0, 1): uniform over texts."""
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:13], 16) / 2.0**52


def _keys(manifest: pd.DataFrame, params: SplitParams) -> list[str]:
    if not params.kinships:
        return [f"{row.sha256} {row.path}" for row in manifest.itertuples()]
    if "patient" not in params.kinships:
        return list(manifest["sha256"])
    patients, digests = manifest["patient"], manifest["sha256"]
    return [patient or digest for patient, digest in zip(patients, digests, strict=True)]


def choose(units: Sequence[Unit], no: int, yes: int) -> list[Unit] | None:
    """Take units in the order given until they hold exactly `no` and `yes` images.

    A unit is taken if it fits and the units after it can still make up the rest, so the first
    possible set in the order given is found wherever there is one.

    Returns:
        The units taken, or None if no set of whole units has these counts.
    """
    taken: list[Unit] = []
    while True:
        fitting, left = _take_what_fits(units, no, yes)
        if left[-1] == (0, 0):
            return taken + [units[index] for index in fitting]
        most = _most_of(units, fitting, left)
        if most is None:
            return None
        # The next one fits too, but with it the rest cannot be made up: it is left out.
        taken += [units[index] for index in fitting[:most]]
        (no, yes), units = left[most], units[fitting[most] + 1 :]


def _take_what_fits(
    units: Sequence[Unit], no: int, yes: int
) -> tuple[list[int], list[tuple[int, int]]]:
    """Take every unit that fits: their places, and what is left to take at first and after each."""
    fitting: list[int] = []
    left = [(no, yes)]
    for index, unit in enumerate(units):
        if unit.no <= no and unit.yes <= yes:
            no, yes = no - unit.no, yes - unit.yes
            fitting.append(index)
            left.append((no, yes))
    return fitting, left


def _most_of(units: Sequence[Unit], fitting: list[int], left: list[tuple[int, int]]) -> int | None:
    """How many of `fitting`, from the first on, can be taken so that others make up what is left.

    The more are taken, the less is possible; and the less is left, the sooner it is known. So this
    is looked for from the end on, in growing steps and then between the last two.
    """

    def is_possible(count: int) -> bool:
        after = fitting[count - 1] + 1 if count else 0
        return _can_make(units[after:], *left[count])

    impossible, step = len(fitting), 1
    while not is_possible(possible := max(0, impossible - step)):
        if possible == 0:
            return None
        impossible, step = possible, 2 * step
    between = range(possible + 1, impossible)
    return possible + bisect_left(between, True, key=lambda count: not is_possible(count))


def _can_make(units: Sequence[Unit], no: int, yes: int) -> bool:
    """Whether some of the units hold exactly so many images.

    Bit `n * stride + y` of a number says whether n and y can be made. Units of one size are added
    in lots of 1, 2, 4, ..., which make every number of them.
    """
    stride = 2 * yes + 1  # wide enough that adding a lot never carries into the next row
    wanted, rows = (1 << (yes + 1)) - 1, 1
    while rows <= no:
        wanted |= wanted << (rows * stride)
        rows *= 2
    wanted &= (1 << ((no + 1) * stride)) - 1
    sums, target = 1, no * stride + yes
    for (of_no, of_yes), count in sorted(Counter((unit.no, unit.yes) for unit in units).items()):
        fit = [whole // part for whole, part in ((no, of_no), (yes, of_yes)) if part]
        count, lot = min([count, *fit]), 1
        while count and not sums >> target & 1:
            lot = min(lot, count)
            sums |= sums << (lot * (of_no * stride + of_yes)) & wanted
            count, lot = count - lot, 2 * lot
    return bool(sums >> target & 1)


class SplitError(UserError):
    """The images cannot be divided as asked."""


def split(manifest: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Divide the images of a manifest (columns path, label, sha256, group, patient).

    Deterministic, and independent of the order of rows. What holds when images are added, with the
    same seed and `group_by`:

    - `mode: fractions`: a unit that gains no member keeps its split; one that gains members or
      merges with another keeps it or moves from test to val to train, never back. So no image of
      test or val was ever in train. Sizes are approximate: the number of units in a split is
      binomial, and a unit of k near-duplicates of different bytes is held out more rarely, since
      the highest of k hashes decides.
    - `mode: counts`: sizes are exact; test is filled first, then val. Where every unit is one image
      (`group_by: none`, or no duplicates and patients) a newcomer can only push others from test to
      val and from val to train. With larger units another set of units may be needed to meet the
      counts, and nothing is promised.

    Returns:
        Columns path, label, split (train, val, test), group (the unit); sorted by path.

    Raises:
        SplitError: there are too few images, or no set of units has the counts asked for.
    """
    names = unit_names(manifest, params)
    units = rank_units(manifest, names, params)
    by_unit = _by_fractions(units, params) if params.mode == "fractions" else _fill(units, params)
    splits = [by_unit[name] for name in names]
    result = manifest[["path", "label"]].assign(split=splits, group=names)
    return result.sort_values("path", ignore_index=True)


def required_images(params: SplitParams) -> dict[str, int]:
    """The fewest images of each class with which `split` can succeed."""
    if params.mode == "fractions":
        return dict.fromkeys(LABELS, len(SPLITS))
    train = params.counts.train or ClassCounts(no=1, yes=1)
    parts = (train, params.counts.val, params.counts.test)
    return {NEGATIVE: sum(part.no for part in parts), POSITIVE: sum(part.yes for part in parts)}


def _by_fractions(units: list[Unit], params: SplitParams) -> dict[str, str]:
    test, held_out = params.fractions.test, params.fractions.test + params.fractions.val
    by_unit = {
        unit.name: TEST if unit.rank < test else VAL if unit.rank < held_out else TRAIN
        for unit in units
    }
    for part, label in itertools.product(SPLITS, LABELS):
        if not any(getattr(unit, label) for unit in units if by_unit[unit.name] == part):
            raise SplitError(
                f"split.mode = fractions with split.seed {params.seed} leaves no image of class "
                f"'{label}' in {part} ({len(units)} groups in all): take another split.seed, add "
                "images, or set split.mode to counts"
            )
    return by_unit


def _fill(units: list[Unit], params: SplitParams) -> dict[str, str]:
    by_unit: dict[str, str] = {}
    for part, counts in ((TEST, params.counts.test), (VAL, params.counts.val)):
        free = [unit for unit in units if unit.name not in by_unit]
        chosen = choose(free, counts.no, counts.yes)
        if chosen is None:
            raise SplitError(_unmet(part, counts, free))
        by_unit.update(dict.fromkeys((unit.name for unit in chosen), part))
    rest = [unit for unit in units if unit.name not in by_unit]
    _check_train(rest, params.counts.train)
    return {**by_unit, **{unit.name: TRAIN for unit in rest}}


def _check_train(rest: list[Unit], counts: ClassCounts | None) -> None:
    for label in LABELS:
        images = sum(getattr(unit, label) for unit in rest)
        if images == 0 or (counts and images != getattr(counts, label)):
            wanted = getattr(counts, label) if counts else "at least 1"
            raise SplitError(
                f"split.counts leave {images} images of class '{label}' for train, asked for "
                f"{wanted}: change split.counts, or set split.mode to fractions"
            )


def _unmet(part: str, counts: ClassCounts, free: list[Unit]) -> str:
    each = ((NEGATIVE, counts.no, 0), (POSITIVE, 0, counts.yes))
    missed = [
        f"class '{label}' ({sum(getattr(unit, label) for unit in free)} images left)"
        for label, no, yes in each
        if choose([_of_class(unit, label) for unit in free], no, yes) is None
    ]
    where = " and ".join(missed) or "both classes at once"
    return (
        f"{part} cannot hold exactly {counts.no} no and {counts.yes} yes images: no set of the "
        f"whole groups left does so for {where}; change split.counts, set split.mode to "
        "fractions, or set split.group_by to none"
    )


def _of_class(unit: Unit, label: str) -> Unit:
    return unit._replace(yes=0) if label == NEGATIVE else unit._replace(no=0)


def summarise(table: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, object]:
    """Count images and groups per split, and twins across splits.

    Returns:
        `images`, `no`, `yes` and `groups` of each split, and `twins_in_train`: images of val and of
        test that have a (near-)duplicate in train, 0 unless duplicates may be split.
    """
    duplicates = manifest.set_index("path")["group"].reindex(table["path"]).to_numpy()
    trained = set(duplicates[(table["split"] == TRAIN).to_numpy()])
    twins = pd.Series([group in trained for group in duplicates], index=table.index)
    summary: dict[str, object] = {}
    for part in SPLITS:
        rows = table[table["split"] == part]
        classes = {label: int((rows["label"] == label).sum()) for label in LABELS}
        summary[part] = {"images": len(rows), **classes, "groups": rows["group"].nunique()}
    summary["twins_in_train"] = {
        part: int(twins[table["split"] == part].sum()) for part in SPLITS if part != TRAIN
    }
    return summary


_COLUMN_OF = {"duplicate": "duplicate_group", "patient": "patient"}


def with_manifest(table: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """The table the suite checks: every path of split and manifest, side by side.

    Added columns: `place` (`both`, or the only table the path is in) and, for group, duplicate
    group and patient, `splits_of_...`: the number of splits that hold members of the row's one
    (missing where the row has none).
    """
    facts = manifest[["path", "label", "patient", "group"]].rename(
        columns={"label": "manifest_label", "group": "duplicate_group"}
    )
    both = table.merge(facts, on="path", how="outer", indicator="place")
    both["place"] = both["place"].map(
        {"both": "both", "left_only": "split", "right_only": "manifest"}
    )
    both["place"] = both["place"].astype("str")
    for kin in ("group", *_COLUMN_OF.values()):
        members = both[kin].where(both[kin] != "")
        both[f"splits_of_{kin}"] = both.groupby(members)["split"].transform("nunique")
    return both


def split_expectations(params: SplitParams) -> Sequence["Expectation"]:
    """The suite: nothing lost, nothing twice, no group in two splits, counts as asked."""
    import great_expectations.expectations as gxe

    whole = ["group", *(_COLUMN_OF[kin] for kin in params.kinships)]
    return [
        gxe.ExpectColumnValuesToBeInSet(
            column="place", value_set=["both"], description="no image lost and none made up"
        ),
        gxe.ExpectColumnValuesToBeUnique(column="path", description="no image twice"),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="label", column_B="manifest_label", description="labels are the manifest's"
        ),
        *(
            gxe.ExpectColumnValuesToBeInSet(
                column=f"splits_of_{kin}",
                value_set=[1],
                description=f"no {kin.replace('_', ' ')} in two splits",
            )
            for kin in whole
        ),
        *_count_expectations(params),
    ]


def _count_expectations(params: SplitParams) -> Sequence["Expectation"]:
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    return [
        gxe.ExpectTableRowCountToBeBetween(
            min_value=least,
            max_value=most,
            row_condition=(Column("split") == part) & (Column("label") == label),
            description=f"{least}{'' if most else ' or more'} images of class {label} in {part}",
        )
        for part in SPLITS
        for label in LABELS
        for least, most in [_asked(params, part, label)]
    ]


def _asked(params: SplitParams, part: str, label: str) -> tuple[int, int | None]:
    """The fewest and the most images asked for; None: any number."""
    counts = getattr(params.counts, part) if params.mode == "counts" else None
    return (1, None) if counts is None else (getattr(counts, label), getattr(counts, label))
