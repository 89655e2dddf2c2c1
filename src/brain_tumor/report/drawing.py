"""How figures look and how they become SVG: fonts as paths, no date, colours the page can change.

Colours are written as CSS variables with a fallback, so that a page can show a figure dark and a
file on its own still has colours.
"""

import re
from collections.abc import Callable
from functools import wraps
from io import StringIO
from typing import Any, ParamSpec

import numpy as np

Arguments = ParamSpec("Arguments")

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
    return re.sub("|".join(_VARIABLES), lambda hit: _variable(hit[0]), text)


def new_figure(width_in: float, height_in: float, *heights: float) -> tuple[Any, Any]:
    """A figure and its axes; with `heights`, one above the other on one x axis, in that ratio."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained", facecolor="none")
    ratios = {"height_ratios": heights} if heights else None
    axes = figure.subplots(max(len(heights), 1), sharex=True, gridspec_kw=ratios)
    for one in np.atleast_1d(axes):
        one.patch.set_visible(False)
    return figure, axes


def _variable(colour: str) -> str:
    return f"var(--figure-{_VARIABLES[colour]}, {colour})"
