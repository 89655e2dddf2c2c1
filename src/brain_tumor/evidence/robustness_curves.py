"""A model's figures at every level of degradation, and what is lost by it."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.model import metrics
from brain_tumor.model.metrics import Estimate, paired_difference, plain
from brain_tumor.report.drawings import AS_IS
from brain_tumor.settings import EvaluateParams

FIGURES = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
    "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
SHARES = ("flagged", "aligned")
CHANGES = ("accuracy", "auroc", "brier")


def curves(
    predictions: pd.DataFrame, threshold: float, params: EvaluateParams
) -> list[dict[str, Any]]:
    """Figures of each condition, in order.

    Args:
        predictions: see `robustness.predict_degraded`.
        threshold: probability from which the model calls a tumour.
        params: of the bootstrap over clusters.

    Returns:
        For each condition kind, level, `figures` and, but for `none`, `change`: the figure there
        minus that of the same images as they are; each with value, low and high.
    """
    table = predictions.assign(repeat=0, fold=0, threshold=threshold)
    as_is = table[table["kind"] == AS_IS]
    found = []
    for _, rows in table.groupby(["kind", "level"], sort=False):
        kind, level = str(rows["kind"].iloc[0]), float(rows["level"].iloc[0])
        condition = {"kind": kind, "level": level, "figures": plain(_figures(rows, params))}
        if kind != AS_IS:
            change = {name: paired_difference(rows, as_is, name, params) for name in CHANGES}
            condition["change"] = plain(change)
        found.append(condition)
    return found


def curves_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """The same as a long table: kind, level, figure, value, low, high.

    Changes are named `<figure>_change`.
    """
    rows = [
        {"kind": one["kind"], "level": one["level"], "figure": name} | figure
        for one in found
        for name, figure in _named(one)
    ]
    return pd.DataFrame(rows, columns=["kind", "level", "figure", "value", "low", "high"])


def _named(condition: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    changes = condition.get("change", {}).items()
    return [*condition["figures"].items(), *((f"{name}_change", one) for name, one in changes)]


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> dict[str, Estimate]:
    found = metrics.evaluate(
        rows["y"].to_numpy(np.int64),
        rows["probability"].to_numpy(np.float64),
        rows["cluster"].to_numpy(str),
        float(rows["threshold"].iloc[0]),
        params,
        intervals=True,
    )
    cluster = rows["cluster"].to_numpy(str)
    shares = {name: metrics.rate(rows[name].to_numpy(np.bool_), cluster) for name in SHARES}
    ends = {name: Estimate(one.value, one.low, one.high) for name, one in shares.items() if one}
    return {name: found[name] for name in FIGURES if name in found} | ends
