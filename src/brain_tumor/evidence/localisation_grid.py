"""Between the places of a block's feature maps and the pixels of the network's input.

Place (row, column) of maps (h, w) stands for a square of `stride_px` pixels; the maps are centred
on the image (see `model.shapes.stride_px`).
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@lru_cache(maxsize=32)
def _boxes(places: int, stride_px: int, size_px: int) -> Floats:
    """Share of each pixel in the mean over a place's square, along one side: (places, size_px)."""
    edges = centres(places, stride_px, size_px)[:, None] + np.array([-0.5, 0.5]) * stride_px
    pixels = np.arange(size_px)
    first, last = np.maximum(edges[:, :1], pixels - 0.5), np.minimum(edges[:, 1:], pixels + 0.5)
    return np.asarray(np.clip(last - first, 0, None) / stride_px, np.float64)


@lru_cache(maxsize=32)
def _lines(places: int, stride_px: int, size_px: int) -> Floats:
    """Weight of each place in a pixel's linear interpolation, along one side: (size_px, places)."""
    at = np.interp(
        np.arange(size_px), centres(places, stride_px, size_px), np.arange(places, dtype=float)
    )
    return np.asarray(np.clip(1 - np.abs(at[:, None] - np.arange(places)), 0, None), np.float64)


def centres(places: int, stride_px: int, size_px: int) -> Floats:
    """Pixel coordinate of each place's centre along one side, float64 (places,)."""
    away = stride_px * (np.arange(places) - 0.5 * (places - 1))
    return np.asarray(away + 0.5 * (size_px - 1), np.float64)


def share(mask: NDArray[np.bool_], shape: tuple[int, int], stride_px: int) -> Floats:
    """Fraction of each place's square that a mask (s, s) fills, float64 `shape`, 0 to 1."""
    down, across = (_boxes(side, stride_px, mask.shape[0]) for side in shape)
    filled: Floats = down @ mask.astype(np.float64) @ across.T
    return filled


def spread_out(values: Floats, stride_px: int, size_px: int) -> Floats:
    """Values of places on the pixels of the image, linear, edges held; float64 (s, s)."""
    down, across = (_lines(side, stride_px, size_px) for side in values.shape)
    pixels: Floats = down @ values @ across.T
    return pixels
