"""Coarse search: every atlas slice at a grid of rotations and sizes, scored against the picture."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from brain_tumor.imaging.atlas import ATLAS_SIDE_PX, Atlas
from brain_tumor.imaging.geometry import compose, magnification, similarity
from brain_tumor.imaging.information import BINS, binned, information, region

_STEP_PX = 2  # every second pixel of the atlas grid in each direction
_ROTATION_STEP_DEG = 7.5
# Size of the atlas head over the picture's. The last is for skull-stripped pictures, whose
# outline is the brain's.
_SIZES = (0.92, 1.0, 1.08, 1.19)
CENTRE_PX = (ATLAS_SIDE_PX - 1) / 2


@dataclass(frozen=True)
class Pose:
    """An atlas slice laid on a picture.

    Attributes:
        slice_index: index into the atlas.
        matrix: (2, 3), pixel of the slice to pixel of the picture (both on the atlas grid).
        information: normalised mutual information, 0 to 1.
        overlap: Dice overlap of the slice's head with the picture's, 0 to 1.
    """

    slice_index: int
    matrix: np.ndarray
    information: float
    overlap: float


def largest_head_px(atlas: Atlas) -> float:
    """Area in atlas pixels of the largest head: the size pictures are brought to at first."""
    return float(np.count_nonzero(atlas.heads, axis=(1, 2)).max())


def search(
    picture: np.ndarray, mask: np.ndarray, atlas: Atlas, max_rotation_deg: float
) -> list[list[Pose]]:
    """All poses of the grid, one list for each slice.

    Args:
        picture: (side, side) on the atlas grid, its head centred, of area `largest_head_px`.
        mask: bool (side, side), the head.
        atlas: the candidate slices.
        max_rotation_deg: rotations from minus to plus this are tried.
    """
    levels = np.pad(np.where(mask, binned(picture) + BINS, binned(picture)), 1)
    return [_poses(levels, candidate) for candidate in _candidates(atlas, max_rotation_deg)]


@dataclass(frozen=True)
class _Candidate:
    """What the search needs of a slice, whatever the picture.

    Attributes:
        index: of the slice.
        points: float64 (n, 2), the pixels (x, y) that are compared.
        bins: int64 (n,), their grey levels.
        in_head: bool (n,), whether they are of the head.
        head_px: area of the head.
        matrices: all poses, slice to picture.
    """

    index: int
    points: np.ndarray
    bins: np.ndarray
    in_head: np.ndarray
    head_px: int
    matrices: list[np.ndarray]


@lru_cache(maxsize=2)
def _candidates(atlas: Atlas, max_rotation_deg: float) -> list[_Candidate]:
    steps = int(max_rotation_deg / _ROTATION_STEP_DEG)
    angles = np.deg2rad(_ROTATION_STEP_DEG) * np.arange(-steps, steps + 1)
    area_px = largest_head_px(atlas)
    found = []
    for index, head in enumerate(atlas.heads):
        rows, columns = (
            _STEP_PX * axis for axis in np.nonzero(region(head)[::_STEP_PX, ::_STEP_PX])
        )
        points = np.stack([columns, rows], axis=1).astype(np.float64)
        bins, in_head = binned(atlas.images[index])[rows, columns], head[rows, columns]
        matrices = _matrices(head, area_px, angles)
        found.append(
            _Candidate(index, points, bins, in_head, int(np.count_nonzero(head)), matrices)
        )
    return found


def _poses(levels: np.ndarray, candidate: _Candidate) -> list[Pose]:
    """Poses of one slice. `levels` holds bins, plus `BINS` inside the head, padded by a pixel."""
    matrices = candidate.matrices
    seen = np.stack([_seen(levels, matrix, candidate.points) for matrix in matrices])
    bits = information(candidate.bins, seen % BINS)
    both = np.count_nonzero((seen >= BINS) & candidate.in_head, axis=1) * _STEP_PX**2
    head_px = np.count_nonzero(levels >= BINS)
    areas = np.array([head_px / magnification(matrix) ** 2 for matrix in matrices])
    overlaps = 2.0 * both / (candidate.head_px + areas)
    return [
        Pose(candidate.index, matrix, float(shared), float(min(overlap, 1.0)))
        for matrix, shared, overlap in zip(matrices, bits, overlaps, strict=True)
    ]


def _matrices(head: np.ndarray, area_px: float, angles: np.ndarray) -> list[np.ndarray]:
    equal = np.sqrt(area_px / np.count_nonzero(head))
    y, x = ndimage.center_of_mass(head)
    to_origin = similarity(1.0, 0.0, (-x, -y))
    return [
        compose(similarity(equal * size, float(angle), (CENTRE_PX, CENTRE_PX)), to_origin)
        for size in _SIZES
        for angle in angles
    ]


def _seen(levels: np.ndarray, matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Levels of the pixels nearest to where the map takes `points`; outside is background."""
    moved = np.rint(points @ matrix[:, :2].T + matrix[:, 2]).astype(np.int64) + 1
    inside = np.clip(moved, 0, levels.shape[0] - 1)
    seen: np.ndarray = levels[inside[:, 1], inside[:, 0]]
    return seen
