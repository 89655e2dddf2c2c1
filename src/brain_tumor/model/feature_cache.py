"""A folder of arrays that took long to compute, bounded in size, checked, shared by processes.

It may be deleted at any time: what is missing is computed again. So is what is damaged, which is
said: every file ends in its CRC-32, which is checked when a process first reads it.
"""

import math
import os
import shutil
import sys
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock

from brain_tumor.errors import UserError
from brain_tumor.files import reading, replacing
from brain_tumor.machine import repository_root
from brain_tumor.shards import RowFile

FOLDER_VARIABLE, SIZE_VARIABLE = "BRAIN_TUMOR_CACHE", "BRAIN_TUMOR_CACHE_GB"
DEFAULT_GB = 10.0
_HEADER_BYTES, _SUM_BYTES = 128, 4  # of a file; NumPy pads headers to 64 bytes


@dataclass(frozen=True)
class Entry:
    """An array of the cache: its name and what it looks like.

    `dtype` may be one NumPy knows only by ml_dtypes (`bfloat16`).
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @property
    def file(self) -> str:
        """Name of its file."""
        return f"{self.name}.npy"

    @property
    def nbytes(self) -> int:
        """Its size, without header and sum."""
        return math.prod(self.shape) * self.dtype.itemsize

    @property
    def file_bytes(self) -> int:
        """Size of its file."""
        return self.nbytes + _HEADER_BYTES + _SUM_BYTES


@dataclass(frozen=True)
class FeatureCache:
    """A folder of arrays, at most `max_bytes` of them; the longest unused go first."""

    folder: Path
    max_bytes: int

    def read(self, entries: Sequence[Entry]) -> list[RowFile] | None:
        """The arrays, on disk; None unless all are there and whole."""
        arrays = []
        for entry in entries:
            path = self.folder / entry.file
            if not os.path.lexists(path):
                return None
            try:
                with reading(path, "it is computed again"):
                    arrays.append(_read(path, entry))
            except UserError as error:
                _tell(f"note: {error}")
                return None
        return arrays

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cache against other processes; a killed one lets go of it."""
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "cache.lock")
            held = lock.acquire()
        with held:
            with _writing(self.folder):
                for leftover in self.folder.glob(".*.partial*"):
                    leftover.unlink()  # of a killed process: nobody else writes now
            yield

    @contextmanager
    def writing(
        self, entries: Sequence[Entry], keep: Sequence[Entry] = ()
    ) -> Iterator[Sequence[IO[bytes]]]:
        """Give files to append the arrays' bytes to; they appear whole or not at all.

        Call while `alone`. What was longest unused makes room, but nothing of `keep`.

        Raises:
            ValueError: entries and `keep` are together larger than the folder may be.
        """
        with _writing(self.folder), ExitStack() as stack:
            self._make_room(entries, keep)
            files = []
            for entry in entries:
                path = self.folder / entry.file
                if path.is_dir():  # no file of the cache
                    shutil.rmtree(path)
                path.unlink(missing_ok=True)  # damaged: both would be more than the bound
                aside = stack.enter_context(replacing(path))
                files.append(stack.enter_context(_SummedFile(FileIO(aside, "w"))))
                _write_header(files[-1], entry)
            yield files
            for file in files:
                file.write_sum()

    def _make_room(self, entries: Sequence[Entry], keep: Sequence[Entry]) -> None:
        wanted = {entry.file: entry.file_bytes for entry in (*entries, *keep)}
        if sum(wanted.values()) > self.max_bytes:
            raise ValueError(f"{sum(wanted.values())} bytes do not fit into {self.max_bytes}")
        others = [path for path in self.folder.glob("*.npy") if path.name not in wanted]
        total = sum(wanted.values()) + sum(path.stat().st_size for path in others)
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns):
            if total <= self.max_bytes:
                return
            total -= path.stat().st_size
            path.unlink()


def default_cache() -> FeatureCache:
    """The cache of this repository, `.cache/features`, of at most 10 GB.

    `BRAIN_TUMOR_CACHE` names another folder, `BRAIN_TUMOR_CACHE_GB` another size.

    Raises:
        UserError: the size is not a positive number.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    size = os.environ.get(SIZE_VARIABLE) or str(DEFAULT_GB)
    try:
        max_bytes = int(float(size) * 1e9)
    except (ValueError, OverflowError):
        max_bytes = 0
    if max_bytes <= 0:
        raise UserError(f"{SIZE_VARIABLE}={size}: a positive number of gigabytes is needed")
    path = Path(folder) if folder else Path(".cache") / "features"
    return FeatureCache(repository_root() / path, max_bytes)


class _SummedFile(BufferedWriter):
    """A file that knows the CRC-32 of what was written to it."""

    _sum = 0

    def write(self, data: Any) -> int:
        self._sum = zlib.crc32(data, self._sum)
        return super().write(data)

    def write_sum(self) -> None:
        """Write the CRC-32, which is no part of the array."""
        super().write(self._sum.to_bytes(_SUM_BYTES))


_CHUNK = 1 << 24
_whole: set[tuple[Path, int]] = set()  # files, with their inodes, found whole by this process


def _read(path: Path, entry: Entry) -> RowFile:
    array = RowFile(path, entry.dtype)
    if array.shape != entry.shape:
        raise ValueError(f"holds {array.dtype} {array.shape}")
    _check_sum(path)
    os.utime(path)
    return array


def _check_sum(path: Path) -> None:
    """Compare a file with the CRC-32 at its end, once a process (about 1 s per GB)."""
    with path.open("rb") as file:
        state = os.fstat(file.fileno())
        if (path, state.st_ino) in _whole:
            return
        left, crc = state.st_size - _SUM_BYTES, 0
        while left > 0:
            part = file.read(min(left, _CHUNK))
            if not part:
                raise ValueError("it became shorter while it was read")
            crc, left = zlib.crc32(part, crc), left - len(part)
        if file.read() != crc.to_bytes(_SUM_BYTES):
            raise ValueError("its CRC-32 is another")
    _whole.add((path, state.st_ino))


@cache
def _tell(line: str) -> None:
    """Say something, once a process."""
    print(line, file=sys.stderr)


def _write_header(file: IO[bytes], entry: Entry) -> None:
    # NumPy cannot name foreign types in a file; the reader knows them from its entry.
    description = f"|V{entry.dtype.itemsize}" if entry.dtype.kind == "V" else entry.dtype.str
    header = {"descr": description, "fortran_order": False, "shape": entry.shape}
    np.lib.format.write_array_header_1_0(file, header)


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder}: the frozen trunk's features cannot be kept here: {error}. Free space, "
            f"or name another folder in {FOLDER_VARIABLE}"
        ) from error
