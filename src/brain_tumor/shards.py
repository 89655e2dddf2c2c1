"""Images between stages: many on disk, of which the rows that are asked for are read.

Preprocessed images lie in shards, `.npy` files of some 64 images each, beside `index.csv`, which
says where each image is and what its CRC-32 is. A shard begins where the hash of an image's path
says so, whatever else there is: a new image changes one shard, and DVC stores the others once. A
row is read where it lies, without decoding; memory does not grow with the number of images.
"""

import hashlib
import math
import os
import threading
import weakref
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import reading, replacing, scratch
from brain_tumor.outputs import REPRO, read_table, write_table

Rows = NDArray[np.int64]
INDEX = "index.csv"
MEAN_IMAGES = 64  # of a shard
_COLUMNS = ("path", "shard", "row", "crc32")
_CHUNK = 256  # images at a time


def write_images(folder: Path, named: Iterable[tuple[str, NDArray[np.uint8]]]) -> None:
    """Write images as shards, and their index; the same images give the same bytes.

    Args:
        folder: new; nothing else lies there.
        named: manifest path and image, uint8 (side, side), all of one side; in the order of paths
            that keeps neighbours together when others come between them.

    Raises:
        ValueError: an image is no such array, or unlike the first in size.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rows: list[tuple[str, str, int, str]] = []
    for name, images in _parted(named):
        pixels = np.stack([image for _, image in images])
        with replacing(folder / f"{name}.npy") as aside:
            np.save(aside, pixels)
        rows += [
            (path, name, row, f"{zlib.crc32(image.data):08x}")
            for row, (path, image) in enumerate(images)
        ]
    write_table(folder / INDEX, pd.DataFrame(rows, columns=list(_COLUMNS)))


_Named = tuple[str, NDArray[np.uint8]]


def _parted(named: Iterable[_Named]) -> Iterator[tuple[str, list[_Named]]]:
    """The images of each shard, and its name: that of the path it begins with, hashed."""
    shape: tuple[int, ...] | None = None
    name, images = "", list[_Named]()
    for path, image in named:
        shape = shape or image.shape
        if image.dtype != np.uint8 or image.shape != shape or shape != (shape[0], shape[0]):
            raise ValueError(f"{path}: {image.dtype} {image.shape}, uint8 {shape} is needed")
        digest = hashlib.sha256(os.fsencode(path)).digest()
        if images and int.from_bytes(digest[:4], "big") % MEAN_IMAGES == 0:
            yield name, images
            images = []
        if not images:
            name = digest.hex()[:16]
        images.append((path, np.ascontiguousarray(image)))
    if images:
        yield name, images


class ArrayRows(Protocol):
    """An array (N, ...): its rows are on disk, computed or in memory, and read when asked for."""

    @property
    def shape(self) -> tuple[int, ...]:
        """(N, ...)."""

    @property
    def dtype(self) -> Any:
        """NumPy's."""

    def __len__(self) -> int:
        """Number of rows."""

    def __getitem__(self, key: Any, /) -> Any:
        """A row, a slice of rows, or the rows of an array of numbers or of bools, in memory."""


