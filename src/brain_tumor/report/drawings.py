"""Drawings, returned as SVG: fonts as paths, no date, colours the page can change.

Each is the same, byte for byte, for the same figures. Colours are written as CSS variables with a
fallback, so that a page can show a drawing dark and a file on its own still has colours.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import wraps
from io import StringIO
from typing import Any, Final, ParamSpec

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.figure_text import SPLIT_NAMES, figure_name

Arguments = ParamSpec("Arguments")

AS_IS: Final = "none"  # kind of the images as they are
_DRAWN = ("accuracy", "auroc", "calibration_slope", "brier", "ece")
INK, MUTED, LINE, PAPER = "#1b2431", "#5b6675", "#cdd4dc", "#ffffff"
BLUE, ORANGE, PALE = "#0b5fa5", "#b8500c", "#dce8f4"
_VARIABLES = {
    INK: "ink", MUTED: "muted", LINE: "line", PAPER: "paper", BLUE: "blue", ORANGE: "orange",
    PALE: "pale",
    "#000000": "ink",
}  # fmt: skip
_SETTINGS: Any = {
    "svg.fonttype": "path", "svg.hashsalt": "brain-tumor", "font.size": 9,
    "font.family": ["DejaVu Sans"], "text.color": INK, "axes.labelcolor": INK,
    "axes.edgecolor": MUTED, "axes.linewidth": 0.8, "xtick.color": MUTED, "ytick.color": MUTED,
    "xtick.labelcolor": INK, "ytick.labelcolor": INK, "grid.color": LINE, "grid.linewidth": 0.6,
    "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False,
    "axes.axisbelow": True,
}  # fmt: skip


def drawn(draw: Callable[Arguments, Any]) -> Callable[Arguments, str]:
    """Make a function that returns a matplotlib figure one that draws it so and returns SVG."""

    @wraps(draw)
    def as_svg(*args: Arguments.args, **kwargs: Arguments.kwargs) -> str:
        from matplotlib import rc_context

        with rc_context(_SETTINGS):
            return to_svg(draw(*args, **kwargs))

    return as_svg


def to_svg(figure: Any) -> str:
    """A matplotlib figure as SVG, without what differs from time to time (date, random names)."""
    from matplotlib import rc_context

    written = StringIO()
    with rc_context(_SETTINGS):
        figure.savefig(written, format="svg", metadata={"Date": None})
    text = written.getvalue()
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text[text.index("<svg") :], flags=re.DOTALL)
    return re.sub(
        "|".join(_VARIABLES), lambda hit: f"var(--figure-{_VARIABLES[hit[0]]}, {hit[0]})", text
    )


def new_figure(width_in: float, height_in: float, *heights: float) -> tuple[Any, Any]:
    """A figure and its axes; with `heights`, one above the other on one x axis, in that ratio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")
    ratios = {"height_ratios": heights} if heights else None
    axes = figure.subplots(max(len(heights), 1), sharex=True, gridspec_kw=ratios)
    for part in np.atleast_1d(axes):
        part.patch.set_visible(False)
    return figure, axes


@dataclass(frozen=True)
class Interval:
    """A row of a forest plot; rows of one label stand side by side, a series in its own colour."""

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
    """
    table = table[table["images"] > 0]
    figure, (above, below) = new_figure(4.6, 5.2, 4, 1)
    above.plot([0, 1], [0, 1], color=MUTED, lw=1, ls=(0, (4, 3)))
    observed = table["observed"].to_numpy(float)
    ends = table[["observed_low", "observed_high"]].to_numpy(float).T
    style = {"color": BLUE, "fmt": "o", "ms": 5, "lw": 1.3, "capsize": 0}
    above.errorbar(table["predicted"], observed, np.abs(ends - observed), **style)
    above.set(ylabel="share with a tumour", xlim=(0, 1), ylim=(-0.02, 1.02), aspect="auto")
    above.grid(visible=True)
    widths = table["high"] - table["low"]
    below.bar(table["low"], table["images"], widths, align="edge", color=BLUE, edgecolor=PAPER)
    below.set(xlabel="predicted probability", ylabel="images")
    return figure


@drawn
def confusion_svg(counts: NDArray[np.int64]) -> Any:
    """A confusion matrix (2, 2), rows the truth (no, yes), with the share of each true class."""
    from matplotlib.patches import Rectangle

    figure, axes = new_figure(3.3, 2.7)
    total = np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(counts):
        right = row == column
        fill, corner = PALE if right else PAPER, (column - 0.48, row - 0.48)
        axes.add_patch(Rectangle(corner, 0.96, 0.96, facecolor=fill, edgecolor=LINE))
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

    `quantity` is what the axis measures, `reference` the value of a vertical line, such as no
    difference.

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


@drawn
def roc_svg(y_true: NDArray[np.int64], probability: NDArray[np.float64], threshold: float) -> Any:
    """The receiver operating characteristic with the operating point.

    Args:
        y_true: (N,) 0 or 1; both must occur.
        probability: (N,).
        threshold: probability from which an image is called a tumour.
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


_POINTS = 1000  # of a class: a point is 100 bytes of the page


