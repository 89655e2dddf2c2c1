"""Outputs of the frozen trunk, computed once per weights, images and cut, and kept.

Fine-tuning the top blocks never changes what is below them, so every trial, epoch and fold that
shares weights, images and cut trains on the same stored array. The trunk always computes in
float32; maps are stored in the number format the tuned blocks take them in, so that storing them
loses nothing that computing would keep.
"""

import hashlib
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.feature_cache import Entry, FeatureCache
from brain_tumor.model.saved import BATCH, to_unit
from brain_tumor.model.shapes import Form, output_shape
from brain_tumor.progress import track

_images_digests: dict[int, str] = {}  # by the id of an array that lives


@dataclass(frozen=True)
class Output:
    """Something the frozen trunk gives for an image.

    Attributes:
        block: of InceptionV3, 0 to 10 for `mixed0` to `mixed10`, -1 for the stem below them.
        form: `maps` (h, w, channels) for blocks that train on them, or the vector the head of that
            kind takes: `gap` (channels,), `paper` (h * w * channels,).
        dtype: `float32`, or for maps `bfloat16`.
    """

    block: int
    form: Form
    dtype: str = "float32"


def trunk_outputs(
    weights: Path, images: NDArray[np.uint8], wanted: Sequence[Output], cache: FeatureCache
) -> list[NDArray[Any]]:
    """What the trunk gives for the images, from the cache where it is there.

    All that is missing is computed in one pass over the images. Processes that want the same at
    the same time wait for the first.

    Args:
        weights: initial weights of the backbone.
        images: uint8 (N, size, size).
        wanted: which outputs.
        cache: where they are kept.

    Returns:
        For each output a memory-mapped array (N, ...), to be read only.

    Raises:
        CacheError: the cache cannot be written.
    """
    prefix = f"{_code_digest()}-{_file_digest(weights)}-{_images_digest(images)}"
    size_px, count = images.shape[1], len(images)
    entries = [_entry(prefix, output, size_px, count) for output in wanted]
    found = cache.read(entries)
    if found is not None:
        return found
    with cache.alone():
        missing = {
            output: entry
            for output, entry in zip(wanted, entries, strict=True)
            if cache.read([entry]) is None
        }
        if missing:
            _compute(weights, images, missing, cache, keep=entries)
        found = cache.read(entries)
    if found is None:
        raise RuntimeError(f"{cache.folder}: features vanished while they were written")
    return found


def stored_bytes(wanted: Sequence[Output], images: NDArray[np.uint8]) -> int:
    """Bytes the outputs take in the cache."""
    entries = [_entry("", output, images.shape[1], len(images)) for output in wanted]
    return sum(entry.nbytes for entry in entries)


def _compute(
    weights: Path,
    images: NDArray[np.uint8],
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

    found: np.dtype[Any] = np.dtype(bfloat16)
    return found


@lru_cache(maxsize=1)
def _code_digest() -> str:
    """Of everything but weights and images that decides what the trunk gives."""
    import keras
    import tensorflow as tf

    from brain_tumor.model import head, network, saved

    sha = hashlib.sha256(f"{keras.__version__} {tf.__version__}".encode())
    for file in (__file__, head.__file__, network.__file__, saved.__file__):
        sha.update(Path(file).read_bytes())
    return sha.hexdigest()[:8]


def _file_digest(path: Path) -> str:
    if not path.is_file():
        raise ValueError(f"{path}: no such weights file")
    state = path.stat()
    return _content_digest(path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4)
def _content_digest(path: Path, _mtime_ns: int, _size: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()[:16]


def _images_digest(images: NDArray[np.uint8]) -> str:
    """Hash an array once in its life; it is read-only from then on, so the digest stays true."""
    key = id(images)
    if key not in _images_digests:
        images.setflags(write=False)
        sha = hashlib.sha256(f"{images.dtype}{images.shape}".encode())
        sha.update(np.ascontiguousarray(images).data)
        _images_digests[key] = sha.hexdigest()[:16]
        weakref.finalize(images, _images_digests.pop, key)
    return _images_digests[key]
