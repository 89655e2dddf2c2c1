"""Stored values of a DICOM file's frames, unpacked one at a time."""

from typing import Any

from numpy.typing import NDArray

from brain_tumor.imaging.decode import DecodeError
from brain_tumor.imaging.slices.codestream import read_coded
from brain_tumor.imaging.slices.slice import MAX_BYTES

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Pillow survives whatever is in a damaged file; GDCM does not always, but is all there is for some.
_ONLY_GDCM = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 81))
_JPEGS = _ONLY_GDCM | {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 90, 91)}


def frame_count(dataset: Any) -> int:
    """How many frames a file holds.

    Raises:
        DecodeError: none, or too large ones.
    """
    if not any(name in dataset for name in _PIXELS):
        raise DecodeError(f"DICOM without a picture (its kind: {_known(dataset, 'SOPClassUID')})")
    rows, columns, frames, samples = (
        int(dataset.get(name) or 1)
        for name in ("Rows", "Columns", "NumberOfFrames", "SamplesPerPixel")
    )
    if rows * columns * samples * 8 > MAX_BYTES:
        raise DecodeError(f"DICOM of {rows} x {columns} pixels: more than this reads at once")
    return max(frames, 1)


def _known(dataset: Any, name: str) -> str:
    """The name of a UID if it is one of DICOM's own."""
    uid = dataset.get(name)
    name_told = str(getattr(uid, "name", uid))
    return "unknown" if name_told == str(uid) else name_told


def stored_values(dataset: Any, place: int) -> NDArray[Any]:
    """Stored values of a frame, (H, W), or colours, (H, W, 3).

    Raises:
        DecodeError: they cannot be unpacked here; pydicom's own errors, of many kinds, where the
            file is damaged.
    """
    from pydicom.pixels.utils import pixel_array

    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:  # files without a header, as they once were
        meta.TransferSyntaxUID = _native(*dataset.original_encoding)
    syntax = meta.TransferSyntaxUID
    if syntax in _JPEGS:
        _check_coded(dataset, place)
    plugin = "pillow" if syntax in _JPEGS and syntax not in _ONLY_GDCM else ""
    try:
        return pixel_array(dataset, index=place, decoding_plugin=plugin)  # YBR comes as RGB
    except (NotImplementedError, RuntimeError):
        raise DecodeError(
            f"DICOM in {_known(meta, 'TransferSyntaxUID')} transfer syntax: it is damaged or "
            "cannot be unpacked here; convert it to an uncompressed one (for example: "
            "gdcmconv --raw)"
        ) from None


def _check_coded(dataset: Any, place: int) -> None:
    from pydicom.encaps import get_frame

    frames = int(dataset.get("NumberOfFrames") or 1)
    coded = read_coded(get_frame(dataset.PixelData, place, number_of_frames=frames))
    told = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel)
    found = (coded.rows, coded.columns, coded.samples)
    bits = (coded.bits + 7) // 8 * 8
    if found != told or bits != dataset.BitsAllocated:
        raise DecodeError(
            f"DICOM of {told[0]} x {told[1]} pixels with a packed picture of {found[0]} x "
            f"{found[1]}, {told[2]} and {found[2]} samples, {dataset.BitsAllocated} and {bits} "
            "bits: it is damaged"
        )


def _native(implicit: bool, little_endian: bool) -> str:
    from pydicom import uid

    if not little_endian:
        return uid.ExplicitVRBigEndian
    return uid.ImplicitVRLittleEndian if implicit else uid.ExplicitVRLittleEndian
