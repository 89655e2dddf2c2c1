"""What tells copies of a picture: hashes of it and of its mirror image."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from brain_tumor.dataset.frequency_hash import frequency_hash
from brain_tumor.dataset.picture import read_picture
from brain_tumor.dataset.validation.duplicates import difference_hash, thumbnail


@dataclass(frozen=True)
class Hashes:
    """A picture by its hashes.

    Attributes:
        dhash: 64-bit difference hash.
        fhash: 255-bit frequency hash.
        thumbnail: uint8 (32, 32).
    """

    dhash: int
    fhash: int
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class Fingerprint:
    """A picture and its mirror image (left and right exchanged)."""

    straight: Hashes
    mirrored: Hashes


def fingerprints(file: Path, slices: list[NDArray[np.uint8]]) -> list[Fingerprint]:
    """A fingerprint for each slice of a file that the model has read.

    A picture is hashed as the pictures of the data folder are, so that copies compare equal.

    Args:
        file: where it is.
        slices: as the model read them, uint8 (H, W) each.
    """
    picture = read_picture(file) if len(slices) == 1 else None
    greys = [Image.fromarray(one) for one in slices] if picture is None else [picture]
    return [Fingerprint(_hashes(grey), _hashes(ImageOps.mirror(grey))) for grey in greys]


def _hashes(grey: Image.Image) -> Hashes:
    return Hashes(difference_hash(grey), frequency_hash(grey), thumbnail(grey))
