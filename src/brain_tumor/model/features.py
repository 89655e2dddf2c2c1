"""Outputs of the frozen blocks, computed once and kept.

The folder may be deleted at any time: what is missing is computed again. So is what is damaged,
which is said: every file ends in its CRC-32, which is checked when a process first reads it. What
is larger than the folder may be is not kept but computed whenever it is asked for, which is said.

Fine-tuning the top blocks never changes what is below them, so every trial, epoch and fold that
shares weights, images and cut trains on the same stored array. The trunk always computes in
float32; maps are stored in the number format the tuned blocks take them in, so that storing them
loses nothing that computing would keep.
"""

import hashlib
import math
import os
import shutil
import sys
import time
import weakref
import zlib
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache, lru_cache
from io import BufferedWriter, FileIO
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import reading, replacing
from brain_tumor.machine import repository_root, track
from brain_tumor.model.saved import BATCH, to_unit
from brain_tumor.shards import ArrayRows, ImageRows, RowFile, chunks

if TYPE_CHECKING:
    from brain_tumor.model.network import Form

FOLDER_VARIABLE, SIZE_VARIABLE = "BRAIN_TUMOR_CACHE", "BRAIN_TUMOR_CACHE_GB"
DEFAULT_GB = 10.0
_HEADER_BYTES, _SUM_BYTES = 128, 4  # of a file; NumPy pads headers to 64 bytes
_CHANNELS = (192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048)  # stem, mixed0, ...


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


_images_digests: dict[int, str] = {}  # by the id of an array that lives


@dataclass(frozen=True)
class Output:
    """What a block of the frozen trunk gives for an image.

    Attributes:
        block: of InceptionV3, 0 to 10 for `mixed0` to `mixed10`, -1 for the stem below them.
        form: `maps` (h, w, channels) for blocks that train on them, or the vector the head of that
            kind takes: `gap` (channels,), `paper` (h * w * channels,).
        dtype: `float32`, or for maps `bfloat16`.
    """

    block: int
    form: "Form"
    dtype: str = "float32"


def trunk_outputs(
    weights: Path, images: ImageRows, wanted: Sequence[Output], cache: FeatureCache
) -> list[ArrayRows]:
    """What the trunk gives for the images, from the cache where it is there.

    All that is missing is computed in one pass over the images. Processes that want the same at
    the same time wait for the first. The smallest outputs are kept first; one that does not fit
    beside them is computed whenever its rows are asked for.

    Args:
        weights: initial weights of the backbone.
        images: uint8 (N, size, size).
        wanted: which outputs.
        cache: where they are kept.

    Returns:
        For each output its rows (N, ...), which are read when they are asked for.

    Raises:
        UserError: the cache cannot be written.
    """
    prefix = f"{_code_digest()}-{_file_digest(weights)}-{_images_digest(images)}"
    size_px, count = images.shape[1], len(images)
    entries = [_entry(prefix, output, size_px, count) for output in wanted]
    kept = _fitting(entries, cache.max_bytes)
    arrays = cache.read(kept)
    if arrays is None:
        with cache.alone():
            missing = {
                output: entry
                for output, entry in zip(wanted, entries, strict=True)
                if entry in kept and cache.read([entry]) is None
            }
            if missing:
                _compute(weights, images, missing, cache, keep=kept)
            arrays = cache.read(kept)
        if arrays is None:
            raise RuntimeError(f"{cache.folder}: features vanished while they were written")
    rows: dict[Entry, ArrayRows] = dict(zip(kept, arrays, strict=True))
    for output, entry in zip(wanted, entries, strict=True):
        if entry not in rows:
            computed = ComputedRows(weights, images, output, entry)
            # (a head needs its vectors whole and often; they are small beside maps)
            rows[entry] = computed if output.form == "maps" else computed[:]
    return [rows[entry] for entry in entries]


def _fitting(entries: Sequence[Entry], max_bytes: int) -> list[Entry]:
    """The entries that fit together, the smallest first, in the order given."""
    left, kept = max_bytes, set[Entry]()
    for entry in sorted(set(entries), key=lambda entry: entry.nbytes):
        left -= entry.file_bytes
        if left >= 0:
            kept.add(entry)
    return [entry for entry in entries if entry in kept]


