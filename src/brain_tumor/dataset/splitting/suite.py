"""What is expected of a split, checked on the result alone, as a Great Expectations suite."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from brain_tumor.outputs import SPLITS
from brain_tumor.settings import LABELS, SplitParams

if TYPE_CHECKING:
    from great_expectations.expectations import Expectation

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
        known = both[kin].where(both[kin] != "")
        both[f"splits_of_{kin}"] = both.groupby(known)["split"].transform("nunique")
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
    asked = getattr(params.counts, part) if params.mode == "counts" else None
    return (1, None) if asked is None else (getattr(asked, label), getattr(asked, label))
