"""The whole-head label maps that the phantom ships, made once from Colin27.

`python -m evidence.head_labels PATH/TO/ch2.nii.gz PATH/TO/ch2bet.nii.gz` writes
`src/brain_tumor/data/phantom/heads.npz`. A T1 picture cannot tell bone from air, so a wide dark
place of the face or the skull base counts as air and a thin one as bone.
"""

import sys
from pathlib import Path

import nibabel
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.data.phantom.heads import (
    FILE,
    HEADS,
    ORIGIN_MM,
    TISSUES,
    VOXEL_MM,
    brain_maps,
    close_furrows,
    distance_mm,
    save,
)

Bools = NDArray[np.bool_]
Labels = NDArray[np.uint8]
_COLIN_ORIGIN = (90, 125, 71)  # template mm + this = voxel of the 1 mm volumes
_HEAD_GREY = 16  # of 255; air is darker
_DARK_GREY, _SOFT_GREY, _FAT_GREY = 40, 88, 118  # bone and air, muscle, glands, fat
_FLUID_FRACTION, _WHITE_FRACTION = 0.58, 0.87  # of the white matter's grey at that height
_EYE_MM, _EYE_RADIUS_MM = (33.5, 58.0, -38.0), 12.5


def main(whole: Path, brain: Path) -> None:
    """Write both label maps."""
    grey = np.asarray(nibabel.load(whole).dataobj, dtype=np.float32)
    colin = _at_two_mm(_labels(grey, _brain(np.asarray(nibabel.load(brain).dataobj) > 0)))
    save(FILE, dict(zip(HEADS, (colin, _around_mni152(colin)), strict=True)))


def _ball(radius: int) -> Bools:
    squares = np.square(np.indices((2 * radius + 1,) * 3) - radius).sum(axis=0)
    return np.asarray(squares <= radius**2)


def _largest(mask: Bools) -> Bools:
    labels, _ = ndimage.label(mask)
    return np.asarray(labels == 1 + np.argmax(np.bincount(labels.ravel())[1:]))


def _closed(mask: Bools, structure: Bools | None, iterations: int) -> Bools:
    margin = 12
    padded = np.pad(mask, margin)
    closed = ndimage.binary_closing(padded, structure, iterations)
    return np.asarray(closed[margin:-margin, margin:-margin, margin:-margin])


def _brain(extracted: Bools) -> Bools:
    """The brain without the streaks that its extraction left at the edge, sulci filled."""
    clean = _largest(ndimage.binary_opening(extracted, iterations=2))
    return np.asarray(ndimage.binary_fill_holes(_closed(clean, None, 4)))


def _head(grey: NDArray[np.float32], brain: Bools) -> Bools:
    """All that the skin encloses; the neck is open below."""
    bright = _largest(ndimage.gaussian_filter(grey, 1) > _HEAD_GREY)
    below = np.pad(bright, ((0, 0), (0, 0), (12, 0)), mode="edge")
    closed = _closed(below, _ball(3), 3)
    filled = [ndimage.binary_fill_holes(closed[:, :, z]) for z in range(closed.shape[2])]
    return np.asarray(np.stack(filled, axis=2)[:, :, 12:] | brain)


