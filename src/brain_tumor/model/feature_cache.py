"""Arrays that are dear to compute, kept in files and read memory-mapped.

The folder may be deleted at any time: what is missing is computed again.
"""

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from brain_tumor.atomic import replacing
from brain_tumor.repository import repository_root

FOLDER_VARIABLE, SIZE_VARIABLE = "BRAIN_TUMOR_CACHE", "BRAIN_TUMOR_CACHE_GB"
DEFAULT_GB = 10.0


class CacheError(ValueError):
    """The cache cannot be written; the message says where and what to do."""


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
        """Its size, without the header."""
        return math.prod(self.shape) * self.dtype.itemsize


@dataclass(frozen=True)
class FeatureCache:
    """A folder of arrays, at most about `max_bytes` of them; the longest unused go first."""

    folder: Path
    max_bytes: int

    def read(self, entries: Sequence[Entry]) -> list[NDArray[Any]] | None:
        """The arrays, memory-mapped and read-only; None unless all are there and whole."""
        try:
            return [self._read(entry) for entry in entries]
        except (OSError, ValueError, EOFError):
            return None

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Hold the cache against other processes; a killed one lets go of it."""
        with _writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.folder / "cache.lock")
        with lock:
            for leftover in self.folder.glob(".*.partial*"):
                leftover.unlink()  # of a killed process: nobody else writes now
            yield

    @contextmanager
    def writing(
        self, entries: Sequence[Entry], keep: Sequence[Entry] = ()
    ) -> Iterator[Sequence[IO[bytes]]]:
        """Give files to append the arrays' bytes to; they appear whole or not at all.

        Call while `alone`. What was longest unused makes room, but nothing of `keep`.
        """
        self._make_room(entries, keep)
        with _writing(self.folder), ExitStack() as stack:
            files = []
            for entry in entries:
                aside = stack.enter_context(replacing(self.folder / entry.file))
                files.append(stack.enter_context(aside.open("wb")))
                _write_header(files[-1], entry)
            yield files

    def _read(self, entry: Entry) -> NDArray[Any]:
        path = self.folder / entry.file
        array = np.load(path, mmap_mode="r")
        if array.shape != entry.shape or array.dtype.itemsize != entry.dtype.itemsize:
            raise ValueError(f"{path}: holds {array.dtype} {array.shape}")
        os.utime(path)
        view: NDArray[Any] = array.view(entry.dtype)
        return view

    def _make_room(self, entries: Sequence[Entry], keep: Sequence[Entry]) -> None:
        wanted = {entry.file for entry in (*entries, *keep)}
        needed = sum(entry.nbytes for entry in entries)
        others = [path for path in self.folder.glob("*.npy") if path.name not in wanted]
        total = needed + sum(path.stat().st_size for path in others)
        for path in sorted(others, key=lambda path: path.stat().st_mtime_ns):
            if total <= self.max_bytes:
                return
            total -= path.stat().st_size
            path.unlink()


def default_cache() -> FeatureCache:
    """The cache of this repository, `.cache/features`, of at most 10 GB.

    `BRAIN_TUMOR_CACHE` names another folder, `BRAIN_TUMOR_CACHE_GB` another size.

    Raises:
        CacheError: the size is not a positive number.
    """
    folder = os.environ.get(FOLDER_VARIABLE)
    size = os.environ.get(SIZE_VARIABLE) or str(DEFAULT_GB)
    try:
        max_bytes = int(float(size) * 1e9)
    except (ValueError, OverflowError):
        max_bytes = 0
    if max_bytes <= 0:
        raise CacheError(f"{SIZE_VARIABLE}={size}: a positive number of gigabytes is needed")
    path = Path(folder) if folder else Path(".cache") / "features"
    return FeatureCache(repository_root() / path, max_bytes)


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
        raise CacheError(
            f"{folder}: the frozen trunk's features cannot be kept here: {error}. Free space, "
            f"or name another folder in {FOLDER_VARIABLE}"
        ) from error
