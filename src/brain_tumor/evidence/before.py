"""The former recipe beside the present one, on the same outer folds."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from brain_tumor.evidence.headline_summary import COMPARED, at_half
from brain_tumor.evidence.page import figure_label, table
from brain_tumor.figure_text import cell
from brain_tumor.model.metrics import EvaluateParams, evaluate_repeats, paired_difference, plain

_SHOWN = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
    "calibration_slope", "ece", "ece_floor",
)  # fmt: skip


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


def before_section(found: Mapping[str, Any]) -> str:
    """The comparison as Markdown.

    Args:
        found: see `compare_before`.
    """
    rows = [
        [
            figure_label(name),
            cell(found["before"].get(name)),
            cell(found["after"].get(name)),
            cell(found["paired"].get(name), 3),
        ]
        for name in _SHOWN
    ]
    return (
        "## Before and after\n\n"
        f"{table(['figure', 'before', 'after', 'after minus before'], rows)}\n\n"
        "The former recipe (section `before` of evidence/params.yaml) and the present one on the "
        f"same outer folds of {found['repeats']} repeat, threshold 0.5. "
        f"{_verdict(found['paired'])} Why it changed: [decisions.md](decisions.md). A dash: not "
        "compared, or not defined."
    )


def _verdict(paired: Mapping[str, Mapping[str, float]]) -> str:
    shown = [
        figure_label(name)
        for name, one in paired.items()
        if "low" in one and (one["low"] > 0 or one["high"] < 0)
    ]
    if shown:
        return f"The interval excludes 0 for {', '.join(shown)}."
    return "Every interval of a difference holds 0: no change is shown."
