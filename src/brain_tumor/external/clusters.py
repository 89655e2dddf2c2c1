"""Which slices are not independent: copies, mirrored copies, slices of a file or a patient."""

from collections.abc import Iterator, Sequence

import numpy as np

from brain_tumor.dataset.groups import Pair, grouped, sharing
from brain_tumor.dataset.validation.duplicates import near_duplicates
from brain_tumor.external.fingerprint import Fingerprint

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
    if not pictures:
        return
    hashes = [one.straight for one in pictures] + [one.mirrored for one in pictures]
    near = near_duplicates(
        [one.dhash for one in hashes],
        np.stack([one.thumbnail for one in hashes]),
        NEAR_MAX_HAMMING,
        NEAR_MIN_CORRELATION,
    )
    yield from ((i % len(pictures), j % len(pictures)) for i, j in near)
