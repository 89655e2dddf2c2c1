"""One image file really decoded: what it is and what it looks like, or why it is none."""

import hashlib
import io
import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from brain_tumor.dataset.validation.duplicates import difference_hash, thumbnail
from brain_tumor.imaging.decode import eight_bits
from brain_tumor.settings import ValidateParams

# What Pillow may try, and the file name extensions each format goes by.
EXTENSIONS = {
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}


class BadImageError(ValueError):
    """A file that cannot be used as an image; the message is the reason, without the path."""


class ImageFacts(NamedTuple):
    """What a decoded image is.

    `width` and `height` are as stored, in pixels, before the EXIF `orientation` (1 to 8, 1 = as
    stored) is applied; `dhash` and `thumbnail` are of the picture the right way up.
    """

    format: str
    mode: str
    width: int
    height: int
    bytes: int
    sha256: str
    dhash: int
    thumbnail: npt.NDArray[np.uint8]
    orientation: int
    blank: bool


def read_facts(file: Path, params: ValidateParams) -> ImageFacts:
    """Decode every pixel of `file` and describe it.

    Raises:
        BadImageError: it is empty, broken, no image, animated, too large or too small.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error
    if not data:
        raise BadImageError("empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; what matters raises
            return _decode(data, params)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        known = ", ".join(EXTENSIONS)
        raise BadImageError(f"not an image that can be read ({known})") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"too large: {error}") from error
    except Exception as error:  # Pillow's decoders raise many kinds (OSError, SyntaxError, struct)
        raise BadImageError(f"broken image: {error}") from error


def _decode(data: bytes, params: ValidateParams) -> ImageFacts:
    with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
        _check_size(image.size, params)
        image.verify()  # checksums, which loading alone skips
    with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            raise BadImageError(f"animated or multi-page: {frames} frames, one is wanted")
        upright = upright_grey(image)  # decodes every pixel
        return ImageFacts(
            format=str(image.format),
            mode=image.mode,
            width=image.width,
            height=image.height,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            dhash=difference_hash(upright),
            thumbnail=thumbnail(upright),
            orientation=int(image.getexif().get(ExifTags.Base.Orientation, 1)),
            blank=len(set(upright.getextrema())) == 1,
        )


def _check_size(size: tuple[int, int], params: ValidateParams) -> None:
    width, height = size
    if width * height > params.max_megapixels * 1e6:
        raise BadImageError(
            f"too large: {width}x{height} px is more than validate.max_megapixels = "
            f"{params.max_megapixels:g}"
        )
    if min(size) < params.min_side_px:
        raise BadImageError(
            f"too small: {width}x{height} px, validate.min_side_px = {params.min_side_px}"
        )


def upright_grey(image: Image.Image) -> Image.Image:
    """The picture that is hashed: the right way up, 8-bit grey, transparency ignored.

    Pictures of more than 8 bits are stretched as the network sees them.

    Raises:
        ValueError: values that `imaging.decode` does not take.
    """
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")):
        return image.convert("L")
    return Image.fromarray(eight_bits(np.asarray(image, dtype=np.float64)))