class RowFile:
    """A `.npy` file of which rows are read where they lie.

    It is not mapped: pages of a map stay with the process that read them.

    Attributes:
        path: of the file, which stays open.
        shape: of the array, (N, ...).
        dtype: of the array.
    """

    def __init__(self, path: Path, dtype: np.dtype[Any] | None = None) -> None:
        """Open the file; `dtype` stands for one that NumPy cannot name in a file.

        Raises:
            ValueError: it is no such file, or shorter than it says.
        """
        self.path = path
        self._file = path.open("rb", buffering=0)
        self._alone = threading.Lock()
        weakref.finalize(self, self._file.close)
        version = np.lib.format.read_magic(self._file)
        if version != (1, 0):
            raise ValueError(f"its version is {version}, not 1.0")
        shape, by_column, stored = np.lib.format.read_array_header_1_0(self._file)
        self._offset = self._file.tell()
        self.shape: tuple[int, ...] = shape
        self.dtype = dtype or stored
        if by_column or stored.hasobject or stored.itemsize != self.dtype.itemsize:
            raise ValueError(f"it holds {stored}, not rows of {self.dtype}")
        self._row_bytes = math.prod(shape[1:]) * self.dtype.itemsize
        self.end = self._offset + shape[0] * self._row_bytes
        if os.fstat(self._file.fileno()).st_size < self.end:
            raise ValueError(f"it is shorter than {shape} {stored}")

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a row, a slice of rows, or the rows of an array of numbers or of bools."""
        return _read(self, self.read, key)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All rows, in memory."""
        return np.asarray(self[:], dtype)

    def read(self, rows: Rows) -> NDArray[Any]:
        """Read rows, int64 (n,), in their order."""
        order = np.argsort(rows, kind="stable")
        ascending = rows[order]
        read = np.empty((len(rows), *self.shape[1:]), self.dtype)
        raw = memoryview(read.reshape(-1).view(np.uint8).data)
        starts = np.flatnonzero(np.diff(ascending, prepend=-2) != 1).tolist()
        for start, end in pairwise([*starts, len(rows)]):
            self._fill(raw, start, end, int(ascending[start]))
        if np.array_equal(ascending, rows):
            return read
        result = np.empty_like(read)
        result[order] = read
        return result

    def _fill(self, raw: memoryview, start: int, end: int, row: int) -> None:
        into = raw[start * self._row_bytes : end * self._row_bytes]
        with self._alone:
            self._file.seek(self._offset + row * self._row_bytes)
            while into:
                count = self._file.readinto(into)
                if not count:
                    raise UserError(f"{self.path}: became shorter while it was read; {REPRO}")
                into = into[count:]


def _read(rows: ArrayRows, read: Callable[[Rows], NDArray[Any]], key: Any) -> NDArray[Any]:
    if isinstance(key, (int, np.integer)):
        (row,) = read(_numbers([key], len(rows)))
        return np.asarray(row)
    return read(_numbers(key, len(rows)))


def _numbers(key: Any, count: int) -> Rows:
    """The rows of a key as NumPy takes it, none negative."""
    if isinstance(key, slice):
        return np.arange(*key.indices(count))
    numbers: Rows = np.arange(count)[np.asarray(key)]
    return numbers


@dataclass(frozen=True)
class _Shard:
    """A file of images, the CRC-32 of each row, and what is to live as long as it."""

    path: Path
    crc32: NDArray[np.uint32]
    side_px: int
    kept: object

    def read(self, rows: Rows) -> NDArray[np.uint8]:
        with reading(self.path, REPRO):
            images: NDArray[np.uint8] = RowFile(self.path).read(rows)
        for row, image in zip(rows, images, strict=True):
            if zlib.crc32(image.data) != self.crc32[row]:
                raise UserError(f"{self.path}: damaged, the CRC-32 of row {row} differs; {REPRO}")
        return images


@dataclass(frozen=True)
class _Array:
    images: NDArray[np.uint8]

    def read(self, rows: Rows) -> NDArray[np.uint8]:
        return self.images[rows]


class Images:
    """Images of one size on disk, in memory or both; what is asked for is read, and not kept.

    Attributes:
        shape: (N, side, side).
        dtype: uint8.
        ndim: 3.
    """

    dtype, ndim = np.dtype(np.uint8), 3

    def __init__(
        self, blocks: Sequence[_Shard | _Array], block: Rows, row: Rows, side_px: int
    ) -> None:
        """Take where each image is: its block, and its row there, int64 (N,)."""
        self._blocks, self._block, self._row = tuple(blocks), block, row
        self.shape = (len(row), side_px, side_px)

    def __len__(self) -> int:
        """Number of images."""
        return len(self._row)

    def __getitem__(self, key: Any) -> NDArray[np.uint8]:
        """Read an image, a slice of images, or those of an array of numbers or of bools.

        Raises:
            UserError: a file is missing or damaged.
        """
        images: NDArray[np.uint8] = _read(self, self._gather, key)
        return images

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """All images, in memory."""
        return np.asarray(self[:], dtype)

    def take(self, rows: Any) -> "Images":
        """Some of the images (a slice, numbers or bools, as for an array), unread."""
        chosen = _numbers(rows, len(self))
        return Images(self._blocks, self._block[chosen], self._row[chosen], self.shape[1])

    def _gather(self, rows: Rows) -> NDArray[np.uint8]:
        images = np.empty((len(rows), *self.shape[1:]), np.uint8)
        block = self._block[rows]
        for number in np.unique(block):
            here = np.flatnonzero(block == number)
            images[here] = self._blocks[number].read(self._row[rows[here]])
        return images


