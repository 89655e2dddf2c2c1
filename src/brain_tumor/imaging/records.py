"""Stored images: where they are, how they are written and read."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from brain_tumor.atomic import replacing


class StoredImageError(ValueError):
    """A stored image is missing, unreadable or of the wrong size; the message names it."""


def stored(folder: Path, path: str) -> Path:
    """Where the image of manifest path `path` is kept: `folder/<path>.png`."""
    return folder / f"{path}.png"


def save_image(file: Path, image: np.ndarray) -> None:
    """Write uint8 (H, W) as an 8-bit grey PNG; the same image gives the same bytes."""
    with replacing(file) as aside:
        Image.fromarray(image).save(aside, format="PNG", compress_level=6)


def load_images(folder: Path, paths: Sequence[str]) -> np.ndarray:
    """Read stored images.

    Args:
        folder: an images folder of stage preprocess or augment.
        paths: manifest paths; `.png` is added to each.

    Returns:
        uint8 (len(paths), side, side), in order; (0, 0, 0) without paths.

    Raises:
        StoredImageError: a file is missing, not an 8-bit grey image, or unlike the first in size.
    """
    images = [_load(stored(folder, path)) for path in paths]
    for path, image in zip(paths, images, strict=True):
        if image.shape != images[0].shape or image.shape[0] != image.shape[1]:
            raise StoredImageError(
                f"{stored(folder, path)}: shape {image.shape}, expected a square like the first, "
                f"{stored(folder, paths[0])}: {images[0].shape}"
            )
    return np.stack(images) if images else np.zeros((0, 0, 0), dtype=np.uint8)


def _load(file: Path) -> np.ndarray:
    try:
        with Image.open(file) as image:
            if image.mode != "L":
                raise StoredImageError(f"{file}: mode {image.mode}, expected L (8-bit grey)")
            return np.array(image, dtype=np.uint8)
    except OSError as error:
        raise StoredImageError(
            f"{file}: cannot be read ({error}); run the stage that writes it (`dvc repro`)"
        ) from error
