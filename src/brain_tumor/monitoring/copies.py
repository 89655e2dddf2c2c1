"""Which images the model has already seen, and which are copies of each other."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from brain_tumor.data import copies, training_images
from brain_tumor.data.copies import (
    Pair,
    difference_hash,
    frequency_hash,
    grouped,
    near_duplicates,
    sharing,
    thumbnail,
)
from brain_tumor.data.training_images import TrainingImage


@dataclass(frozen=True)
class Hashes:
    """A picture by its 64-bit difference hash, 255-bit frequency hash and thumbnail (32, 32)."""

    dhash: int
    fhash: int
    thumbnail: NDArray[np.uint8]


@dataclass(frozen=True)
class Fingerprint:
    """A picture and its mirror image (left and right exchanged)."""

    straight: Hashes
    mirrored: Hashes


def fingerprints(slices: Iterable[NDArray[np.uint8]]) -> list[Fingerprint]:
    """A fingerprint for each slice, uint8 (H, W), as the reader gives it.

    The pictures of the data folder are hashed as the reader gives them too: copies compare equal.
    """
    greys = [Image.fromarray(pixels) for pixels in slices]
    return [Fingerprint(_hashes(grey), _hashes(ImageOps.mirror(grey))) for grey in greys]


def _hashes(grey: Image.Image) -> Hashes:
    return Hashes(difference_hash(grey), frequency_hash(grey), thumbnail(grey))


# Without the finer hash: on the 253 this finds 59 of 60 pairs of copies, and 5 pairs that are none.
_DHASH_MAX_BITS = 3


@dataclass(frozen=True)
class Match:
    """The training image that a picture is taken for a copy of, and why, in words."""

    reason: str
    image: TrainingImage


@dataclass(frozen=True)
class KnownImages:
    """The images a model was trained on (train) and chosen and calibrated by (val)."""

    images: tuple[TrainingImage, ...]

    @classmethod
    def load(cls, model: Path) -> "KnownImages":
        """Read the table in a model's folder; without one nothing is known.

        Raises:
            UserError: the table cannot be read.
        """
        path = model / training_images.TRAINING_IMAGES
        return cls(tuple(training_images.read(path)) if path.is_file() else ())

    @property
    def limits(self) -> str:
        """What cannot be told of copies with this model, in a sentence; "" if all can."""
        if not self.images:
            return (
                "The model has no list of its training images: whether images here are among them "
                "is not known."
            )
        if not any(image.dhash or image.fhash for image in self.images):
            return (
                "The model's list of training images is of an earlier version and holds no hashes "
                "of pictures: only files with the same bytes were found and left out."
            )
        if any(not image.fhash for image in self.images):
            return (
                "The model's list of training images lacks the finer hash of some pictures: of "
                "those, copies were found by the 64-bit hash alone, which now and then takes a "
                "picture for a copy that is none."
            )
        return ""

    def match(self, sha256: str, pictures: Sequence[Fingerprint]) -> Match | None:
        """The image that a file is a copy of, by its bytes or, if those differ, by its slices."""
        if sha256 in self._by_bytes:
            return Match("same bytes", self._by_bytes[sha256])
        for name, side in (("same picture", "straight"), ("mirrored picture", "mirrored")):
            for picture in pictures:
                image = self._nearest(getattr(picture, side))
                if image is not None:
                    return Match(name, image)
        return None

    def _nearest(self, hashes: Hashes) -> TrainingImage | None:
        for (images, words), own, max_bits in (
            (self._fine, hashes.fhash, copies.MAX_BITS),
            (self._coarse, hashes.dhash, _DHASH_MAX_BITS),
        ):
            if not images:
                continue
            bits = np.bitwise_count(words ^ _words([own], words.shape[1])).sum(axis=1)
            if bits.min() <= max_bits:
                return images[int(bits.argmin())]
        return None

    @cached_property
    def _by_bytes(self) -> dict[str, TrainingImage]:
        return {image.sha256: image for image in reversed(self.images)}

    @cached_property
    def _fine(self) -> tuple[list[TrainingImage], NDArray[np.uint64]]:
        images = [image for image in self.images if image.fhash]
        return images, _words([int(image.fhash, 16) for image in images], 4)

    @cached_property
    def _coarse(self) -> tuple[list[TrainingImage], NDArray[np.uint64]]:
        images = [image for image in self.images if image.dhash and not image.fhash]
        return images, _words([int(image.dhash, 16) for image in images], 1)


def _words(hashes: Sequence[int], count: int) -> NDArray[np.uint64]:
    """Hashes as rows of 64-bit words, (N, count)."""
    data = b"".join(value.to_bytes(8 * count, "big") for value in hashes)
    return np.frombuffer(data, dtype=">u8").astype(np.uint64).reshape(len(hashes), count)


# Near-duplicates are those of stage validate by the params.yaml of this project: the figures of a
# model do not depend on the checkout they are computed in.
NEAR_MAX_HAMMING, NEAR_MIN_CORRELATION = 6, 0.97


def slice_clusters(
    names: Sequence[str],
    sha256: Sequence[str],
    patients: Sequence[str],
    pictures: Sequence[Fingerprint],
) -> list[str]:
    """Name the cluster of each slice by the smallest name in it.

    A picture and the mirror image of another are compared too.

    Args:
        names: N distinct names.
        sha256: of the files, so slices of one file are joined.
        patients: "" where unknown.
        pictures: of the slices.
    """
    if not names:
        return []
    pairs = [*sharing(sha256), *sharing(patients), *_alike(pictures)]
    return grouped(names, pairs)


def _alike(pictures: Sequence[Fingerprint]) -> Iterator[Pair]:
    """Index pairs of copies; the mirror images stand behind the pictures, so i + N is i's."""
    hashes = [pair.straight for pair in pictures] + [pair.mirrored for pair in pictures]
    near = near_duplicates(
        [picture.dhash for picture in hashes],
        np.stack([picture.thumbnail for picture in hashes]),
        NEAR_MAX_HAMMING,
        NEAR_MIN_CORRELATION,
    )
    yield from ((i % len(pictures), j % len(pictures)) for i, j in near)