def _labels(grey: NDArray[np.float32], brain: Bools) -> Labels:
    """A tissue for every voxel of 1 mm, index into `TISSUES`."""
    number = {name: np.uint8(index) for index, name in enumerate(TISSUES)}
    x, y, z = np.indices(grey.shape) - np.reshape(_COLIN_ORIGIN, (3, 1, 1, 1))
    smooth = ndimage.gaussian_filter(grey, 0.6)
    head = _head(grey, brain)
    beyond = head & ~brain
    from_brain_mm = ndimage.distance_transform_edt(~brain)
    open_neck = np.pad(head, ((0, 0), (0, 0), (20, 0)), mode="edge")
    depth_mm = ndimage.distance_transform_edt(open_neck)[:, :, 20:]
    labels = np.full(grey.shape, number["air"])
    labels[beyond] = number["muscle"]
    labels[beyond & (smooth >= _SOFT_GREY)] = number["gland"]
    labels[beyond & (smooth >= _FAT_GREY)] = number["fat"]
    dark = beyond & (smooth < _DARK_GREY)
    labels[dark] = number["bone"]
    wide = ndimage.binary_opening(np.pad(dark, 6, mode="edge"), _ball(4))[6:-6, 6:-6, 6:-6]
    hollow = wide & (from_brain_mm > 5) & ((z < -18) | (y > 58)) & (z < 30)
    labels[ndimage.binary_dilation(hollow) & dark] = number["cavity"]
    skull = beyond & (from_brain_mm > 2.5) & (from_brain_mm < 10) & (z > -25) & (depth_mm > 6)
    labels[skull & (smooth >= _DARK_GREY) & (smooth < _FAT_GREY)] = number["marrow"]
    labels[beyond & (from_brain_mm <= 2.5) & (smooth < 95)] = number["fluid"]
    labels[beyond & (depth_mm <= 2.5)] = number["skin"]
    across, front, up = _EYE_MM
    for side in (-across, across):
        ball = (x - side) ** 2 + (y - front) ** 2 + (z - up) ** 2 < _EYE_RADIUS_MM**2
        labels[beyond & ball] = number["eye"]
    white = _white_grey(grey, brain)
    labels[brain] = number["grey"]
    labels[brain & (grey >= _WHITE_FRACTION * white)] = number["white"]
    labels[brain & (smooth < _FLUID_FRACTION * white)] = number["fluid"]
    return labels


def _white_grey(grey: NDArray[np.float32], brain: Bools) -> NDArray[np.float32]:
    """The grey of white matter at each height: it fades towards the neck, (1, 1, slices)."""
    levels = [
        float(np.percentile(grey[:, :, z][brain[:, :, z]], 90))
        if brain[:, :, z].sum() > 200
        else np.nan
        for z in range(grey.shape[2])
    ]
    known = np.flatnonzero(~np.isnan(levels))
    filled = np.interp(np.arange(len(levels)), known, np.array(levels)[known])
    return np.asarray(ndimage.gaussian_filter1d(filled, 4), dtype=np.float32)[None, None]


def _at_two_mm(labels: Labels) -> Labels:
    """The commonest tissue around every second voxel."""
    first = [round(a + b) for a, b in zip(ORIGIN_MM, _COLIN_ORIGIN, strict=True)]
    shares = [
        ndimage.gaussian_filter((labels == index).astype(np.float32), 0.8)[
            first[0] :: 2, first[1] :: 2, first[2] :: 2
        ]
        for index in range(len(TISSUES))
    ]
    return np.asarray(np.argmax(shares, axis=0), dtype=np.uint8)


def _around_mni152(colin: Labels) -> Labels:
    """The same head, pulled so that its brain's surface lies on that of the MNI152 brain.

    Each point outside the brain moves along the gradient of the distance to Colin27's brain until
    that equals its distance to the other; far from the brain nothing moves.
    """
    fluid, grey, white = (TISSUES.index(name) for name in ("fluid", "grey", "white"))
    colin_mm = ndimage.gaussian_filter(
        distance_mm(close_furrows(np.isin(colin, (grey, white)))), 1.0
    )
    target_mm = ndimage.gaussian_filter(distance_mm(close_furrows(brain_maps(colin.shape)[2])), 1.0)
    slopes = np.gradient(colin_mm, VOXEL_MM)
    places = np.indices(colin.shape).astype(np.float64)
    near = 1 - np.clip(target_mm, 0, 50) / 50
    for _ in range(4):
        here = ndimage.map_coordinates(colin_mm, places, order=1, mode="nearest")
        slope = np.stack(
            [ndimage.map_coordinates(part, places, order=1, mode="nearest") for part in slopes]
        )
        slope /= np.maximum(np.sqrt((slope**2).sum(axis=0)), 0.5)
        places += 0.7 * near * (target_mm - here) * slope / VOXEL_MM
    without_brain = np.where(np.isin(colin, (grey, white)), fluid, colin)
    moved = ndimage.map_coordinates(without_brain, places, order=0, mode="nearest")
    return np.asarray(moved, dtype=np.uint8)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
