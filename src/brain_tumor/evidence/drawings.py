"""The drawings of docs/evidence as SVG."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.report.drawing import BLUE, INK, MUTED, ORANGE, new_figure, to_svg
from brain_tumor.report.figures import Interval, intervals_svg


def baselines_forest(summary: Mapping[str, Any], figure: str = "auroc") -> str:
    """A figure of the recipe and the baselines with intervals."""
    found = {"recipe": summary["figures"], **summary["baselines"]}
    rows = [
        Interval(name, one[figure]["value"], one[figure].get("low"), one[figure].get("high"))
        for name, one in found.items()
        if figure in one
    ]
    return intervals_svg(rows, figure.upper(), 0.5)


def accuracy_by_seed(summary: Mapping[str, Any]) -> str:
    """Accuracy of val and test of every seed of the paper track, and what was published."""
    figure, axes = new_figure(6.4, 2.2)
    for height, (split, colour) in enumerate((("test", BLUE), ("val", ORANGE))):
        values = np.array(
            [row["accuracy"] for row in summary["by_seed"] if row["split"] == split], np.float64
        )
        axes.plot(values, height + _stacked(values), "o", color=colour, ms=4, alpha=0.8, mew=0)
        published = summary["published"][split]["accuracy"]
        axes.plot([published] * 2, [height - 0.35, height + 0.35], color=INK, lw=1.4)
        axes.text(published, height + 0.38, "paper", ha="center", size=8, color=MUTED)
    axes.set(ylim=(-0.6, 1.7), xlabel="accuracy, a dot a seed")
    axes.set_yticks([0, 1], ["test", "val"])
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    return to_svg(figure)


def _stacked(values: Any) -> Any:
    """Heights so that equal values stand above each other, around 0."""
    ranks = pd.Series(np.round(values, 3)).groupby(np.round(values, 3)).cumcount().to_numpy()
    return np.where(ranks % 2, 1, -1) * np.ceil(ranks / 2) * 0.07
