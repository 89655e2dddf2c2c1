"""Coarse search: every atlas slice at a grid of rotations and sizes, scored against the picture."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from scipy import ndimage

from brain_tumor.imaging.atlas import ATLAS_SIDE_PX, Atlas
from brain_tumor.imaging.geometry import compose, magnification, similarity
from brain_tumor.imaging.information import binned, information, region

_STEP_PX = 2  # every second pixel of the atlas grid in each direction
_ROTATION_STEP_DEG = 7.5
# Size of the atlas head over the picture's. The last is for skull-stripped pictures, whose
# outline is the brain's.
_SIZES = (0.92, 1.0, 1.08, 1.19)
CENTRE_PX = (ATLAS_SIDE_PX - 1) / 2
_PADDED_PX = ATLAS_SIDE_PX + 2


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
    levels, inside = np.pad(binned(picture), 1).ravel(), np.pad(mask, 1).ravel()
    candidates = _candidates(atlas, max_rotation_deg)
    return [_poses(levels, inside, candidate) for candidate in candidates]


@dataclass(frozen=True)
class _Candidate:
    """What the search needs of a slice, whatever the picture.

    Attributes:
        index: of the slice.
        bins: int64 (n,), grey levels of the pixels that are compared.
        in_head: bool (n,), whether they are of the head.
        head_px: area of the head.
        matrices: all poses, slice to picture.
        places: int64 (poses, n), where each pose takes them in the padded picture, row by row.
        areas: float64 (poses,), pixels of the picture per pixel of the slice.
    """

    index: int
    bins: np.ndarray
    in_head: np.ndarray
    head_px: int
    matrices: list[np.ndarray]
    places: np.ndarray
    areas: np.ndarray


@lru_cache(maxsize=2)
def _candidates(atlas: Atlas, max_rotation_deg: float) -> list[_Candidate]:
    steps = int(max_rotation_deg / _ROTATION_STEP_DEG)
    angles = np.deg2rad(_ROTATION_STEP_DEG) * np.arange(-steps, steps + 1)
    area_px = largest_head_px(atlas)
    return [
        _candidate(index, head, binned(image), _matrices(head, area_px, angles))
        for index, (head, image) in enumerate(zip(atlas.heads, atlas.images, strict=True))
    ]


def _candidate(
    index: int, head: np.ndarray, bins: np.ndarray, matrices: list[np.ndarray]
) -> _Candidate:
    rows, columns = (_STEP_PX * axis for axis in np.nonzero(region(head)[::_STEP_PX, ::_STEP_PX]))
    points = np.stack([columns, rows], axis=1).astype(np.float64)
    return _Candidate(
        index=index,
        bins=bins[rows, columns],
        in_head=head[rows, columns],
        head_px=int(np.count_nonzero(head)),
        matrices=matrices,
        places=np.stack([_places(matrix, points) for matrix in matrices]),
        areas=np.array([magnification(matrix) ** 2 for matrix in matrices]),
    )


def _poses(levels: np.ndarray, inside: np.ndarray, candidate: _Candidate) -> list[Pose]:
    """Poses of one slice; bins and head of the picture are padded by a pixel, row by row."""
    bits = information(candidate.bins, levels[candidate.places])
    shared_head = inside[candidate.places] & candidate.in_head
    both = np.count_nonzero(shared_head, axis=1) * _STEP_PX**2
    areas = np.count_nonzero(inside) / candidate.areas
    overlaps = 2.0 * both / (candidate.head_px + areas)
    return [
        Pose(candidate.index, matrix, float(shared), float(min(overlap, 1.0)))
        for matrix, shared, overlap in zip(candidate.matrices, bits, overlaps, strict=True)
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


def _places(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """The pixels nearest to where the map takes `points`; outside is the padding."""
    moved = np.rint(points @ matrix[:, :2].T + matrix[:, 2]).astype(np.int64) + 1
    x, y = np.clip(moved, 0, _PADDED_PX - 1).T
    places: np.ndarray = y * _PADDED_PX + x
    return places
