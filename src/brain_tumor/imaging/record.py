"""What was done to an image: a row of records.csv, and the same geometry for its masks."""

from dataclasses import asdict, dataclass, fields
from typing import Any, Self

import numpy as np

from brain_tumor.imaging.crop import Box, inside
from brain_tumor.imaging.geometry import warp


@dataclass(frozen=True)
class Record:
    """What was done to an image, enough to do it again to a mask of the same image.

    Attributes:
        width: of the raw image in pixels (EXIF orientation applied).
        height: likewise.
        slice: atlas slice, as `axial+8`; empty with `normalisation: none`.
        plane: its plane; empty with `none`.
        rotation_deg: of the stored image's axes in the raw image, clockwise as seen.
        px_per_mm: raw pixels in a millimetre of the atlas; 0 with `none`.
        information: normalised mutual information with the slice, 0 to 1.
        overlap: Dice overlap of the heads, 0 to 1.
        fallback: why the registration was not trusted; empty if it was.
        m00: with m01, m02, m10, m11, m12 the (2, 3) map from a pixel (x, y, 1) of the stored
            image to a pixel (x, y) of the raw one; pixel 0 is the centre of the first.
        left: with top, right, bottom the crop in pixels of the stored image; outside it is 0.
        low: raw grey level that became 0.
        high: raw grey level that became 1 (stored 255).
        size_px: side of the stored image.
    """

    width: int
    height: int
    slice: str
    plane: str
    rotation_deg: float
    px_per_mm: float
    information: float
    overlap: float
    fallback: str
    m00: float
    m01: float
    m02: float
    m10: float
    m11: float
    m12: float
    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float
    size_px: int

    @property
    def matrix(self) -> np.ndarray:
        """The map as a float64 (2, 3) array."""
        return np.array([[self.m00, self.m01, self.m02], [self.m10, self.m11, self.m12]])

    @property
    def box(self) -> Box:
        """The crop in pixels of the stored image."""
        return Box(self.left, self.top, self.right, self.bottom)

    def row(self) -> dict[str, Any]:
        """The fields as a row of records.csv."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """The record in a row of records.csv; other columns are ignored, values may be strings."""
        return cls(**{field.name: _parse(field.type, row[field.name]) for field in fields(cls)})


def _parse(kind: object, value: Any) -> Any:
    return kind(value) if kind in (int, float) and callable(kind) else str(value)


def apply_geometry(image: np.ndarray, record: Record, order: int) -> np.ndarray:
    """Warp, crop and resize a picture as the recorded image was (not its intensities).

    Args:
        image: (height, width) of the raw image, any real dtype or bool: the image or a mask.
        record: of that image.
        order: 0 nearest (masks), 1 linear.

    Nothing is blanked but what lies outside the crop (`blank_outside_head` is not repeated).

    Returns:
        (size_px, size_px): dtype of `image` with order 0, else float64; 0 outside the crop.

    Raises:
        ValueError: `image` has another size than the recorded one.
    """
    if image.shape != (record.height, record.width):
        raise ValueError(
            f"the picture has shape {image.shape}, the recorded image "
            f"({record.height}, {record.width}): a mask must match its image"
        )
    warped = warp(image, record.matrix, record.size_px, order)
    warped[~inside(record.box, record.size_px)] = 0
    return warped
