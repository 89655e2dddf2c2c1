"""The former recipe beside the present one, on the same outer folds."""

from typing import Any

import pandas as pd

from brain_tumor.evidence.estimates import plain
from brain_tumor.evidence.headline_summary import COMPARED, at_half
from brain_tumor.model.estimate import EvaluateParams
from brain_tumor.model.repeated import evaluate_repeats, paired_difference


def compare_before(
    folds: pd.DataFrame, before: pd.DataFrame, params: EvaluateParams
) -> dict[str, Any]:
    """Figures of both at a threshold of 0.5, and the paired difference.

    Args:
        folds: of the present recipe, see `headline.read_folds`; repeats the other lacks are left
            out.
        before: of the former one, likewise.
        params: section `summary`.

    Raises:
        ValueError: the two do not have the same images in the same outer folds.
    """
    keys = ["repeat", "fold", "path"]
    now = folds[folds["repeat"].isin(set(before["repeat"]))]
    now, then = (at_half(one).sort_values(keys, ignore_index=True) for one in (now, before))
    if not now[keys].equals(then[keys]):
        raise ValueError(
            "the former recipe has other outer folds than the present one; delete "
            "docs/evidence/before and run `make evidence`"
        )
    differences = {name: paired_difference(now, then, name, params) for name in COMPARED}
    return {
        "repeats": int(then["repeat"].nunique()),
        "before": plain(evaluate_repeats(then, params)),
        "after": plain(evaluate_repeats(now, params)),
        "paired": plain(differences),
    }