ImageRows = Images | NDArray[np.uint8]  # uint8 (N, side, side), on disk or in memory


def take(images: ImageRows, rows: Any) -> ImageRows:
    """Some of the images, unread where they are on disk."""
    return images.take(rows) if isinstance(images, Images) else images[rows]


def concatenate(parts: Sequence[ImageRows]) -> Images:
    """Images one after the other, unread.

    Raises:
        ValueError: there are none, or they differ in size.
    """
    parts = [part for part in parts if len(part)]
    shapes = {part.shape[1:] for part in parts}
    if len(shapes) != 1:
        raise ValueError(f"images of one size are needed, received {sorted(shapes)}")
    blocks: list[_Shard | _Array] = []
    numbers, rows = [], []
    for part in parts:
        if isinstance(part, Images):
            numbers.append(part._block + len(blocks))
            rows.append(part._row)
            blocks += part._blocks
        else:
            numbers.append(np.full(len(part), len(blocks), np.int64))
            rows.append(np.arange(len(part)))
            blocks.append(_Array(part))
    return Images(blocks, np.concatenate(numbers), np.concatenate(rows), parts[0].shape[1])


def chunks(images: ImageRows) -> Iterator[NDArray[np.uint8]]:
    """All images in order, some hundred at a time."""
    for start in range(0, len(images), _CHUNK):
        yield images[start : start + _CHUNK]


def open_images(folder: Path, paths: Sequence[str]) -> Images:
    """The stored images of stage preprocess or augment, by their manifest paths, in their order.

    Raises:
        UserError: one is missing, or a file is not what `write_images` writes.
    """
    return _open(folder, paths, kept=None)


def _open(folder: Path, paths: Sequence[str], kept: object) -> Images:
    index = folder / INDEX
    table = read_table(index, _COLUMNS, dtype="str", keep_default_na=False)
    place_of = {path: place for place, path in enumerate(table["path"])}
    for path in paths:
        if path not in place_of:
            raise UserError(f"{index}: has no image {path}; {REPRO}")
    if not len(paths):
        return Images([], np.zeros(0, np.int64), np.zeros(0, np.int64), 0)
    place = np.array([place_of[path] for path in paths])
    with reading(index, REPRO):
        row = table["row"].astype(np.int64).to_numpy()
        crc32 = np.array([int(text, 16) for text in table["crc32"]], np.uint32)
    members = table.groupby("shard").indices
    names, block = np.unique(table["shard"].to_numpy(str)[place], return_inverse=True)
    blocks = []
    for name in names:
        sums = np.zeros(len(members[name]), np.uint32)
        with reading(index, REPRO):
            sums[row[members[name]]] = crc32[members[name]]
        blocks.append(_open_shard(folder / f"{name}.npy", sums, kept))
    for shard in blocks:
        if shard.side_px != blocks[0].side_px:
            raise UserError(
                f"{shard.path}: images of {shard.side_px} px, expected {blocks[0].side_px} as in "
                f"{blocks[0].path}; {REPRO}"
            )
    return Images(blocks, block.astype(np.int64), row[place], blocks[0].side_px)


def _open_shard(path: Path, crc32: NDArray[np.uint32], kept: object) -> _Shard:
    with reading(path, REPRO):
        file = RowFile(path)
        if file.dtype != np.uint8 or file.shape != (len(crc32), file.shape[1], file.shape[1]):
            raise ValueError(f"it holds {file.dtype} {file.shape}, not {len(crc32)} square images")
    return _Shard(path, crc32, file.shape[1], kept)


class _Kept:
    """Lives as long as what refers to it."""


def write_aside(path: Path, named: Iterable[_Named], paths: Sequence[str]) -> Images:
    """Write images of these paths to a folder beside `path`, which goes when nobody uses them."""
    kept, stack = _Kept(), ExitStack()
    folder = stack.enter_context(scratch(path))
    weakref.finalize(kept, stack.close)
    write_images(folder, named)
    return _open(folder, paths, kept)
