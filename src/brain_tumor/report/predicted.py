"""Drawings of all predictions: each by itself, and what every threshold would make of them."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.report.drawing import BLUE, INK, MUTED, ORANGE, PAPER, drawn, new_figure


@drawn
def roc_svg(y_true: NDArray[np.int64], probability: NDArray[np.float64], threshold: float) -> Any:
    """The receiver operating characteristic with the operating point.

    Args:
        y_true: (N,) 0 or 1; both must occur.
        probability: (N,).
        threshold: from which an image is called a tumour.

    Returns:
        SVG.
    """
    from sklearn.metrics import roc_curve

    false_yes, true_yes, _ = roc_curve(y_true, probability, drop_intermediate=False)
    called = probability >= threshold
    point = (called[y_true == 0].mean(), called[y_true == 1].mean())
    figure, axes = new_figure(4.2, 4.0)
    axes.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    axes.plot(false_yes, true_yes, color=BLUE, lw=1.8)
    axes.plot(*point, "o", color=ORANGE, ms=8, mec=PAPER, label="operating point")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.01, 1), ylim=(0, 1.01))
    axes.set_aspect("equal")
    axes.grid(visible=True)
    axes.legend(loc="lower right")
    return figure


@drawn
def probabilities_svg(
    y_true: NDArray[np.int64], probability: NDArray[np.float64], threshold: float
) -> Any:
    """Every predicted probability by true class, with the threshold.

    Args:
        y_true: (N,) 0 or 1.
        probability: (N,), 0 to 1.
        threshold: from which an image is called a tumour.

    Returns:
        SVG.
    """
    figure, axes = new_figure(5.4, 2.0)
    axes.axvline(threshold, color=INK, lw=1, ls=(0, (4, 3)))
    axes.text(
        threshold, 1.03, "threshold", ha="center", size=8, transform=axes.get_xaxis_transform()
    )
    for value, colour in ((0, BLUE), (1, ORANGE)):
        shown = probability[y_true == value]
        axes.plot(shown, 1 - value + _swarm(shown), "o", color=colour, ms=4, alpha=0.75, mew=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.5), xlabel="predicted probability of a tumour")
    axes.set_yticks([0, 1], ["tumour", "no tumour"])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(visible=True, axis="x")
    return figure


def _swarm(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Places beside the line, so that equal values stand above each other."""
    near = np.round(values, 2)
    rank = pd.Series(near).groupby(near).cumcount().to_numpy()
    most = max(int(rank.max(initial=0)), 1)
    side = np.where(rank % 2, 1, -1) * np.ceil(rank / 2)
    return np.asarray(side * min(0.08, 0.8 / most))
