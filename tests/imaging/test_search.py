"""The search says of each pose what a plain look through it says."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.imaging.atlas import ATLAS_SIDE_PX, Atlas
from brain_tumor.imaging.geometry import magnification, transform
from brain_tumor.imaging.information import binned, information, region
from brain_tumor.imaging.search import Pose, search

Picture = tuple[NDArray[np.float64], NDArray[np.bool_]]


@pytest.fixture(scope="module")
def picture(simulate: Callable[[int, str], Any]) -> Picture:
    """A slice on the atlas grid, shifted, and its head."""
    image = simulate(3, "axial").image.astype(np.float64)[:ATLAS_SIDE_PX, 9 : 9 + ATLAS_SIDE_PX]
    spare = [(0, ATLAS_SIDE_PX - side) for side in image.shape]
    padded = np.pad(image, spare)
    return padded, padded > 40


def look(picture: Picture, atlas: Atlas, pose: Pose) -> tuple[float, float]:
    """Information and overlap of a pose, pixel by pixel."""
    levels, mask = binned(picture[0]), picture[1]
    head = atlas.heads[pose.slice_index]
    rows, columns = (2 * axis for axis in np.nonzero(region(head)[::2, ::2]))
    moved = np.rint(transform(pose.matrix, np.stack([columns, rows], axis=1))).astype(int)
    inside = ((moved >= 0) & (moved < ATLAS_SIDE_PX)).all(axis=1)
    x, y = np.where(inside[:, None], moved, 0).T
    first = binned(atlas.images[pose.slice_index])[rows, columns]
    shared = information(first, np.where(inside, levels[y, x], 0)[None])[0]
    both = 4 * np.count_nonzero(inside & mask[y, x] & head[rows, columns])
    areas = np.count_nonzero(head) + np.count_nonzero(mask) / magnification(pose.matrix) ** 2
    return float(shared), min(2.0 * both / areas, 1.0)


def test_every_pose_is_scored_as_it_is_seen(picture: Picture, atlas: Atlas) -> None:
    found = search(*picture, atlas, 15.0)
    assert [{pose.slice_index for pose in poses} for poses in found] == [
        {index} for index in range(len(atlas.planes))
    ]
    for poses in found[::3]:
        for pose in poses[::5]:
            assert (pose.information, pose.overlap) == look(picture, atlas, pose)


def test_what_is_kept_of_an_atlas_is_not_used_for_another(picture: Picture, atlas: Atlas) -> None:
    before = search(*picture, atlas, 15.0)
    turned = replace(atlas, images=atlas.images[::-1].copy())
    other = search(*picture, turned, 15.0)
    again = search(*picture, atlas, 15.0)
    assert [pose.information for pose in again[0]] == [pose.information for pose in before[0]]
    assert [pose.information for pose in other[0]] == [pose.information for pose in before[-1]]
