"""Images that are the same picture: byte-identical, or re-encoded and resized copies."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
from PIL import Image

from brain_tumor.dataset.groups import Pair, grouped, sharing

THUMBNAIL_PX = 32
_CHUNK = 512  # rows compared with all others at a time: 512 x N distances in memory


def difference_hash(grey: Image.Image) -> int:
    """64-bit difference hash of a grey image.

    The image is averaged over areas down to 9 x 8 (width x height) pixels; a bit is 1 where a pixel
    is darker than its right neighbour, row by row from the top left, most significant bit first.

    Source: N. Krawetz, "Kind of Like That" (2013).
    """
    small = np.asarray(grey.resize((9, 8), Image.Resampling.BOX))
    bits = np.packbits(small[:, :-1] < small[:, 1:])
    return int.from_bytes(bits.tobytes(), "big")


def thumbnail(grey: Image.Image) -> npt.NDArray[np.uint8]:
    """The image averaged over areas to a (32, 32) array of grey values, 0 to 255."""
    side = (THUMBNAIL_PX, THUMBNAIL_PX)
    return np.array(grey.resize(side, Image.Resampling.BOX), dtype=np.uint8)


def duplicate_groups(
    paths: Sequence[str],
    sha256: Sequence[str],
    dhash: Sequence[int],
    thumbnails: npt.NDArray[np.uint8],
    max_hamming: int,
    min_correlation: float,
) -> list[str]:
    """Name the duplicate group of each image.

    Two images are near-duplicates if their hashes differ in at most `max_hamming` bits and the
    correlation of their thumbnails is above `min_correlation`. Groups are the connected components
    of "same bytes or near-duplicate", so members at the ends of a chain may differ by more.

    Args:
        paths: N distinct names.
        sha256: N digests of the files' bytes.
        dhash: N values of `difference_hash`.
        thumbnails: uint8 array of shape (N, 32, 32).
        max_hamming: in bits, 0 to 64.
        min_correlation: Pearson correlation of grey values, 0 to 1.

    Returns:
        The smallest path of each image's group, in the order of `paths`; it does not depend on
        that order.
    """
    near = near_duplicates(dhash, thumbnails, max_hamming, min_correlation)
    return grouped(paths, [*sharing(sha256), *near])


def near_duplicates(
    dhash: Sequence[int],
    thumbnails: npt.NDArray[np.uint8],
    max_hamming: int,
    min_correlation: float,
) -> Iterator[Pair]:
    """Yield the index pairs (i < j) of near-duplicates, as `duplicate_groups` defines them."""
    hashes = np.array(dhash, dtype=np.uint64)
    profiles = _standardised(thumbnails)
    for start in range(0, len(hashes), _CHUNK):
        rows = slice(start, start + _CHUNK)
        hamming = np.bitwise_count(hashes[rows, None] ^ hashes[None, :])
        correlation = profiles[rows] @ profiles.T
        near = (hamming <= max_hamming) & (correlation > min_correlation)
        for i, j in np.argwhere(near):
            if start + i < j:
                yield int(start + i), int(j)


def _standardised(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float64]:
    """Rows of mean 0 and length 1, so that their product is the correlation; blank ones are 0."""
    flat = thumbnails.reshape(len(thumbnails), THUMBNAIL_PX**2).astype(np.float64)
    centred: npt.NDArray[np.float64] = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(length > 0, length, 1.0)
