"""NIfTI volumes to slices."""

import zlib

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.decode import DecodeError
from brain_tumor.imaging.slices.slice import Slice, background, middle, square, to_grey, window
from brain_tumor.imaging.slices.volume import GZIP, HEADER_BYTES, MAGICS, Volume, read_volume

_PACKED_HEADER_BYTES = 1 << 16  # hold the header, however badly it packs
_PLANES = ("sagittal", "coronal", "axial")  # across x, y, z of a volume to the right, front, top
_THICK = 1.5  # a spacing this much above the others is that between slices
_SIGNAL_LEVEL = 0.1  # of white: brighter voxels are not air
_SIGNAL_FRACTION = 0.02  # of a slice's voxels: with fewer that are bright it is empty


def is_nifti(data: bytes) -> bool:
    """Whether a file, packed with gzip or not, begins as NIfTI does."""
    head = data[:HEADER_BYTES]
    if head[:2] == GZIP:
        try:
            head = zlib.decompressobj(31).decompress(data[:_PACKED_HEADER_BYTES], HEADER_BYTES)
        except zlib.error:
            return False
    return head[344:348] in MAGICS or head[4:8] in MAGICS


def read_nifti(data: bytes, count: int) -> list[Slice]:
    """Middle slices of a volume.

    They lie across the axis with the widest spacing, or are axial where all are alike, and are
    spread over the middle third of what holds signal. Black and white are percentiles of the
    voxels of the volume that are not background.

    Args:
        data: a .nii or .nii.gz file.
        count: how many slices, at most.

    Raises:
        DecodeError: it is damaged, of another kind than a picture, or too large.
    """
    try:
        volume = read_volume(data)
        return _slices(volume, count)
    except DecodeError:
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
