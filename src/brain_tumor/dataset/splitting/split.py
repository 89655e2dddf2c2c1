"""Every image to train, val or test, by whole units."""

import itertools

import pandas as pd

from brain_tumor.dataset.splitting.fill import choose
from brain_tumor.dataset.splitting.units import Unit, rank_units, unit_names
from brain_tumor.outputs import SPLITS, TEST, TRAIN, VAL
from brain_tumor.settings import LABELS, NEGATIVE, POSITIVE, ClassCounts, SplitParams


class SplitError(ValueError):
    """The images cannot be divided as asked."""


def split(manifest: pd.DataFrame, params: SplitParams) -> pd.DataFrame:
    """Divide the images of a manifest.

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

    Args:
        manifest: columns path, label, sha256, group, patient.
        params: how they are divided.

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
    for part, asked in ((TEST, params.counts.test), (VAL, params.counts.val)):
        free = [unit for unit in units if unit.name not in by_unit]
        taken = choose(free, asked.no, asked.yes)
        if taken is None:
            raise SplitError(_unmet(part, asked, free))
        by_unit.update(dict.fromkeys((unit.name for unit in taken), part))
    rest = [unit for unit in units if unit.name not in by_unit]
    _check_train(rest, params.counts.train)
    return {**by_unit, **{unit.name: TRAIN for unit in rest}}


def _check_train(rest: list[Unit], asked: ClassCounts | None) -> None:
    for label in LABELS:
        left = sum(getattr(unit, label) for unit in rest)
        if left == 0 or (asked and left != getattr(asked, label)):
            wanted = getattr(asked, label) if asked else "at least 1"
            raise SplitError(
                f"split.counts leave {left} images of class '{label}' for train, asked for "
                f"{wanted}: change split.counts, or set split.mode to fractions"
            )


def _unmet(part: str, asked: ClassCounts, free: list[Unit]) -> str:
    each = ((NEGATIVE, asked.no, 0), (POSITIVE, 0, asked.yes))
    missed = [
        f"class '{label}' ({sum(getattr(unit, label) for unit in free)} images left)"
        for label, no, yes in each
        if choose([_of_class(unit, label) for unit in free], no, yes) is None
    ]
    where = " and ".join(missed) or "both classes at once"
    return (
        f"{part} cannot hold exactly {asked.no} no and {asked.yes} yes images: no set of the whole "
        f"groups left does so for {where}; change split.counts, set split.mode to fractions, or "
        "set split.group_by to none"
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
