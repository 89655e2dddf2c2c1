"""Curves of a model's figures on images that are degraded step by step, as SVG."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from brain_tumor.report.drawing import BLUE, MUTED, drawn
from brain_tumor.report.wording import figure_name

AS_IS: Final = "none"  # kind of the images as they are
_DRAWN = ("accuracy", "auroc", "calibration_slope", "brier", "ece")


@drawn
def curves_svg(found: Sequence[Mapping[str, Any]]) -> Any:
    """A grid of curves: a row per figure, a column per kind of degradation.

    Args:
        found: conditions, each with kind (`none`: the images as they are), level and figures, as
            robustness.json has them.

    Returns:
        SVG.
    """
    from matplotlib.figure import Figure

    kinds = list(dict.fromkeys(one["kind"] for one in found if one["kind"] != AS_IS))
    size = (1.0 + 1.75 * len(kinds), 1.35 * len(_DRAWN))
    figure = Figure(figsize=size, layout="constrained", facecolor="none")
    grid = figure.subplots(len(_DRAWN), len(kinds), sharex="col", sharey="row", squeeze=False)
    for row, name in zip(grid, _DRAWN, strict=True):
        row[0].set_ylabel(figure_name(name).removeprefix("Calibration ").replace(", ten bins", ""))
        for axes, kind in zip(row, kinds, strict=True):
            _draw(axes, name, of_kind(found, kind))
    for axes, kind in zip(grid[0], kinds, strict=True):
        axes.set_title(kind, size=9)
    return figure


def _draw(axes: Any, name: str, conditions: Sequence[Mapping[str, Any]]) -> None:
    """A figure by level, evenly spaced, with its interval as a band."""
    axes.patch.set_visible(False)
    if name == "calibration_slope":
        axes.axhline(1.0, color=MUTED, lw=0.8, ls=(0, (4, 3)))
    shown = [(at, one["figures"][name]) for at, one in _having(conditions, name)]
    if shown:
        places, values = zip(*((at, one["value"]) for at, one in shown), strict=True)
        low, high = ([one.get(end, one["value"]) for _, one in shown] for end in ("low", "high"))
        axes.fill_between(places, low, high, color=BLUE, alpha=0.18, lw=0)
        axes.plot(places, values, "o-", color=BLUE, ms=3, lw=1.2)
    if name == "ece":
        floor = [(at, one["figures"]["ece_floor"]) for at, one in _having(conditions, "ece_floor")]
        low, high = ([one[end] for _, one in floor] for end in ("low", "high"))
        axes.fill_between([at for at, _ in floor], low, high, color=MUTED, alpha=0.18, lw=0)
    labels = ["as is", *(f"{one['level']:g}" for one in conditions[1:])]
    axes.set_xticks(range(len(conditions)), labels, rotation=60, size=7)
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(visible=True, axis="y")


def _having(
    conditions: Sequence[Mapping[str, Any]], name: str
) -> list[tuple[int, Mapping[str, Any]]]:
    return [(at, one) for at, one in enumerate(conditions) if name in one["figures"]]


def of_kind(found: Sequence[Mapping[str, Any]], kind: str) -> list[Mapping[str, Any]]:
    """The images as they are, then the levels of a kind."""
    return [one for one in found if one["kind"] in (AS_IS, kind)]
