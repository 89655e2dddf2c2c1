"""Copies of a picture: exact duplicates, near-duplicates, and the groups they form.

Brain slices look alike: of the 253, 69 are within 6 of the 64 bits of the difference hash of a
picture that is no copy of theirs. The manifest can ask the thumbnails too; who has the hash alone
needs this one. Of the 253 rescaled (half, double, square), brightened or compressed anew, 99 in 100
stay within 24 bits; the nearest of two that are no copies, mirrored or not, are 28 away. A picture
of which 2 % are cut off at each side is not recognised.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import pandas as pd
from PIL import Image
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from brain_tumor.data.hamming import Places, apart, pairs_within

Pair = tuple[int, int]


def sharing(keys: Sequence[str]) -> Iterator[Pair]:
    """Yield index pairs that join all items of equal, non-empty key."""
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key and first.setdefault(key, index) != index:
            yield first[key], index


def grouped(names: Sequence[str], pairs: Iterable[Pair]) -> list[str]:
    """Name each item's group (connected component of `pairs`) by the smallest name in it."""
    ends = np.array(list(pairs), dtype=np.intp).reshape(-1, 2)
    shape = (len(names), len(names))
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=shape)
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for name, group in sorted(zip(names, component.tolist(), strict=True)):
        smallest.setdefault(group, name)
    return [smallest[group] for group in component.tolist()]


def clusters(manifest: pd.DataFrame, columns: Sequence[str] = ("group", "patient")) -> pd.Series:
    """Name the cluster of each image: all that duplicates or a known patient join.

    Images of one cluster are not independent, however they were split. Indexed by path.
    """
    pairs = [pair for column in columns for pair in sharing(list(manifest[column]))]
    return pd.Series(grouped(list(manifest["path"]), pairs), index=manifest["path"])


