"""The atlas: slices that images are normalised to, kept as one small npz (numpy only)."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from brain_tumor.atomic import replacing
from brain_tumor.imaging.crop import head_box, square_matrix
from brain_tumor.imaging.geometry import similarity, warp

ATLAS_SIDE_PX = 128
ATLAS_PX_MM = 2.0
CENTRE_MM = (0.0, -18.0, 10.0)  # MNI x, y, z
SQUARE_PX = 64
_MARGIN_FRACTION = 0.03  # around the head in a square, of its longer side


class AtlasError(ValueError):
    """An atlas file is missing or not an atlas."""


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
        heads: np.ndarray = self.images > 0
        return heads

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
            np.savez_compressed(
                file,
                images=self.images,
                brains=self.brains,
                planes=np.array(self.planes),
                positions_mm=self.positions_mm,
                mirrored=self.mirrored,
            )

    @classmethod
    def load(cls, path: Path) -> "Atlas":
        """Read what `save` wrote.

        Raises:
            AtlasError: the file is missing or not an atlas.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                return cls(
                    images=stored["images"],
                    brains=stored["brains"],
                    planes=tuple(str(plane) for plane in stored["planes"]),
                    positions_mm=stored["positions_mm"],
                    mirrored=stored["mirrored"],
                )
        except (OSError, KeyError, ValueError) as error:
            raise AtlasError(
                f"{path}: not an atlas (build it with stage preprocess): {error}"
            ) from error
