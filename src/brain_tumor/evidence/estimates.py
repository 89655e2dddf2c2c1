"""Figures as a file holds them."""

import math
from collections.abc import Mapping

from brain_tumor.model.estimate import Estimate

Plain = dict[str, float]
_DIGITS = 6


def plain(estimates: Mapping[str, Estimate]) -> dict[str, Plain]:
    """As JSON holds them: value, low and high; undefined figures and ends are left out."""
    rounded = {name: _rounded(estimate.as_dict()) for name, estimate in estimates.items()}
    return {name: figure for name, figure in rounded.items() if "value" in figure}


def _rounded(figure: Mapping[str, float]) -> Plain:
    return {
        part: round(float(value), _DIGITS) for part, value in figure.items() if math.isfinite(value)
    }
