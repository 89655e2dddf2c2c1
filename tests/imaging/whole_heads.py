"""Slices of whole heads with the truth, from a head that the brain network never saw."""

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom.slices import PhantomSlice, make_slice
from brain_tumor.imaging.geometry import invert, transform
from tests import sections

PLANES = ("axial", "coronal", "sagittal")
AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}  # right, up, through
CENTRE_MM = np.array([0.0, -18.0, 10.0])
FRAME_MIDDLE_PX = 127.5
_HEAD, _SEED = "colin27", 41
_PARAMS = sections.phantom()


@cache
def whole_head(number: int, plane: str, tumour: bool = False) -> PhantomSlice:
    """A slice of patient `number`, as section `phantom` has it."""
    return make_slice(_SEED, number, 0, tumour, _PARAMS, plane, _HEAD)


@dataclass(frozen=True)
class Truth:
    """How a slice really lies.

    Attributes:
        mirrored: a sagittal slice that faces left.
        position_mm: mean template coordinate of the brain along the normal (sagittal: from the
            middle).
        matrix: (2, 3), pixel of the normalised frame to pixel of the slice: the similarity that
            fits the brain's template points best.
        pixels: (x, y) of the brain, (n, 2).
    """

    mirrored: bool
    position_mm: float
    matrix: NDArray[np.float64]
    pixels: NDArray[np.float64]


def truth_of(drawn: PhantomSlice) -> Truth:
    """Work out the truth from the template point of every pixel."""
    rows, columns = np.nonzero(drawn.brain)
    points = drawn.points[:, rows, columns]
    across, up, through = AXES[drawn.plane]
    mirrored = drawn.plane == "sagittal" and np.polyfit(columns, points[1], 1)[0] < 0
    normal = np.abs(points[through]) if drawn.plane == "sagittal" else points[through]
    side = -1.0 if mirrored else 1.0
    frame_x = side * (points[across] - CENTRE_MM[across]) + FRAME_MIDDLE_PX
    frame_y = CENTRE_MM[up] - points[up] + FRAME_MIDDLE_PX
    # x = a u - b v + c, y = b u + a v + d: a similarity, by least squares in mm.
    one, zero = np.ones(len(rows)), np.zeros(len(rows))
    equations = np.concatenate(
        [np.stack([columns, -rows, one, zero], 1), np.stack([rows, columns, zero, one], 1)]
    )
    a, b, c, d = np.linalg.lstsq(equations, np.concatenate([frame_x, frame_y]), rcond=None)[0]
    to_frame = np.array([[a, -b, c], [b, a, d]])
    pixels = np.stack([columns, rows], axis=1).astype(np.float64)
    return Truth(bool(mirrored), float(normal.mean()), invert(to_frame), pixels)


def error_mm(matrix: NDArray[np.float64], truth: Truth) -> float:
    """Mean distance over the brain between where points are and where a map has them."""
    places = (transform(invert(each), truth.pixels) for each in (matrix, truth.matrix))
    return float(np.linalg.norm(np.subtract(*places), axis=1).mean())