THUMBNAIL_PX = 32
_PIXELS = THUMBNAIL_PX**2


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
    """Name the duplicate group of each of N images.

    Two images are near-duplicates if their hashes (see `difference_hash`) differ in at most
    `max_hamming` bits and the correlation of their thumbnails, uint8 (N, 32, 32), is above
    `min_correlation`. Groups are the connected components of "same bytes or near-duplicate", so
    members at the ends of a chain may differ by more.

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
    """Yield index pairs (i < j) of near-duplicates, as `duplicate_groups` defines them.

    Not all of them: as many as join the pictures into their groups.
    """
    hashes, profiles = np.array(dhash, dtype=np.uint64), _Profiles(thumbnails)
    earliest: dict[tuple[int, bytes], int] = {}
    for index in np.flatnonzero(profiles.variance).tolist():  # a blank picture is like no other
        picture = int(hashes[index]), hashlib.sha256(thumbnails[index]).digest()
        if earliest.setdefault(picture, index) != index and min_correlation < 1:
            yield earliest[picture], index
    distinct = np.array(list(earliest.values()), dtype=np.intp)
    clusters = _Clusters(len(distinct))
    for first, second in pairs_within(hashes[distinct], max_hamming, clusters.number):
        likely = profiles.may_correlate(distinct[first], distinct[second], min_correlation)
        likely_first, likely_second = first[likely], second[likely]
        for start in range(0, len(likely_first), _CORRELATED):
            part = slice(start, start + _CORRELATED)
            i, j = apart(likely_first[part], likely_second[part], clusters.number)
            near = profiles.correlation(distinct[i], distinct[j]) > min_correlation
            for one, other in zip(i[near].tolist(), j[near].tolist(), strict=True):
                if clusters.join(one, other):
                    a, b = int(distinct[one]), int(distinct[other])
                    yield min(a, b), max(a, b)


class _Clusters:
    """Clusters of items, joined pair by pair.

    Attributes:
        number: of each item's cluster, (N,), always up to date.
    """

    def __init__(self, items: int) -> None:
        self.number = np.arange(items)
        self._members: dict[int, list[int]] = {}

    def join(self, i: int, j: int) -> bool:
        """Join the clusters of two items; False where they are one already."""
        numbers = {int(self.number[i]), int(self.number[j])}
        if len(numbers) == 1:
            return False
        small, large = sorted(numbers, key=lambda number: len(self._members.get(number, [number])))
        members = self._members.pop(small, [small])
        self.number[members] = large
        self._members.setdefault(large, [large]).extend(members)
        return True


_TILES = 8  # a side of a sketch
_CORRELATED, _SUMMED = 2048, 4096  # pairs and thumbnails at a time, which bounds the memory
_ROUNDING = 1e-4  # of the distance of two sketches


class _Profiles:
    """Thumbnails, uint8 (N, 32, 32), to be correlated pair by pair.

    A sketch is the sums of 8 x 8 tiles of the thumbnail, once that has mean 0 and length 1, over 4.
    Two sketches are no further apart than their thumbnails, so most pairs need no more than them.

    Attributes:
        variance: of each, times the square of the number of pixels; exact.
    """

    def __init__(self, thumbnails: npt.NDArray[np.uint8]) -> None:
        self._flat = thumbnails.reshape(len(thumbnails), _PIXELS)
        tile = THUMBNAIL_PX // _TILES
        tiles = thumbnails.reshape(-1, _TILES, tile, _TILES, tile).sum((2, 4), dtype=np.float64)
        tiles = tiles.reshape(-1, _TILES**2)
        self._total = tiles.sum(axis=1)
        squares = [
            (part.astype(np.float64) ** 2).sum(axis=1)
            for part in np.split(self._flat, range(_SUMMED, len(thumbnails), _SUMMED))
        ]
        self.variance = _PIXELS * np.concatenate(squares) - self._total**2
        centred = tiles - self._total[:, None] / _TILES**2
        length = np.sqrt(np.maximum(self.variance, 1) / _PIXELS)
        self._sketch = (centred / (tile * length[:, None])).astype(np.float32)

    def may_correlate(self, i: Places, j: Places, above: float) -> npt.NDArray[np.bool_]:
        """False where the sketches rule out that two thumbnails correlate so well."""
        squared = ((self._sketch[i] - self._sketch[j]) ** 2).sum(axis=1)
        return np.asarray(squared <= 2 - 2 * above + _ROUNDING)

    def correlation(self, i: Places, j: Places) -> npt.NDArray[np.float64]:
        """Of the thumbnails i with the thumbnails j, none of which is blank."""
        first, second = (self._flat[rows].astype(np.float64) for rows in (i, j))
        products = np.einsum("ij,ij->i", first, second)
        covariance = _PIXELS * products - self._total[i] * self._total[j]
        return np.asarray(covariance / np.sqrt(self.variance[i] * self.variance[j]))


BITS = 255
MAX_BITS = 24  # in which the hashes of copies may differ
_SIDE_PX, _KEPT = 64, 16


def frequency_hash(grey: Image.Image) -> int:
    """255-bit hash of the low spatial frequencies of a grey image.

    The image is averaged over areas down to 64 x 64 pixels and transformed (DCT-II). Of the
    16 x 16 lowest frequencies, without the mean, a bit is 1 where the coefficient is above their
    median, row by row, most significant bit first.

    Source: C. Zauner, "Implementation and Benchmarking of Perceptual Image Hash Functions" (2010),
    with 16 x 16 instead of 8 x 8 frequencies.
    """
    from scipy.fft import dctn

    small = grey.resize((_SIDE_PX, _SIDE_PX), Image.Resampling.BOX)
    spectrum = dctn(np.asarray(small, dtype=np.float64), norm="ortho")
    low = spectrum[:_KEPT, :_KEPT].ravel()[1:]
    bits = np.packbits(np.concatenate([[False], low > np.median(low)]))
    return int.from_bytes(bits.tobytes(), "big")


# SHA-256 of files of Kaggle's `brain-mri-images-for-brain-tumor-detection`. Drawn up by eye before
# any model; never to be extended from a model's errors.
SUSPECTS: Final[tuple[str, ...]] = (
    # an abdominal CT, and a head CT with a mass
    "8d6c1b4cd984419b60c39cf4b70a7e6c7d67604f2e386a0113c6a85427761030",  # yes/Y248.JPG
    "1a7acec452891038ede718862dddf209915a51deb0ac3718948c235519adc94b",  # no/N1.JPG
    # `no`, with a lesion
    "bbff47f934ea46331f73aff755f7f95f2092f7752e12073be33506a0401194f2",  # no/N11.jpg
    "c9d574a467241cb359d2359735e7e00ab4b44579d46454b73c6373ca6f5f1777",  # no/N15.jpg
    "bfcce139b2b992882ed67161669f89684eb87db34f22faf7ef5cd54f7f45b38f",  # no/N16.jpg
    "fab9adae37e0a120ed7a5bab511576e97182c53a7b76a5fa71512eb2fecd6104",  # no/N17.jpg
    "c9687992fb9b08ab473b261f402dcf5c196db74f8f5b0a68a8dde724e6a58280",  # no/N19.JPG
    "93572395500b08348a4ccd6330704a4c37010f0217e2597535ac5e01a5ed20ab",  # no/N22.JPG
    "220e62fca790bcec10dd87a812af63ee18019ee2a711dd3101602743e556b07b",  # no/32 no.jpg
    # `yes`, without an obvious mass
    "f7a12e5d06d49c862947d4fbd07ce1af5e381522ed02a700463bf0dfb212b478",  # yes/Y117.JPG
    "a89a5d4ea98af15a383ccaf6cd960384440243745dffbbac2f6415edd81fc12d",  # yes/Y185.jpg
    "10e6d731d447b374a37741f9f80585a2a2ce92e0f69636c27ee69739d0c7b7fc",  # yes/Y247.JPG
    "bb935cc3d5fcee4622df24eef07ea31232ad6b6c0b6855fb3660824573fde3a3",  # yes/Y251.JPG
)


def suspect_paths(manifest: pd.DataFrame) -> list[str]:
    """Manifest paths of the images on the list, by their bytes, whatever they are called."""
    return sorted(manifest["path"][manifest["sha256"].isin(SUSPECTS)])