class ComputedRows:
    """An output of the trunk that is not kept: asking for rows computes them, and is said once.

    The number format is that in which they would be kept; what differs from a kept array is the
    rounding of float32 in batches of other images.

    Attributes:
        shape: (N, ...).
        dtype: of the rows.
    """

    def __init__(self, weights: Path, images: ImageRows, output: Output, entry: Entry) -> None:
        """Build nothing yet."""
        self.shape, self.dtype = entry.shape, entry.dtype
        self._weights, self._images, self._output, self._entry = weights, images, output, entry
        self._trunk: Any = None

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Compute a slice of rows, or the rows of an array of numbers or of bools."""
        images = self._images[key]
        if self._trunk is None:
            from brain_tumor.model import network

            place = (self._output.block, self._output.form)
            self._trunk = network.trunk(self._weights, images.shape[1], [place])
        rows = np.empty((len(images), *self.shape[1:]), self.dtype)
        started = time.monotonic()
        for start in range(0, len(images), BATCH):
            batch = slice(start, start + BATCH)
            rows[batch] = np.asarray(self._trunk.predict_on_batch(to_unit(images[batch])))
        self._tell(len(images), time.monotonic() - started)
        return rows

    def _tell(self, count: int, seconds: float) -> None:
        if count and self._entry.file not in _told:
            _told.add(self._entry.file)
            per_pass = seconds / count * len(self)
            print(
                f"note: {self._entry.nbytes / 1e9:.1f} GB of mixed{self._output.block} of "
                f"{len(self):,} images are more than {SIZE_VARIABLE} allows: they are computed "
                f"anew each time, about {per_pass:.0f} s for all of them once",
                file=sys.stderr,
            )


_told: set[str] = set()


def stored_bytes(wanted: Sequence[Output], images: ImageRows) -> int:
    """Bytes the outputs take in the cache."""
    entries = [_entry("", output, images.shape[1], len(images)) for output in wanted]
    return sum(entry.file_bytes for entry in entries)


def output_shape(block: int, form: "Form", size_px: int) -> tuple[int, ...]:
    """Shape of what a block gives for one image, without building the network.

    Args:
        block: 0 to 10, -1 for the stem.
        form: `maps`, or the vector a head of that kind takes (`gap`, `paper`).
        size_px: side of the image.
    """
    side = _halved(_halved(_halved(size_px) - 2) - 2)
    for reduction in (3, 8):
        side = _halved(side) if block >= reduction else side
    channels = _CHANNELS[block + 1]
    shapes = {
        "maps": (side, side, channels),
        "gap": (channels,),
        "paper": (side * side * channels,),
    }
    return shapes[form]


def _halved(side: int) -> int:
    """Side after a 3 x 3 window of stride 2 without padding."""
    return (side - 3) // 2 + 1


def _compute(
    weights: Path,
    images: ImageRows,
    missing: dict[Output, Entry],
    cache: FeatureCache,
    keep: Sequence[Entry],
) -> None:
    from brain_tumor.model import network

    trunk = network.trunk(weights, images.shape[1], [(o.block, o.form) for o in missing])
    starts = range(0, len(images), BATCH)
    with cache.writing(list(missing.values()), keep) as files:
        for start in track(starts, "frozen trunk", total=len(starts)):
            results = trunk.predict_on_batch(to_unit(images[start : start + BATCH]))
            results = [results] if len(missing) == 1 else results  # Keras unpacks a single one
            for file, entry, result in zip(files, missing.values(), results, strict=True):
                file.write(np.asarray(result).astype(entry.dtype).tobytes())


def _entry(prefix: str, output: Output, size_px: int, count: int) -> Entry:
    block = "stem" if output.block < 0 else f"mixed{output.block}"
    shape = output_shape(output.block, output.form, size_px)
    name = f"{prefix}-{size_px}px-{block}-{output.form}-{output.dtype}"
    return Entry(name, (count, *shape), _dtype(output.dtype))


def _dtype(name: str) -> np.dtype[Any]:
    if name != "bfloat16":
        return np.dtype(name)
    from ml_dtypes import bfloat16

    dtype: np.dtype[Any] = np.dtype(bfloat16)
    return dtype


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Of everything but weights and images that decides what the trunk gives."""
    import keras
    import tensorflow as tf

    from brain_tumor.model import network, saved

    sha = hashlib.sha256(f"{keras.__version__} {tf.__version__}".encode())
    for file in (__file__, network.__file__, saved.__file__):
        sha.update(Path(file).read_bytes())
    return sha.hexdigest()[:8]


def _file_digest(path: Path) -> str:
    with reading(path, "run `dvc repro backbone`"):
        state = path.stat()
    return _content_digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _content_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _images_digest(images: ImageRows) -> str:
    """Hash images once in their life; an array is read-only from then on, so it stays true."""
    key = id(images)
    if key not in _images_digests:
        if isinstance(images, np.ndarray):
            images.setflags(write=False)
        sha = hashlib.sha256(f"{images.dtype}{images.shape}".encode())
        for part in chunks(images):
            sha.update(np.ascontiguousarray(part).data)
        _images_digests[key] = sha.hexdigest()[:16]
        weakref.finalize(images, _images_digests.pop, key)
    return _images_digests[key]
