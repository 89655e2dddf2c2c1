"""Grey levels from numbers of any kind, and what every reader hands on: facts and slices."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.errors import UserError

MAX_BYTES = 1 << 30  # of the pixels of one file, decoded
ONLY_NAN: Final = "a picture without a single number: all its values are NaN or endless"
MAX_PIXELS = 25_000_000  # of a picture, so that it is worked on in seconds


# The kinds of files that are taken, and the endings that each goes by.
KINDS: Final = {
    "BMP": {".bmp", ".dib"},
    "DICOM": {".dcm", ".dicom", ".dic", ".ima", ""},
    "GIF": {".gif"},
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo"},
    "JPEG2000": {".jp2", ".j2k", ".jpc", ".jpf", ".jpx", ".j2c"},
    "NIfTI": {".nii", ".gz"},
    "PNG": {".png", ".apng"},
    "PPM": {".ppm", ".pgm", ".pbm", ".pnm", ".pfm"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}


class DecodeError(UserError):
    """The bytes are not an image that can be read; the message names what was received.

    Attributes:
        reason: what is wrong, without size and start of the bytes, for who names the file.
    """

    def __init__(self, message: str, reason: str = "") -> None:
        """Keep the whole message, and the reason in it."""
        super().__init__(message)
        self.reason = reason or message


class UnknownKindError(DecodeError):
    """The bytes are of no kind that is read."""


class NoPictureError(DecodeError):
    """The bytes are of a kind that is read, and hold no picture: a report, a directory."""


@dataclass(frozen=True)
class FileFacts:
    """What a file is by its header; no pixel is decoded for it.

    Attributes:
        kind: BMP, GIF, JPEG, JPEG2000, PNG, PPM, TIFF, WEBP, DICOM or NIfTI.
        mode: how its pixels are kept: Pillow's mode, or the type of the numbers.
        width: of a picture as it is stored, pixels.
        height: likewise.
        count: pictures in it: pages, frames or slices.
        orientation: of EXIF, 1 to 8; 1 where nothing is to turn.
        patient: the patient of its own tags as a salted hash, "" where it names none.
    """

    kind: str
    mode: str
    width: int
    height: int
    count: int = 1
    orientation: int = 1
    patient: str = ""


@dataclass(frozen=True)
class Slice:
    """A grey picture from a file.

    Attributes:
        name: which of several in the file, as `axial 77 of 155`; empty where there is one.
        grey: uint8 (H, W), square pixels, upright as a radiologist sees it.
        notes: what the file says that a reader should know.
    """

    name: str
    grey: NDArray[np.uint8]
    notes: tuple[str, ...] = ()


def background(values: NDArray[Any]) -> float:
    """The value of the air: the lowest, or 0 where that is commoner (standardised volumes)."""
    lowest = float(values.min())
    return 0.0 if np.count_nonzero(values == 0) > np.count_nonzero(values == lowest) else lowest


_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.8  # of the values that are not background


def window(values: NDArray[Any]) -> tuple[float, float]:
    """The values that become black and white: percentiles of what is not background.

    Air at 0 or above stays black: no value above it does.
    """
    air = background(values)
    signal = values[values != air]
    if not signal.size:
        return air, air + 1.0
    low, high = (float(value) for value in np.percentile(signal, [_LOW_PERCENT, _HIGH_PERCENT]))
    low = min(low, air) if values.min() >= 0 else low
    return low, max(high, float(np.nextafter(low, np.inf)))


def to_grey(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Finite values to 0 (`low` and below) to 255 (`high` and above)."""
    unit = np.clip((values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return np.rint(255.0 * unit).astype(np.uint8)


_SQUEEZED = 4.0  # the whole range over that of the percentiles: a few values are far from the rest
_EXACT = 1 << 53  # whole numbers up to here are doubles
_DISTINCT = 1e-6  # of their own size: percentiles nearer to each other are one value


def eight_bits(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Stretch numbers of any size and sign, (H, W), from their minimum and maximum to 0 and 255.

    How many bits a file really uses (10, 12, 14, 16), and what its fractions mean, is nowhere said,
    so that no fixed divisor keeps the grey levels. Whole numbers from 0 to 255 are an 8-bit picture
    and stay as they are, but for a picture of 0 and 1 alone. Where a few values are so far from the
    rest that less than a quarter of the levels is left for those, percentiles take the place of
    minimum and maximum (see `window`). What is not finite becomes black.

    Raises:
        DecodeError: no value is finite.
    """
    offset = _offset(np.asarray(values))
    if offset:  # a difference beyond the signed ones wraps round, and is right without a sign
        values = (values - offset).astype(np.uint64)
    numbers = np.asarray(values, dtype=np.float64)
    finite = np.isfinite(numbers)
    if not finite.all():
        if not finite.any():
            raise DecodeError(ONLY_NAN)
        numbers = np.where(finite, numbers, numbers[finite].min())
    low, high = float(numbers.min()), float(numbers.max())
    if not offset and _are_eight_bits(numbers):
        return numbers.astype(np.uint8)
    span = high / 2 - low / 2  # halves: the difference of doubles can be endless
    near_low, near_high = window(numbers[finite])
    near_span = near_high / 2 - near_low / 2
    if span > _SQUEEZED * near_span > _DISTINCT * max(abs(near_low), abs(near_high)):
        return to_grey(np.clip(numbers, near_low, near_high), near_low, near_high)
    unit = (numbers / 2 - low / 2) / (span / 255.0 or 1.0)
    return np.clip(unit, 0, 255).astype(np.uint8)


def _offset(values: NDArray[Any]) -> Any:
    """What to take from whole numbers that doubles cannot hold, so that they can; else 0."""
    if values.dtype.kind not in "iu" or values.itemsize < 8 or not values.size:
        return 0
    low, high = values.min(), values.max()
    return low if high > _EXACT or low < -_EXACT else 0


def _are_eight_bits(numbers: NDArray[np.float64]) -> bool:
    """Whether numbers are whole, from 0 to 255, and not 0 and 1 alone."""
    low, high = numbers.min(), numbers.max()
    return bool(low >= 0 and 1 < high <= 255 and not (numbers % 1).any())


def luma(colours: NDArray[Any]) -> NDArray[np.float64]:
    """Grey of colours (H, W, 3) of any depth, as Pillow does it for 8 bits (ITU-R 601-2).

    Grey colours keep their level to the last digit, and colours of 8 bits become whole levels.
    """
    red, green, blue = (colours[..., channel].astype(np.float64) for channel in range(3))
    grey = np.asarray(red * 0.299 + green * 0.587 + blue * 0.114)
    if _are_eight_bits(colours[..., :3].astype(np.float64)):
        grey = np.floor((red * 19595 + green * 38470 + blue * 7471) / 65536 + 0.5)
    return np.where((red == green) & (green == blue), red, grey)


_UNEVEN = 1.01  # pixels this much longer one way are resampled
_MOST_UNEVEN = 20.0


def square(grey: NDArray[np.uint8], row_mm: float, column_mm: float) -> NDArray[np.uint8]:
    """Resample (linear) so that pixels are square, of the shorter spacing.

    `row_mm` is the distance of neighbouring rows, `column_mm` of columns; 0, or no number, where
    it is not known.

    Raises:
        DecodeError: one spacing is more than 20 times the other, or there would be too many pixels.
    """
    measured = all(isfinite(mm) and mm > 0 for mm in (row_mm, column_mm))
    shorter, longer = sorted((row_mm, column_mm)) if measured else (1.0, 1.0)
    if longer / shorter < _UNEVEN:
        return grey
    if longer / shorter > _MOST_UNEVEN:
        raise DecodeError(f"pixels of {column_mm:g} x {row_mm:g} mm: no picture to look at")
    if grey.size * longer / shorter > MAX_PIXELS:
        raise DecodeError(
            f"{grey.shape[1]} x {grey.shape[0]} pixels of {column_mm:g} x {row_mm:g} mm: with "
            f"square ones more than {MAX_PIXELS / 1e6:g} megapixels"
        )
    factors = (row_mm / shorter, column_mm / shorter)
    stretched = ndimage.zoom(
        grey.astype(np.float64), factors, order=1, grid_mode=True, mode="nearest"
    )
    return np.asarray(np.rint(stretched).astype(np.uint8))


def middle(count: int, positions: Sequence[int]) -> list[int]:
    """At most `count` of ascending positions, evenly spaced over their middle third."""
    total = len(positions)
    if count >= total:
        return list(positions)
    first, last = (total - 1) / 3, 2 * (total - 1) / 3
    spread = np.linspace(first, last, count) if count > 1 else [(total - 1) / 2]
    chosen = [round(float(place)) for place in spread]
    if len(set(chosen)) < count:  # a middle third of fewer: the middle ones, side by side
        start = (total - count) // 2
        chosen = list(range(start, start + count))
    return [positions[place] for place in chosen]
