"""The headline track in figures: the recipe, the baselines, what the figures depend on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.evidence.baselines import NAMES
from brain_tumor.evidence.subgroups import subgroup_rows
from brain_tumor.model import metrics
from brain_tumor.model.calibration import HALF, reliability
from brain_tumor.model.metrics import (
    Plain,
    evaluate_repeats,
    paired_difference,
    plain,
)  # fmt: skip
from brain_tumor.settings import EvaluateParams

Figures = dict[str, Plain]
COMPARED = ("balanced_accuracy", "auroc", "log_loss", "brier")
BY_THRESHOLD = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1",
)  # fmt: skip
# What a baseline cannot have: a constant ranks nothing, and 0 or 1 has no finite log loss.
_RANKING = ("auroc", "auroc_per_fold", "auprc")
_CALIBRATION = (
    "log_loss", "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
_UNDEFINED = {
    "majority": (*_RANKING, "calibration_slope", "calibration_intercept"),
    "pixels_1nn": _CALIBRATION,
}


def summarise_headline(
    folds: pd.DataFrame,
    facts: Sequence[Mapping[str, Any]],
    traits: pd.DataFrame,
    suspects: Sequence[str],
    params: EvaluateParams,
) -> dict[str, Any]:
    """All figures of the track.

    Args:
        folds: see `headline.read_folds`.
        facts: the JSON of each fold.
        traits: what is known of each image, indexed by manifest path (see `subgroups`).
        suspects: paths of images whose label is doubted.
        params: section `summary`.
    """
    half, first = at_half(folds), folds[folds["repeat"] == folds["repeat"].min()]
    baselines = {name: _baseline(half, name, params) for name in NAMES}
    raw = _figures(folds.assign(probability=folds["uncalibrated"]), params)
    best = best_baseline(baselines)
    kept = ~folds["path"].isin(suspects)
    return {
        "images": int(folds["path"].nunique()),
        "clusters": int(folds["cluster"].nunique()),
        "repeats": int(folds["repeat"].nunique()),
        "folds": int(folds["fold"].nunique()),
        "figures": _figures(folds, params),
        "at_half": _called(half, params),
        "uncalibrated": {key: one for key, one in raw.items() if key not in BY_THRESHOLD},
        "by_repeat": _by_repeat(folds),
        "baselines": baselines,
        "best_baseline": best,
        "paired": _paired(half, best, params),
        "without_suspects": {
            "left_out": list(suspects),
            "figures": _figures(folds[kept], params),
            "at_half": _called(half[kept], params),
            "best_baseline": _baseline(half[kept], best, params),
        },
        "reliability": reliability(*_pair(first)).round(6).to_dict("records"),
        "subgroups": subgroup_rows(folds, traits, lambda rows: _figures(rows, params)),
        "chosen": [_choice(one) for one in facts],
        "wall_s": _wall_s(facts),
    }


def at_half(folds: pd.DataFrame) -> pd.DataFrame:
    """The same predictions, called a tumour from 0.5 on, as the baselines' are."""
    return folds.assign(threshold=HALF)


def best_baseline(baselines: Mapping[str, Figures]) -> str:
    """The one with the highest AUROC."""
    return max(baselines, key=lambda name: baselines[name].get("auroc", {"value": 0.0})["value"])


def _called(half: pd.DataFrame, params: EvaluateParams) -> Figures:
    return {key: one for key, one in _figures(half, params).items() if key in BY_THRESHOLD}


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> Figures:
    return plain(evaluate_repeats(rows, params))


def _baseline(half: pd.DataFrame, name: str, params: EvaluateParams) -> Figures:
    found = _figures(half.assign(probability=half[name]), params)
    return {key: value for key, value in found.items() if key not in _UNDEFINED.get(name, ())}


def _paired(half: pd.DataFrame, best: str, params: EvaluateParams) -> Figures:
    theirs = half.assign(probability=half[best])
    undefined = _UNDEFINED.get(best, ())
    return plain(
        {
            figure: paired_difference(half, theirs, figure, params)
            for figure in COMPARED
            if figure not in undefined
        }
    )


def _by_repeat(folds: pd.DataFrame) -> dict[str, list[float]]:
    """What each repeat has on its own: how much the assignment to folds moves a figure."""
    figures: dict[str, Callable[[pd.DataFrame], float]] = {
        "balanced_accuracy": _balanced,
        "auroc": lambda rows: metrics.auroc(*_pair(rows)),
        "log_loss": lambda rows: metrics.log_loss(*_pair(rows)),
    }
    return {
        name: [round(figure(rows), 6) for _, rows in folds.groupby("repeat")]
        for name, figure in figures.items()
    }


def _balanced(rows: pd.DataFrame) -> float:
    called = np.asarray(rows["probability"] >= rows["threshold"], dtype=np.float64)
    return metrics.balanced_accuracy(rows["y"].to_numpy(np.int64), called, HALF)


def _pair(rows: pd.DataFrame) -> tuple[metrics.Labels, metrics.Probabilities]:
    return rows["y"].to_numpy(np.int64), rows["probability"].to_numpy(np.float64)


def _choice(facts: Mapping[str, Any]) -> dict[str, Any]:
    names = ("repeat", "fold", "chosen", "temperature", "threshold", "wall_s")
    return {name: facts[name] for name in names}


def _wall_s(facts: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Seconds of all folds of each repeat."""
    table = pd.DataFrame([{"repeat": one["repeat"], "wall_s": one["wall_s"]} for one in facts])
    per_repeat = table.groupby("repeat")["wall_s"].sum()
    return {str(repeat): round(float(seconds), 1) for repeat, seconds in per_repeat.items()}