@drawn
def probabilities_svg(
    y_true: NDArray[np.int64], probability: NDArray[np.float64], threshold: float
) -> Any:
    """Predicted probabilities (N,) by true class (N,), 0 or 1, with the threshold.

    Of more than 1,000 images of a class as many are drawn, evenly spread over their order.
    """
    figure, axes = new_figure(5.4, 2.0)
    axes.axvline(threshold, color=INK, lw=1, ls=(0, (4, 3)))
    axes.text(
        threshold, 1.03, "threshold", ha="center", size=8, transform=axes.get_xaxis_transform()
    )
    names = []
    for value, colour, name in ((0, BLUE, "no tumour"), (1, ORANGE, "tumour")):
        values, of = probability[y_true == value], np.count_nonzero(y_true == value)
        if of > _POINTS:
            values = np.sort(values)[np.linspace(0, of - 1, _POINTS).round().astype(np.intp)]
            name = f"{name}\n({_POINTS:,} of {of:,})"
        names.append(name)
        axes.plot(values, 1 - value + _swarm(values), "o", color=colour, ms=4, alpha=0.75, mew=0)
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.5, 1.5), xlabel="predicted probability of a tumour")
    axes.set_yticks([0, 1], names[::-1])
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


@drawn
def epochs_svg(history: pd.DataFrame) -> Any:
    """Loss above accuracy, by epoch, of training and validation, as history.csv has them."""
    figure, (above, below) = new_figure(5.4, 4.2, 1, 1)
    for axes, name in ((above, "loss"), (below, "accuracy")):
        for column, colour, split in (
            (name, BLUE, SPLIT_NAMES["train"]), (f"val_{name}", ORANGE, SPLIT_NAMES["val"]),
        ):  # fmt: skip
            axes.plot(history["epoch"], history[column], "o-", color=colour, ms=4, lw=1.4,
                      label=split)  # fmt: skip
        axes.set(ylabel=name)
        axes.grid(visible=True, axis="y")
        axes.locator_params(axis="x", integer=True)
    tuned = history.loc[history["fine_tuning"] > 0, "epoch"]
    if 0 < len(tuned) < len(history):
        for axes in (above, below):
            axes.axvline(tuned.min() - 0.5, color=INK, lw=1, ls=(0, (4, 3)))
        above.text(tuned.min() - 0.45, 1.02, "blocks train", size=8,
                   transform=above.get_xaxis_transform())  # fmt: skip
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    below.set(xlabel="epoch")
    return figure


@drawn
def trials_svg(complete: pd.DataFrame, metric: str, higher_is_better: bool) -> Any:
    """Validation figure of every finished trial, coloured by whether blocks train.

    Columns are number and value (a `metric`), and fine_tune_blocks where it was tuned.
    """
    figure, axes = new_figure(5.4, 2.8)
    rows = complete.sort_values("number")
    so_far = rows["value"].cummax() if higher_is_better else rows["value"].cummin()
    axes.step(rows["number"], so_far, where="post", color=MUTED, lw=1.2)
    depth = rows["fine_tune_blocks"] if "fine_tune_blocks" in rows else rows["value"] * 0
    for trains, colour, label in (
        (False, BLUE, "head only"), (True, ORANGE, "blocks train too"),
    ):  # fmt: skip
        part = rows[(depth > 0) == trains]
        if not part.empty:
            axes.plot(part["number"], part["value"], "o", color=colour, ms=6, mew=0, label=label)
    axes.set(xlabel="trial", ylabel=f"validation {metric}")
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=True, axis="y")
    if "fine_tune_blocks" in rows:
        figure.legend(loc="outside upper left", ncols=2)
    return figure


@drawn
def curves_svg(conditions: Sequence[Mapping[str, Any]]) -> Any:
    """A grid of curves: a row per figure, a column per kind of degradation of robustness.json."""
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(c["kind"] for c in conditions if c["kind"] != AS_IS))
    size = (1.0 + 1.75 * len(kinds), 1.35 * len(_DRAWN))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(len(_DRAWN), len(kinds), sharex="col", sharey="row", squeeze=False)
    for row, name in zip(grid, _DRAWN, strict=True):
        row[0].set_ylabel(figure_name(name).removeprefix("Calibration ").replace(", ten bins", ""))
        for axes, kind in zip(row, kinds, strict=True):
            levels = [c for c in conditions if c["kind"] in (AS_IS, kind)]
            _draw_levels(axes, name, levels)
    for axes, kind in zip(grid[0], kinds, strict=True):
        axes.set_title(kind, size=9)
    return figure


def _draw_levels(axes: Any, name: str, levels: Sequence[Mapping[str, Any]]) -> None:
    """A figure by level, evenly spaced, with its interval as a band."""
    axes.patch.set_visible(False)
    if name == "calibration_slope":
        axes.axhline(1.0, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    places, figures = _having(levels, name)
    if places:
        values = [figure["value"] for figure in figures]
        low, high = ([figure.get(end, figure["value"]) for figure in figures]
                     for end in ("low", "high"))  # fmt: skip
        axes.fill_between(places, low, high, color=BLUE, alpha=0.18, lw=0)
        axes.plot(places, values, "o-", color=BLUE, ms=3, lw=1.2)
    if name == "ece":
        places, floor = _having(levels, "ece_floor")
        low, high = ([figure[end] for figure in floor] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=MUTED, alpha=0.18, lw=0)
    labels = ["as is", *(f"{level['level']:g}" for level in levels[1:])]
    axes.set_xticks(range(len(levels)), labels, rotation=60, size=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(visible=True, axis="y")


def _having(
    levels: Sequence[Mapping[str, Any]], name: str
) -> tuple[list[int], list[Mapping[str, float]]]:
    """Places of the levels that have a figure, and the figure there."""
    places = [place for place, level in enumerate(levels) if name in level["figures"]]
    return places, [levels[place]["figures"][name] for place in places]
