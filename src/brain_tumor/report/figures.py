"""Figures as SVG for `page`: fonts as paths, no date, colours that follow the page's.

Each drawing is the same, byte for byte, for the same figures (see `drawing`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.report.drawing import (
    BLUE,
    INK,
    LINE,
    MUTED,
    ORANGE,
    PALE,
    PAPER,
    drawn,
    new_figure,
)


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot.

    Attributes:
        label: its name; rows of one name stand side by side.
        value: the figure.
        low: lower end of its interval; None: no interval.
        high: upper end.
        series: which of several it is, such as a split; drawn in its own colour.
    """

    label: str
    value: float
    low: float | None = None
    high: float | None = None
    series: str = ""


@drawn
def reliability_svg(table: pd.DataFrame) -> Any:
    """A reliability diagram over a histogram of the predictions.

    Args:
        table: a row per bin: low, high, images, predicted, observed, observed_low, observed_high
            (see `model.calibration.reliability`); bins without images are not drawn.

    Returns:
        SVG.
    """
    table = table[table["images"] > 0]
    figure, (above, below) = new_figure(4.6, 5.2, 4, 1)
    above.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    observed = table["observed"].to_numpy(float)
    ends = table[["observed_low", "observed_high"]].to_numpy(float).T
    errors = np.abs(ends - observed)
    above.errorbar(
        table["predicted"], observed, errors, color=BLUE, fmt="o", ms=5, lw=1.3, capsize=0
    )
    above.set(ylabel="share with a tumour", xlim=(0, 1), ylim=(-0.02, 1.02), aspect="auto")
    above.grid(visible=True)
    widths = table["high"] - table["low"]
    below.bar(table["low"], table["images"], widths, align="edge", color=BLUE, edgecolor=PAPER)
    below.set(xlabel="predicted probability", ylabel="images")
    return figure


@drawn
def confusion_svg(counts: NDArray[np.int64]) -> Any:
    """A confusion matrix with counts and the share of each true class.

    Args:
        counts: (2, 2): rows the truth (no, yes), columns the call.

    Returns:
        SVG.
    """
    figure, axes = new_figure(3.3, 2.7)
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(counts):
        right = row == column
        box = {"facecolor": PALE if right else PAPER, "edgecolor": LINE}
        axes.add_patch(_rectangle(column - 0.5, row - 0.5, **box))
        weight = "bold" if right else "normal"
        axes.text(column, row - 0.08, f"{count}", ha="center", va="center", size=16, weight=weight)
        share = f"{count / total[row, 0]:.0%} of {counts[row].sum()}"
        axes.text(column, row + 0.28, share, ha="center", va="center", size=8, color=MUTED)
    axes.set(xlim=(-0.5, 1.5), ylim=(1.5, -0.5), xlabel="called a tumour", ylabel="has a tumour")
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


@drawn
def intervals_svg(
    rows: Sequence[Interval], quantity: str = "", reference: float | None = None
) -> Any:
    """A forest plot: figures with their intervals, first row on top.

    Args:
        rows: those of one label stand on one line, their series in colours.
        quantity: what the axis measures.
        reference: value of a vertical line, such as no difference.

    Returns:
        SVG.

    Raises:
        ValueError: there are no rows.
    """
    if not rows:
        raise ValueError("a forest plot needs rows; received none")
    labels = list(dict.fromkeys(row.label for row in rows))
    series = list(dict.fromkeys(row.series for row in rows))
    figure, axes = new_figure(5.4, 0.8 + 0.2 * len(labels) * (0.7 + 0.5 * len(series)))
    if reference is not None:
        axes.axvline(reference, color=MUTED, lw=1, ls=(0, (4, 3)))
    for number, name in enumerate(series):
        shift = (number - (len(series) - 1) / 2) * 0.26
        _draw_series([row for row in rows if row.series == name], labels, shift, number, axes)
    axes.set_yticks(range(len(labels)), labels)
    axes.set(ylim=(len(labels) - 0.5, -0.5), xlabel=quantity)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=True, axis="x")
    axes.spines["left"].set_visible(False)
    if series != [""]:
        figure.legend(
            loc="outside upper left", ncols=len(series), borderpad=0.2, columnspacing=1.2,
            handletextpad=0.2,
        )  # fmt: skip
    return figure


def _draw_series(
    rows: Sequence[Interval], labels: Sequence[str], shift: float, number: int, axes: Any
) -> None:
    colour, marker = (BLUE, ORANGE, INK, MUTED)[number % 4], "osD^"[number % 4]
    places = [labels.index(row.label) + shift for row in rows]
    for place, row in zip(places, rows, strict=True):
        if row.low is not None and row.high is not None:
            axes.plot([row.low, row.high], [place, place], color=colour, lw=1.6)
    values = [row.value for row in rows]
    axes.plot(values, places, marker, color=colour, ms=5, label=rows[0].series)


def _rectangle(left: float, top: float, **style: Any) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((left + 0.02, top + 0.02), 0.96, 0.96, **style)
