"""The planes of a head, affine maps between pixel grids, and warping by them.

A map is a float64 (2, 3) matrix that takes an output pixel (x, y, 1) to an input pixel (x, y).
Pixel (0, 0) is the centre of the first pixel; x counts columns.
"""

from typing import Final, Literal

import numpy as np
from scipy import ndimage

Plane = Literal["axial", "coronal", "sagittal"]
PLANES: Final[tuple[Plane, ...]] = ("axial", "coronal", "sagittal")
# For each plane the axes of the template that run to the right, up, and through it.
AXES: Final = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


def similarity(scale: float, rotation_rad: float, shift: tuple[float, float]) -> np.ndarray:
    """The map (x, y) -> scale * R(rotation) (x, y) + shift, as a (2, 3) matrix."""
    cosine, sine = scale * np.cos(rotation_rad), scale * np.sin(rotation_rad)
    return np.array([[cosine, -sine, shift[0]], [sine, cosine, shift[1]]])


def compose(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """The map that applies `first`, then `second`; all (2, 3)."""
    linear = second[:, :2] @ first[:, :2]
    shift = second[:, :2] @ first[:, 2] + second[:, 2]
    return np.column_stack([linear, shift])


def invert(matrix: np.ndarray) -> np.ndarray:
    """The inverse of a (2, 3) map."""
    linear = np.linalg.inv(matrix[:, :2])
    return np.column_stack([linear, -linear @ matrix[:, 2]])


def transform(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Apply a (2, 3) map to points (n, 2) of (x, y)."""
    return np.asarray(points @ matrix[:, :2].T + matrix[:, 2])


def magnification(matrix: np.ndarray) -> float:
    """Input pixels per output pixel (square root of the area factor)."""
    return float(np.sqrt(abs(np.linalg.det(matrix[:, :2]))))


def rotation_deg(matrix: np.ndarray) -> float:
    """Rotation part of a map, degrees in (-180, 180]."""
    linear = matrix[:, :2]
    return float(np.rad2deg(np.arctan2(linear[1, 0] - linear[0, 1], linear[0, 0] + linear[1, 1])))


def warp(image: np.ndarray, matrix: np.ndarray, side_px: int, order: int = 1) -> np.ndarray:
    """Resample a picture onto a square grid; outside it is 0.

    Where the output is coarser than the input it is smoothed first (order 1 only), so that
    shrinking a large picture does not alias. Masks take order 0.

    Args:
        image: (H, W), any real dtype or bool.
        matrix: (2, 3), output pixel to input pixel.
        side_px: side of the output.
        order: 0 nearest, 1 linear.

    Returns:
        float64 (side_px, side_px), or the dtype of `image` when order is 0.
    """
    if order == 0:
        values = image.astype(np.uint8) if image.dtype == bool else image
    else:
        values = _smoothed(image.astype(np.float64), magnification(matrix))
    # scipy counts (row, column): the same map with both axes swapped.
    linear, offset = matrix[::-1, 1::-1], matrix[::-1, 2]
    warped: np.ndarray = ndimage.affine_transform(
        values, linear, offset, (side_px, side_px), order=order, mode="grid-constant", cval=0
    )
    return warped.astype(image.dtype) if order == 0 else warped


def resized(image: np.ndarray, side_px: int) -> np.ndarray:
    """Scale a square picture (n, n) to (side_px, side_px), linear, edges held; float64."""
    if image.shape[0] == side_px:
        return image.astype(np.float64)
    factor = image.shape[0] / side_px
    smooth = _smoothed(image.astype(np.float64), factor)
    scaled: np.ndarray = ndimage.affine_transform(
        smooth,
        [factor, factor],
        0.5 * factor - 0.5,
        (side_px, side_px),
        order=1,
        mode="nearest",
    )
    return scaled


def _smoothed(image: np.ndarray, factor: float) -> np.ndarray:
    if factor <= 1.0:
        return image
    smooth: np.ndarray = ndimage.gaussian_filter(
        image, 0.5 * np.sqrt(factor**2 - 1.0), mode="nearest", truncate=3.0
    )
    return smooth
