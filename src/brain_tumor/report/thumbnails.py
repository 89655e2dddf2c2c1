"""Images as the network sees them, small enough to be embedded in a page."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image

from brain_tumor.outputs import load_images

_SIDE_PX = 192
_JPEG_QUALITY = 82


def thumbnails(images: Path, paths: Sequence[str]) -> Mapping[str, bytes]:
    """JPEG of each image by its path.

    Args:
        images: the folder of preprocessed images.
        paths: as the manifest has them.

    Raises:
        ValueError: an image is missing.
    """
    if not paths:
        return {}
    return {
        path: _jpeg(Image.fromarray(pixels))
        for path, pixels in zip(paths, load_images(images, paths), strict=True)
    }


def _jpeg(image: Image.Image) -> bytes:
    image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
    written = io.BytesIO()
    image.save(written, "JPEG", quality=_JPEG_QUALITY)
    return written.getvalue()
