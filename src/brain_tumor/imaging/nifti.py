"""NIfTI volumes as slices."""

import gzip
import io
import logging
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.grey import (
    MAX_BYTES,
    ONLY_NAN,
    DecodeError,
    FileFacts,
    Slice,
    background,
    middle,
    square,
    to_grey,
    window,
)

GZIP = b"\x1f\x8b"
HEADER_BYTES = 540
MAGICS = (b"n+1\0", b"n+2\0", b"ni1\0", b"ni2\0")  # at 344 (NIfTI-1) or 4 (NIfTI-2)
_VOXEL_BYTES = 8  # that a voxel takes while it is worked on


@dataclass(frozen=True)
class Volume:
    """Voxels and what is known of them.

    Attributes:
        values: float32 (x, y, z) to the right, front and top, finite.
        spacing_mm: of the voxels along these; 0 where it is not known.
        notes: what a reader should know.
    """

    values: NDArray[np.float32]
    spacing_mm: tuple[float, ...]
    notes: tuple[str, ...]


def read_volume(data: bytes) -> Volume:
    """Read the first volume of a .nii or .nii.gz file; no more of a packed one is unpacked.

    Raises:
        DecodeError: it holds no grey picture or is too large; nibabel's own errors, of many kinds,
            where it is damaged.
    """
    header, raw = _unpacked(data)
    shape = tuple(int(side) for side in header.get_data_shape())
    notes: tuple[str, ...] = ()
    if any(side > 1 for side in shape[3:]):
        notes = (f"a series of {int(np.prod(shape[3:]))} volumes: the first is used",)
    with np.errstate(all="ignore"):
        values = _values(header, raw)
    finite = np.isfinite(values)
    if not finite.any():
        raise DecodeError(ONLY_NAN)
    if not finite.all():
        notes = (*notes, "values that are no numbers are shown black")
        values = np.where(finite, values, values[finite].min())
    return _turned(values, header, notes)


def _unpacked(data: bytes) -> tuple[Any, bytes]:
    """The header and as much of the file as its first volume needs."""
    if data[:2] != GZIP:
        return _header(data[:HEADER_BYTES]), data
    with gzip.GzipFile(fileobj=io.BytesIO(data)) as file:
        head = file.read(HEADER_BYTES)
        header = _header(head)
        return header, head + file.read(_needed(header) - len(head))


def _header(head: bytes) -> Any:
    """The header; refused if what it speaks of is no grey picture or too large."""
    import nibabel

    if any(head[place : place + 4] in MAGICS[2:] for place in (344, 4)):
        raise DecodeError("NIfTI header whose voxels are in another file: save both as one .nii")
    logging.getLogger("nibabel.global").setLevel(logging.CRITICAL)  # what matters raises
    kind = nibabel.Nifti2Header if head[4:8] in MAGICS else nibabel.Nifti1Header
    header = kind.from_fileobj(io.BytesIO(head))
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    if len(shape) < 2 or min(shape) < 1 or dtype.kind not in "iuf":
        raise DecodeError(f"NIfTI of {shape} values of type {dtype}: no grey picture")
    if _needed(header) > MAX_BYTES or _voxels(header) * _VOXEL_BYTES > MAX_BYTES:
        raise DecodeError(f"NIfTI of {shape} values: more than this reads at once; cut it down")
    return header


def _voxels(header: Any) -> int:
    """Of the first volume (Python's whole numbers do not overflow)."""
    return int(np.prod([int(side) for side in header.get_data_shape()[:3]], dtype=object))


def _needed(header: Any) -> int:
    """Bytes of the file up to the end of the first volume."""
    return int(header.get_data_offset()) + _voxels(header) * int(header.get_data_dtype().itemsize)


def _values(header: Any, raw: bytes) -> NDArray[np.float32]:
    """The first volume, scaled as the header says, (x, y, z) as stored."""
    from nibabel.arrayproxy import ArrayProxy

    shape = (*header.get_data_shape()[:3], 1)[:3]
    slope, shift = header.get_slope_inter()  # None and None: as stored
    layout = (shape, header.get_data_dtype(), header.get_data_offset(), slope or 1.0, shift or 0.0)
    return np.asarray(ArrayProxy(io.BytesIO(raw), layout, mmap=False), dtype=np.float32)


def _turned(values: NDArray[np.float32], header: Any, notes: tuple[str, ...]) -> Volume:
    """Axes in the order and direction nearest to right, front and top."""
    from nibabel.affines import voxel_sizes
    from nibabel.orientations import apply_orientation, io_orientation

    affine = header.get_best_affine()
    axes = io_orientation(affine) if np.isfinite(affine).all() else np.full((3, 2), np.nan)
    if np.isnan(axes).any():
        return Volume(
            values,
            (0.0, 0.0, 0.0),
            (*notes, "NIfTI does not say how the head lies: taken as stored"),
        )
    if not (header["qform_code"] or header["sform_code"]):
        notes = (*notes, "NIfTI does not say how the head lies: taken as most files have it")
    order = np.argsort(axes[:, 0])
    spacing_mm = tuple(float(mm) for mm in voxel_sizes(affine)[order])
    return Volume(apply_orientation(values, axes), spacing_mm, notes)


