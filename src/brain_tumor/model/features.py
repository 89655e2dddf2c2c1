"""Outputs of the frozen blocks, computed once and kept.

They are kept in a `FeatureCache`. What is larger than that may be is not kept but computed whenever
it is asked for, which is said.

Fine-tuning the top blocks never changes what is below them, so every trial, epoch and fold that
shares weights, images and cut trains on the same stored array. The trunk always computes in
float32; maps are stored in the number format the tuned blocks take them in, so that storing them
loses nothing that computing would keep.
"""

import hashlib
import sys
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor import cluster
from brain_tumor.files import reading
from brain_tumor.machine import lasting, spread, track
from brain_tumor.model import devices
from brain_tumor.model.feature_cache import SIZE_VARIABLE, Entry, FeatureCache
from brain_tumor.model.saved import BATCH, to_unit
from brain_tumor.shards import ArrayRows, ImageRows, chunks

if TYPE_CHECKING:
    from brain_tumor.model.network import Form

_HELD_BYTES = 2 << 30  # of vectors in memory, where the cache cannot keep them
_NEEDS = ("keras", "tensorflow", "ml-dtypes")  # of a worker that computes the trunk
_CHANNELS = (192, 256, 288, 288, 768, 768, 768, 768, 768, 1280, 2048, 2048)  # stem, mixed0, ...
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
            # A head reads its vectors often; they are small beside maps.
            is_held = output.form != "maps" and entry.nbytes <= _HELD_BYTES
            rows[entry] = computed[:] if is_held else computed
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
        self._trunk = Trunk(weights, images.shape[1], [output])
        self._images, self._entry = images, entry

    def __len__(self) -> int:
        """Number of rows."""
        return self.shape[0]

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Compute a slice of rows, or the rows of an array of numbers or of bools."""
        wanted = np.arange(len(self))[key]
        rows = np.empty((len(wanted), *self.shape[1:]), self.dtype)
        if self._entry.file not in _told:
            self._trunk(self._images[:1])  # built and compiled before the time is taken
        started = time.monotonic()
        starts = range(0, len(wanted), BATCH)
        whole = len(wanted) == len(self)
        for start in track(starts, "frozen trunk", len(starts)) if whole else starts:
            batch = slice(start, start + BATCH)
            (rows[batch],) = self._trunk(self._images[wanted[batch]])
        self._tell(len(wanted), time.monotonic() - started)
        return rows

    def _tell(self, count: int, seconds: float) -> None:
        if count and self._entry.file not in _told:
            _told.add(self._entry.file)
            (block,) = (output.block for output in self._trunk.outputs)
            per_pass = seconds / count * len(self)
            print(
                f"note: {self._entry.nbytes / 1e9:.1f} GB of {_name(block)} of "
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


class Trunk:
    """The frozen trunk as a function of a batch of images; its weights go along to other processes.

    Attributes:
        outputs: what it gives.
    """

    def __init__(self, weights: Path, size_px: int, outputs: Sequence[Output]) -> None:
        """Build nothing yet."""
        self.outputs = tuple(outputs)
        self._weights: Path | bytes = weights
        self._size_px = size_px
        self._predict: Callable[[NDArray[Any]], list[NDArray[Any]]] | None = None

    def __call__(self, images: NDArray[np.uint8]) -> list[NDArray[Any]]:
        """For each output its rows (n, ...), of images, uint8 (n, size, size)."""
        if self._predict is None:
            self._predict = self._built()
        pairs = zip(self.outputs, self._predict(to_unit(images)), strict=True)
        return [np.asarray(result).astype(_dtype(output.dtype)) for output, result in pairs]

    def _built(self) -> Callable[[NDArray[Any]], list[NDArray[Any]]]:
        from brain_tumor.model import network

        places = [(output.block, output.form) for output in self.outputs]
        with _as_file(self._weights) as weights, devices.strategy().scope():
            model = network.trunk(weights, self._size_px, places)
        return devices.predictor(model)

    def __getstate__(self) -> dict[str, Any]:
        """All but the network, with the weights' bytes in place of their path."""
        weights = self._weights
        held = weights.read_bytes() if isinstance(weights, Path) else weights
        return self.__dict__ | {"_weights": held, "_predict": None}


@contextmanager
def _as_file(weights: Path | bytes) -> Iterator[Path]:
    """The file of the weights; of bytes that came from another process, for the block alone."""
    if isinstance(weights, Path):
        yield weights
        return
    with TemporaryDirectory() as folder:
        path = Path(folder) / "backbone.weights.h5"
        path.write_bytes(weights)
        yield path


def _compute(
    weights: Path,
    images: ImageRows,
    missing: dict[Output, Entry],
    cache: FeatureCache,
    keep: Sequence[Entry],
) -> None:
    trunk = Trunk(weights, images.shape[1], list(missing))
    size = BATCH if cluster.is_used() else BATCH * devices.count()
    starts, read = range(0, len(images), size), partial(_batch, images, size)
    batches = (
        spread(trunk, starts, "frozen trunk", read=read, needs=_NEEDS)
        if cluster.is_used()
        else track((trunk(read(start)) for start in starts), "frozen trunk", len(starts))
    )
    with cache.writing(list(missing.values()), keep) as files:
        for arrays in batches:
            for file, array in zip(files, arrays, strict=True):
                file.write(array.tobytes())


def _batch(images: ImageRows, size: int, start: int) -> NDArray[np.uint8]:
    return images[start : start + size]


def _entry(prefix: str, output: Output, size_px: int, count: int) -> Entry:
    shape = output_shape(output.block, output.form, size_px)
    name = f"{prefix}-{size_px}px-{_name(output.block)}-{output.form}-{output.dtype}"
    return Entry(name, (count, *shape), _dtype(output.dtype))


def _name(block: int) -> str:
    return "stem" if block < 0 else f"mixed{block}"


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
        with lasting("reading the images"):
            for part in chunks(images):
                sha.update(np.ascontiguousarray(part).data)
        _images_digests[key] = sha.hexdigest()[:16]
        weakref.finalize(images, _images_digests.pop, key)
    return _images_digests[key]
