"""Figures as a file and as a table show them."""

import math
from collections.abc import Mapping

from brain_tumor.model.estimate import Estimate

Plain = dict[str, float]
_DIGITS = 6


def plain(estimates: Mapping[str, Estimate]) -> dict[str, Plain]:
    """As JSON holds them: value, low and high; undefined figures and ends are left out."""
    rounded = {name: _rounded(estimate.as_dict()) for name, estimate in estimates.items()}
    return {name: figure for name, figure in rounded.items() if "value" in figure}


def cell(figures: Mapping[str, Plain], name: str, digits: int = 2) -> str:
    """A figure with its interval, as `0.91 [0.82, 0.96]`; a dash where it is undefined."""
    figure = figures.get(name)
    if figure is None:
        return "-"
    value = _text(figure["value"], digits)
    if "low" not in figure or "high" not in figure:
        return value
    return f"{value} [{_text(figure['low'], digits)}, {_text(figure['high'], digits)}]"


def _text(value: float, digits: int) -> str:
    return f"{round(value, digits) + 0.0:.{digits}f}"  # no -0.00


def _rounded(figure: Mapping[str, float]) -> Plain:
    return {
        part: round(float(value), _DIGITS) for part, value in figure.items() if math.isfinite(value)
    }
