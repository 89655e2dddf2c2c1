"""Slices of the MNI152 template that images are aligned with, and how they are made.

The template is skull-stripped and most pictures are not, so each slice gets a drawn head around
the brain: a dark gap (fluid and skull) and a bright rim (scalp). Mutual information asks only
that regions correspond, not that intensities do.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.files import replacing
from brain_tumor.imaging.geometry import similarity, warp
from brain_tumor.imaging.head import head_box, square_matrix
from brain_tumor.settings import PreprocessParams

ATLAS_SIDE_PX = 128
ATLAS_PX_MM = 2.0
CENTRE_MM = (0.0, -18.0, 10.0)  # MNI x, y, z
SQUARE_PX = 64
_MARGIN_FRACTION = 0.03  # around the head in a square, of its longer side


@dataclass(frozen=True, eq=False)  # one atlas is itself: what is made from it can be kept
class Atlas:
    """Candidate slices on one grid of `ATLAS_SIDE_PX` pixels of `ATLAS_PX_MM` mm.

    The slices of a plane share one frame. Column c lies at MNI 2 (c - 64) mm across, row r at
    2 (63 - r) mm up, both from `CENTRE_MM`: across is x (axial, coronal) or y (sagittal), up is y
    (axial) or z. Mirrored slices are turned left to right.

    Attributes:
        images: uint8 (slices, side, side), brain with the drawn head.
        brains: bool (slices, side, side), the brain.
        planes: for each slice `axial`, `coronal` or `sagittal`.
        positions_mm: float64 (slices,), MNI coordinate along the plane's normal.
        mirrored: bool (slices,), the sagittal slice faces right (others: False).
    """

    images: np.ndarray
    brains: np.ndarray
    planes: tuple[str, ...]
    positions_mm: np.ndarray
    mirrored: np.ndarray

    def name(self, index: int) -> str:
        """A slice's name, as `axial+8` or `sagittal+4-mirrored`."""
        suffix = "-mirrored" if self.mirrored[index] else ""
        return f"{self.planes[index]}{self.positions_mm[index]:+g}{suffix}"

    @cached_property
    def heads(self) -> np.ndarray:
        """Brain and drawn head, bool (slices, side, side)."""
        return np.asarray(self.images > 0)

    @cached_property
    def squares(self) -> np.ndarray:
        """The slices with the head of each filling a square, as heads fill stored images.

        Float64 (slices, `SQUARE_PX`, `SQUARE_PX`), 0 to 255.
        """
        same = similarity(1.0, 0.0, (0.0, 0.0))
        boxes = [head_box(head, same, _MARGIN_FRACTION) for head in self.heads]
        squares = [
            warp(image, square_matrix(box, SQUARE_PX), SQUARE_PX)
            for image, box in zip(self.images, boxes, strict=True)
        ]
        return np.stack(squares)

    def save(self, path: Path) -> None:
        """Write the atlas; the same atlas gives the same bytes (numpy dates entries 1980)."""
        with replacing(path) as aside, aside.open("wb") as file:
            arrays: dict[str, Any] = {
                field.name: np.asarray(getattr(self, field.name)) for field in fields(self)
            }
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Atlas":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or not an atlas.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                arrays = {field.name: stored[field.name] for field in fields(cls)}
                return cls(**arrays | {"planes": tuple(map(str, arrays["planes"]))})
        except (OSError, KeyError, ValueError) as error:
            raise UserError(
                f"{path}: not an atlas (build it with stage preprocess): {error}"
            ) from error


_GAP_MM = 7.0  # brain surface to the inner face of the scalp: fluid, inner and outer table
_SCALP_MM = 6.0
_GAP_GREY = 30  # of 255; the template's fluid is about 90, grey matter 170, white matter 220
_SCALP_GREY = 190
_MIN_BRAIN_MM2 = 2000.0
_MIN_PART_MM2 = 100.0  # smaller specks are interpolation at the template's rim
_MIN_BRAIN_GREY = 0.1  # of the template's 0 to 1

Plane = Literal["axial", "coronal", "sagittal"]


