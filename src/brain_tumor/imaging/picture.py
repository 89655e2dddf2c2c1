"""A picture as it is read: decoded to grey levels, with its source and pixel size."""

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError
from scipy import ndimage

from brain_tumor.errors import UserError

_SIXTEEN_BIT_MAX = 65535
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: of more than 4 GiB


class DecodeError(UserError):
    """The bytes are not an image that can be read; the message names what was received."""


def decode(data: bytes, page: int = 0) -> np.ndarray:
    """Decode an image file (JPEG, PNG, TIFF, ... : what Pillow reads) to 8-bit grey.

    The EXIF orientation is applied, transparency is laid on black, colour becomes luma
    (ITU-R 601-2, as Pillow does it). Pictures of more than 8 bits are stretched: see `eight_bits`.
    Of an animation the first frame is taken, of a TIFF the page (see `page_numbers`).

    Returns:
        uint8 array of shape (height, width), 0 to 255.

    Raises:
        DecodeError: `data` is empty, truncated, too large or not an image.
    """
    if not data:
        raise DecodeError("cannot decode an image: received 0 bytes")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; what matters raises
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data)) as image:
                if page:
                    image.seek(page)
                return _grey(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise DecodeError(
            f"cannot decode an image: received {len(data)} bytes starting with {data[:8]!r}: not a "
            "picture of a known kind"
        ) from error
    except Exception as error:  # Pillow's plugins raise many kinds (OSError, SyntaxError, struct)
        raise DecodeError(
            f"cannot decode an image: received {len(data)} bytes starting with {data[:8]!r}: "
            f"{error}"
        ) from error


def page_numbers(data: bytes) -> list[int]:
    """Pages of a TIFF as large as its first (others are thumbnails); [0] of anything else."""
    if not data.startswith(_TIFF):
        return [0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=["TIFF"]) as image:
                first = image.size
                pages = enumerate(ImageSequence.Iterator(image))
                return [number for number, page in pages if page.size == first]
    except Exception:  # `decode` says what is wrong
        return [0]


def _grey(image: Image.Image) -> np.ndarray:
    if image.mode.startswith("I") or image.mode == "F":
        return eight_bits(np.asarray(image, dtype=np.float64))
    if image.has_transparency_data:
        coloured = image.convert("RGBA")
        black = Image.new("RGBA", coloured.size, (0, 0, 0, 255))
        image = Image.alpha_composite(black, coloured)
    if image.mode not in ("L", "RGB"):
        image = image.convert("RGB")
    return np.array(image.convert("L"), dtype=np.uint8)


def eight_bits(values: np.ndarray) -> np.ndarray:
    """Stretch deep grey values, float64 (H, W), from their own minimum and maximum to 0 and 255.

    How many bits a file really uses (10, 12, 14, 16) is nowhere said, so that no fixed divisor
    keeps the grey levels. Whole numbers up to 255 are an 8-bit picture and stay as they are.

    Raises:
        ValueError: a value is no number, negative or above 65535.
    """
    if not np.isfinite(values).all() or values.min() < 0:
        raise ValueError(f"pixel values from {values.min()} to {values.max()}, not in 0..65535")
    low, high = float(values.min()), float(values.max())
    if high > _SIXTEEN_BIT_MAX:
        raise ValueError(f"pixel value {high:g} is above {_SIXTEEN_BIT_MAX}")
    if high <= 255 and not (values % 1).any():
        return values.astype(np.uint8)
    step = (high - low) / 255.0 or 1.0
    return np.clip((values - low) / step, 0, 255).astype(np.uint8)


MAX_BYTES = 1 << 30  # of the pixels of one file, decoded
MAX_PIXELS = 25_000_000  # of a picture, so that it is worked on in seconds
_LOW_PERCENT, _HIGH_PERCENT = 0.5, 99.8  # of the values that are not background
_UNEVEN = 1.01  # pixels this much longer one way are resampled
_MOST_UNEVEN = 20.0


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


def square(grey: NDArray[np.uint8], row_mm: float, column_mm: float) -> NDArray[np.uint8]:
    """Resample (linear) so that pixels are square, of the shorter spacing.

    `row_mm` is the distance of neighbouring rows, `column_mm` of columns; 0, or no number, where
    it is not known.

    Raises:
        DecodeError: one spacing is more than 20 times the other.
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