_PACKED_HEADER_BYTES = 1 << 16  # hold the header, however badly it packs
_PLANES = ("sagittal", "coronal", "axial")  # across x, y, z of a volume to the right, front, top
_THICK = 1.5  # a spacing this much above the others is that between slices
_SIGNAL_LEVEL = 0.1  # of white: brighter voxels are not air
_SIGNAL_FRACTION = 0.02  # of a slice's voxels: with fewer that are bright it is empty


def is_nifti(data: bytes) -> bool:
    """Whether a file, packed with gzip or not, begins as NIfTI does."""
    try:
        head = _head(data)
    except zlib.error:
        return False
    return head[344:348] in MAGICS or head[4:8] in MAGICS


def _head(data: bytes) -> bytes:
    """The bytes of the header, unpacked."""
    if data[:2] != GZIP:
        return data[:HEADER_BYTES]
    return zlib.decompressobj(31).decompress(data[:_PACKED_HEADER_BYTES], HEADER_BYTES)


def look_at_nifti(data: bytes) -> FileFacts:
    """What a file is by its header; a flat volume is a single slice, in whatever plane it lies.

    Raises:
        DecodeError: as `read_nifti`.
    """
    with _damage(data):
        header = _header(_head(data))
        shape = [int(side) for side in header.get_data_shape()]
        sides = sorted((*shape[:3], 1)[:3], key=lambda side: side == 1)  # the flat one comes last
        count = sides[2] * int(np.prod(shape[3:], dtype=object) if shape[3:] else 1)
        return FileFacts("NIfTI", str(header.get_data_dtype().name), sides[0], sides[1], count)


def read_nifti(data: bytes, count: int) -> list[Slice]:
    """At most `count` middle slices of the volume in a .nii or .nii.gz file.

    They lie across the axis with the widest spacing, or are axial where all are alike, and are
    spread over the middle third of what holds signal. Black and white are percentiles of the
    voxels of the volume that are not background.

    Raises:
        DecodeError: it is damaged, of another kind than a picture, or too large.
    """
    with _damage(data):
        return _slices(read_volume(data), count)


@contextmanager
def _damage(data: bytes) -> Iterator[None]:
    try:
        yield
    except (DecodeError, MemoryError):
        raise
    except Exception as error:  # nibabel raises many kinds
        raise DecodeError(
            f"cannot read NIfTI ({len(data)} bytes): {type(error).__name__}; it is damaged"
        ) from None


def _slices(volume: Volume, count: int) -> list[Slice]:
    low, high = window(volume.values)
    axis = _slice_axis(volume)
    total = volume.values.shape[axis]
    bright = np.moveaxis(volume.values > low + _SIGNAL_LEVEL * (high - low), axis, 0)
    filled = bright.reshape(total, -1).mean(axis=1) > _SIGNAL_FRACTION
    positions = [int(place) for place in np.flatnonzero(filled)] or list(range(total))
    air = background(volume.values)
    return [
        Slice(
            f"{_PLANES[axis]} {place + 1} of {total}" if total > 1 else "",
            _upright(_grey(np.take(volume.values, place, axis), air, low, high), volume, axis),
            volume.notes,
        )
        for place in middle(count, positions)
    ]


def _slice_axis(volume: Volume) -> int:
    if 1 in volume.values.shape:
        return volume.values.shape.index(1)
    thickest = int(np.argmax(volume.spacing_mm))
    others = max(mm for axis, mm in enumerate(volume.spacing_mm) if axis != thickest)
    return thickest if volume.spacing_mm[thickest] > _THICK * others else _PLANES.index("axial")


def _grey(plane: NDArray[np.float32], air: float, low: float, high: float) -> NDArray[np.uint8]:
    grey = to_grey(plane, low, high)
    grey[plane == air] = 0  # also where air is 0 and tissue is below it
    return grey


def _upright(plane: NDArray[np.uint8], volume: Volume, axis: int) -> NDArray[np.uint8]:
    """A slice (across, up) as a picture: front or top up, the patient's right at the left.

    In a sagittal slice the front is at the left.
    """
    across_mm, up_mm = (mm for other, mm in enumerate(volume.spacing_mm) if other != axis)
    picture = plane.T[::-1, ::-1]  # rows downwards; right, or front, at the left
    return square(np.ascontiguousarray(picture), up_mm, across_mm)