def build_atlas(params: PreprocessParams) -> Atlas:
    """Cut the slices that `params` names from the MNI152 T1 template that nilearn ships.

    Source: ICBM 152 nonlinear symmetric 2009a. Slices with under 20 cm2 of brain are refused.

    Raises:
        UserError: a position in `params` lies outside the brain.
    """
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=int(ATLAS_PX_MM))
    volume = np.asarray(template.get_fdata(), dtype=np.float64)
    origin = np.asarray(template.affine)[:3, 3]
    brains, images, planes, positions, mirrored = [], [], [], [], []
    for plane, position, mirror in _wanted(params):
        brain = _cut(volume, origin, plane, position)
        brain = brain[:, ::-1] if mirror else brain
        brains.append(ndimage.binary_fill_holes(brain > 0))
        images.append(_with_head(brain))
        planes.append(plane)
        positions.append(position)
        mirrored.append(mirror)
    return Atlas(
        np.stack(images), np.stack(brains), tuple(planes), np.array(positions), np.array(mirrored)
    )


def _wanted(params: PreprocessParams) -> Iterator[tuple[Plane, float, bool]]:
    yield from (("axial", position, False) for position in params.axial_mm)
    yield from (("coronal", position, False) for position in params.coronal_mm)
    for position in params.sagittal_mm:
        yield "sagittal", position, False
        yield "sagittal", position, True


def _cut(volume: np.ndarray, origin: np.ndarray, plane: Plane, position_mm: float) -> np.ndarray:
    """One slice on the atlas grid as it is shown (front up or top up), 0 to 1."""
    axis = {"sagittal": 0, "coronal": 1, "axial": 2}[plane]
    index = round((position_mm - float(origin[axis])) / ATLAS_PX_MM)
    if not 0 <= index < volume.shape[axis]:
        raise UserError(f"preprocess.{plane}_mm: {position_mm:g} mm is outside the template")
    starts = np.round((np.delete(CENTRE_MM, axis) - np.delete(origin, axis)) / ATLAS_PX_MM)
    across = np.take(volume, index, axis=axis)
    canvas = np.zeros((ATLAS_SIDE_PX, ATLAS_SIDE_PX))
    first, second = (int(start) - ATLAS_SIDE_PX // 2 for start in starts)
    canvas[-first : across.shape[0] - first, -second : across.shape[1] - second] = across
    return _without_specks(canvas.T[::-1], f"preprocess.{plane}_mm: {position_mm:g} mm")


def _without_specks(brain: np.ndarray, name: str) -> np.ndarray:
    """Drop what interpolation left at the template's rim; refuse a slice with little brain."""
    shown = np.where(brain > _MIN_BRAIN_GREY, brain, 0.0)
    labels, _ = ndimage.label(ndimage.binary_opening(shown > 0))
    areas_mm2 = np.bincount(labels.ravel()) * ATLAS_PX_MM**2
    kept = np.isin(labels, 1 + np.flatnonzero(areas_mm2[1:] > _MIN_PART_MM2))
    if kept.sum() * ATLAS_PX_MM**2 < _MIN_BRAIN_MM2:
        raise UserError(f"{name} shows under {_MIN_BRAIN_MM2:.0f} mm2 of brain")
    return np.where(kept, shown, 0.0)


def _with_head(brain: np.ndarray) -> np.ndarray:
    """Draw the gap and the scalp around the closed outline of the brain; uint8."""
    closed = ndimage.binary_closing(np.pad(brain > 0, 32), iterations=16)[32:-32, 32:-32]
    distance_mm = ndimage.distance_transform_edt(~ndimage.binary_fill_holes(closed)) * ATLAS_PX_MM
    image = np.where(brain > 0, np.rint(brain * 255), _GAP_GREY)
    image[(distance_mm > _GAP_MM) & (distance_mm <= _GAP_MM + _SCALP_MM)] = _SCALP_GREY
    image[distance_mm > _GAP_MM + _SCALP_MM] = 0
    return image.astype(np.uint8)
