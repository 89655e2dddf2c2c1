"""Image bytes to a grey picture, whatever the format and mode."""

import io
import warnings

import numpy as np
from PIL import Image, ImageOps, ImageSequence, UnidentifiedImageError

_SIXTEEN_BIT_MAX = 65535
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")  # the last two: of more than 4 GiB


class DecodeError(ValueError):
    """The bytes are not an image that can be read; the message names what was received."""


def decode(data: bytes, page: int = 0) -> np.ndarray:
    """Decode an encoded image to 8-bit grey.

    The EXIF orientation is applied, transparency is laid on black, colour becomes luma
    (ITU-R 601-2, as Pillow does it). Pictures of more than 8 bits are stretched: see `eight_bits`.
    Of an animation the first frame is taken.

    Args:
        data: the encoded file (JPEG, PNG, TIFF, ... : what Pillow reads).
        page: of a TIFF, one of `page_numbers`.

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
    """Stretch deep grey values from their own minimum and maximum to 0 and 255.

    How many bits a file really uses (10, 12, 14, 16) is nowhere said, so that no fixed divisor
    keeps the grey levels. Whole numbers up to 255 are an 8-bit picture and stay as they are.

    Args:
        values: float64 (height, width), 0 to 65535.

    Returns:
        uint8 (height, width).

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
