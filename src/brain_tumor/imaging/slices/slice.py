"""One grey slice of a file, and how values and spacing become it."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.imaging.decode import DecodeError

MAX_BYTES = 1 << 30  # of the pixels of one file, decoded
_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.8  # of the values that are not background
_UNEVEN = 1.01  # pixels this much longer one way are resampled
_MOST_UNEVEN = 20.0


@dataclass(frozen=True)
class Slice:
    """A grey picture from a file.

    Attributes:
        name: which of several in the file, as `axial 77 of 155`; empty where there is one.
        grey: uint8 (H, W), square pixels, upright as a radiologist sees it.
        notes: what the file says that a reader should know.
    """

    name: str
    grey: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def background(values: NDArray[Any]) -> float:
    """The value of the air: the lowest, or 0 where that is commoner (standardised volumes)."""
    lowest = float(values.min())
    return 0.0 if np.count_nonzero(values == 0) > np.count_nonzero(values == lowest) else lowest


def window(values: NDArray[Any]) -> tuple[float, float]:
    """The values that become black and white: percentiles of what is not background.

    Air at 0 or above stays black: no value above it does.
    """
    air = background(values)
    signal = values[values != air]
    if not signal.size:
        return air, air + 1.0
    low, high = (float(value) for value in np.percentile(signal, [_LOW_PERCENT, _HIGH_PERCENT]))
    low = min(low, air) if values.min() >= 0 else low
    return low, max(high, float(np.nextafter(low, np.inf)))


def to_grey(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Finite values to 0 (`low` and below) to 255 (`high` and above)."""
    unit = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.rint(255.0 * unit).astype(np.uint8)


def square(grey: NDArray[np.uint8], row_mm: float, column_mm: float) -> NDArray[np.uint8]:
    """Resample (linear) so that pixels are square, of the shorter spacing.

    Args:
        grey: uint8 (H, W).
        row_mm: distance of neighbouring rows; 0, or no number, where it is not known.
        column_mm: distance of neighbouring columns, likewise.

    Raises:
        DecodeError: one spacing is more than 20 times the other.
    """
    known = all(isfinite(mm) and mm > 0 for mm in (row_mm, column_mm))
    shorter, longer = sorted((row_mm, column_mm)) if known else (1.0, 1.0)
    if longer / shorter < _UNEVEN:
        return grey
    if longer / shorter > _MOST_UNEVEN:
        raise DecodeError(f"pixels of {column_mm:g} x {row_mm:g} mm: no picture to look at")
    factors = (row_mm / shorter, column_mm / shorter)
    stretched = ndimage.zoom(
        grey.astype(np.float64), factors, order=1, grid_mode=True, mode="nearest"
    )
    rounded: NDArray[np.uint8] = np.rint(stretched).astype(np.uint8)
    return rounded


def middle(count: int, positions: Sequence[int]) -> list[int]:
    """At most `count` of ascending positions, evenly spaced over their middle third."""
    total = len(positions)
    if count >= total:
        return list(positions)
    first, last = (total - 1) / 3, 2 * (total - 1) / 3
    spread = np.linspace(first, last, count) if count > 1 else [(total - 1) / 2]
    chosen = [round(float(place)) for place in spread]
    if len(set(chosen)) < count:  # a middle third of fewer: the middle ones, side by side
        start = (total - count) // 2
        chosen = list(range(start, start + count))
    return [positions[place] for place in chosen]
