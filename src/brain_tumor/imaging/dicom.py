"""DICOM files as pictures: frames, grey levels and compressed pixel data.

Decoders go by the frame's own header and not by DICOM's: a frame of a few bytes can ask for
gigabytes, and GDCM ends the whole process at some damaged headers.

No message quotes what a file says in free text: it may tell of a patient.
"""

import io
import logging
import re
import struct
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.imaging.picture import (
    MAX_BYTES,
    DecodeError,
    Slice,
    middle,
    square,
    to_grey,
    window,
)

_JPEG_2000 = re.compile(rb"\xff\x4f\xff\x51")  # start of stream, size
_JPEG = b"\xff\xd8"
_SIZES = (0xC0, 0xC1, 0xC3, 0xF7)  # baseline, extended, lossless, JPEG-LS
_FACTORS = {0x11, 0x12, 0x21, 0x22, 0x41}  # how colours may be sampled, across and down
_HUFFMAN, _SCAN = 0xC4, 0xDA
_TABLES = (0xDB, 0xDD, 0xF8, 0xFE, *range(0xE0, 0xF0))  # others that may stand in a header


@dataclass(frozen=True)
class Coded:
    """What a frame unpacks to."""

    rows: int
    columns: int
    samples: int
    bits: int


def read_coded(frame: bytes) -> Coded:
    """Read the header of a JPEG, JPEG-LS or JPEG 2000 frame.

    Raises:
        ValueError: it is none, or damaged; struct.error or IndexError where it is cut short.
    """
    if frame.startswith(_JPEG):
        return _jpeg(frame)
    start = _JPEG_2000.search(frame, 0, 1 << 16)
    if not start:
        raise ValueError("no JPEG")
    columns, rows, left_edge, top_edge = struct.unpack_from(">4I", frame, start.end() + 4)
    samples, bits = struct.unpack_from(">HB", frame, start.end() + 36)
    return Coded(rows - top_edge, columns - left_edge, samples, bits % 128 + 1)


def _jpeg(frame: bytes) -> Coded:
    """From segment to segment up to the scan."""
    place, size = len(_JPEG), None
    while True:
        start, marker, length = struct.unpack_from(">BBH", frame, place)
        body = frame[place + 4 : place + 2 + length]
        if start != 0xFF or length < 2 or len(body) != length - 2:
            raise ValueError("no segment of a JPEG")
        if marker == _SCAN and size and len(body) == 4 + 2 * body[0] <= 4 + 2 * size.samples:
            return size
        if marker in _SIZES and not size:
            size = _size(body)
        elif marker == _HUFFMAN:
            _check_huffman(body)
        elif marker not in _TABLES or (body.startswith(b"Adobe") and body[11] > 1):
            raise ValueError(f"a segment {marker:#x} that may not be there")
        place += 2 + length


def _size(body: bytes) -> Coded:
    bits, rows, columns, samples = struct.unpack_from(">BHHB", body)
    factors, tables = set(body[7::3]), set(body[8::3])
    if len(body) != 6 + 3 * samples or not factors <= _FACTORS or not tables <= set(range(4)):
        raise ValueError("a damaged size")
    return Coded(rows, columns, samples, bits)


def _check_huffman(body: bytes) -> None:
    while body:
        codes = sum(body[1:17])
        if body[0] & 0xEF > 3 or len(body) < 17 + codes or codes > 256:
            raise ValueError("a damaged Huffman table")
        body = body[17 + codes :]


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
    uid_name = str(getattr(uid, "name", uid))
    return "unknown" if uid_name == str(uid) else uid_name


def stored_values(dataset: Any, place: int) -> NDArray[Any]:
    """Stored values of a frame, (H, W), or colours, (H, W, 3).

    Raises:
        DecodeError: they cannot be unpacked here; pydicom's own errors, of many kinds, where the
            file is damaged.
    """
    from pydicom import uid
    from pydicom.pixels.utils import pixel_array

    meta = dataset.file_meta
    if "TransferSyntaxUID" not in meta:  # files without a header, as they once were
        implicit, little_endian = dataset.original_encoding
        explicit = uid.ExplicitVRLittleEndian if little_endian else uid.ExplicitVRBigEndian
        meta.TransferSyntaxUID = uid.ImplicitVRLittleEndian if implicit else explicit
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
    bits = (coded.bits + 7) // 8 * 8
    declared = (dataset.Rows, dataset.Columns, dataset.SamplesPerPixel, dataset.BitsAllocated)
    if (coded.rows, coded.columns, coded.samples, bits) != declared:
        raise DecodeError(
            f"DICOM of {dataset.Rows} x {dataset.Columns} pixels with a packed picture of "
            f"{coded.rows} x {coded.columns}, {dataset.SamplesPerPixel} and {coded.samples} "
            f"samples, {dataset.BitsAllocated} and {bits} bits: it is damaged"
        )


# What says how a frame is shown; in files of many frames it stands in groups of tags, per frame
# or shared by all.
_TAGS = (
    "PhotometricInterpretation", "BitsStored", "PixelRepresentation", "PixelSpacing",
    "PixelAspectRatio", "ImageOrientationPatient",
    "RescaleSlope", "RescaleIntercept", "ModalityLUTSequence",
    "WindowCenter", "WindowWidth", "VOILUTFunction", "VOILUTSequence",
    "RedPaletteColorLookupTableDescriptor", "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor", "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData", "BluePaletteColorLookupTableData",
)  # fmt: skip


def frame_tags(dataset: Any, place: int) -> Any:
    """A data set of what says how frame `place` is shown."""
    from pydicom.dataset import Dataset

    tags = Dataset()
    _take(dataset, tags)
    shared = list(dataset.get("SharedFunctionalGroupsSequence") or [])[:1]
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or [])[place : place + 1]
    for group in (part for groups in shared + own for part in groups if part.VR == "SQ"):
        for item in list(group.value)[:1]:
            _take(item, tags)
    return tags


def _take(source: Any, tags: Any) -> None:
    for name in _TAGS:
        if name in source:
            tags.add(source[name])


def grey_levels(stored: NDArray[Any], tags: Any) -> NDArray[np.uint8]:
    """Grey levels of a frame, uint8 (H, W), from stored values (H, W) or colours (H, W, 3).

    Raises:
        DecodeError: values are no numbers.
    """
    from pydicom.pixels.processing import apply_color_lut

    if tags.get("PhotometricInterpretation") == "PALETTE COLOR":
        stored = apply_color_lut(stored, tags)
    if stored.ndim == 3:  # to grey as Pillow does (ITU-R 601-2)
        colours = stored if stored.dtype == np.uint8 else to_grey(stored, 0, 65535)
        return np.array(Image.fromarray(colours).convert("L"))
    grey = _shown(stored, tags)
    return 255 - grey if tags.get("PhotometricInterpretation") == "MONOCHROME1" else grey


def _shown(stored: NDArray[Any], tags: Any) -> NDArray[np.uint8]:
    from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

    scaled = "ModalityLUTSequence" in tags or float(tags.get("RescaleSlope") or 1) != 1
    windowed = tags.get("WindowCenter") is not None and tags.get("WindowWidth") is not None
    if stored.dtype == np.uint8 and not (scaled or windowed or "VOILUTSequence" in tags):
        return to_grey(stored, 0, 2 ** int(tags.get("BitsStored") or 8) - 1)
    values = np.asarray(apply_modality_lut(stored, tags), dtype=np.float64)
    if not np.isfinite(values).all():
        raise DecodeError("DICOM with values that are no numbers")
    if tags.get("VOILUTSequence"):
        table = apply_voi_lut(values.astype(np.int64), tags)
        return to_grey(table, 0, 2 ** int(tags.VOILUTSequence[0].LUTDescriptor[2]) - 1)
    grey = _windowed(values, tags) if windowed else to_grey(values, *window(values))
    # A window that leaves nothing to see was made for something else.
    return grey if np.ptp(grey) else to_grey(values, *window(values))


def _windowed(values: NDArray[np.float64], tags: Any) -> NDArray[np.uint8]:
    """The first stored window (DICOM PS3.3, C.11.2.1.2)."""
    from pydicom.dataset import Dataset
    from pydicom.pixels.processing import apply_windowing

    view = Dataset()  # of 8 bits, so that the window's ends become 0 and 255
    view.PhotometricInterpretation, view.BitsStored, view.PixelRepresentation = "MONOCHROME2", 8, 0
    view.WindowCenter, view.WindowWidth = (
        float(np.ravel(tags[name].value)[0]) for name in ("WindowCenter", "WindowWidth")
    )
    view.VOILUTFunction = str(tags.get("VOILUTFunction") or "LINEAR").upper()
    if not view.WindowWidth > (1 if view.VOILUTFunction == "LINEAR" else 0):
        return to_grey(values, *window(values))
    with np.errstate(over="ignore"):
        return np.asarray(np.rint(apply_windowing(values, view)), dtype=np.uint8)


# In what BodyPartExamined says of a head (some scanners let people write it).
_HEADS = (
    "HEAD", "BRAIN", "SKULL", "NEURO", "CRANI", "CEREB", "PITUIT", "IAC", "ORBIT", "SCHAEDEL",
    "KOPF", "TETE", "CABEZA", "CRANEO",
)  # fmt: skip
# Others that are repeated to the user; what else stands there may be free text.
_PARTS = frozenset(
    {"ABDOMEN", "ANKLE", "ARM", "BREAST", "CHEST", "CSPINE", "ELBOW", "FOOT", "HAND", "HEART"}
    | {"HIP", "KNEE", "LEG", "LSPINE", "NECK", "PELVIS", "PROSTATE", "SHOULDER", "SPINE"}
    | {"THORAX", "TSPINE", "WHOLEBODY", "WRIST"}
)
# First tags of files without a preamble: group 2 (file meta) or 8, as old scanners wrote them.
_FIRST = re.compile(rb"\x02\x00[\x00\x01\x10]\x00|\x08\x00[\x00\x01\x05\x08\x12\x16\x18]\x00")
_DEFLATED = b"1.2.840.10008.1.2.1.99"
_CODE = re.compile(r"[A-Z0-9 _]{1,16}")  # what DICOM allows in a code


def is_dicom(data: bytes) -> bool:
    """Whether a file begins as DICOM does: a preamble and DICM, or, in old ones, at once a tag."""
    return data[128:132] == b"DICM" or _FIRST.match(data) is not None


def read_dicom(data: bytes, count: int) -> list[Slice]:
    """The picture of a file, or at most `count` middle frames of several.

    Grey levels follow the modality's table and the first stored window; without a window,
    percentiles. Eight-bit pictures without either stay as they are.

    Raises:
        DecodeError: it is damaged, holds no picture, or one in a compression that cannot be
            read. Nothing that tells of a patient is in the message.
    """
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what matters raises
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _damage(data, "header"):
            _check_unpacked(data)
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            frames = frame_count(dataset)
        with _damage(data, "picture"):
            notes = _notes(dataset)
            return [
                Slice(
                    f"frame {place + 1} of {frames}" if frames > 1 else "",
                    _picture(dataset, place),
                    notes,
                )
                for place in middle(count, range(frames))
            ]


@contextmanager
def _damage(data: bytes, part: str) -> Iterator[None]:
    try:
        yield
    except DecodeError:
        raise
    except Exception as error:  # pydicom and its decoders raise many kinds
        raise DecodeError(
            f"cannot read DICOM ({len(data)} bytes): {type(error).__name__} in its {part}; it is "
            "damaged or of a kind that is not known"
        ) from None  # the cause may quote the file


def _check_unpacked(data: bytes) -> None:
    """Refuse what pydicom would inflate without a limit."""
    if _DEFLATED in data:
        start = 144 + int.from_bytes(data[140:144], "little")  # behind group 2, which says its size
        inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data[start:], MAX_BYTES)
        if len(inflated) == MAX_BYTES:
            raise DecodeError("deflated DICOM: more than this reads at once")


def _picture(dataset: Any, place: int) -> NDArray[np.uint8]:
    tags = frame_tags(dataset, place)
    row_mm, column_mm = tags.get("PixelSpacing") or tags.get("PixelAspectRatio") or (1, 1)
    grey = grey_levels(stored_values(dataset, place), tags)
    return _upright(square(grey, float(row_mm), float(column_mm)), tags)


def _upright(grey: NDArray[np.uint8], tags: Any) -> NDArray[np.uint8]:
    """Turned by quarters and mirrored to how radiologists look at its plane.

    The patient's left is at the right and, in sagittal slices, the front at the left; front, or
    top, is up. Without ImageOrientationPatient (DICOM PS3.3, C.7.6.2.1.1) it is left as it is.
    """
    cosines = tags.get("ImageOrientationPatient")
    if not cosines or len(cosines) != 6:
        return grey
    directions = np.array([float(value) for value in cosines]).reshape(2, 3)  # of columns, of rows
    across, down = (int(axis) for axis in np.abs(directions).argmax(axis=1))
    if across == down or not np.isfinite(directions).all():
        return grey
    if across > down:  # axes are left, back and top: what is to lie across comes first
        grey, directions, across, down = grey.T, directions[::-1], down, across
    wanted = -1 if down == 2 else 1  # rows go to the back, or to the bottom
    grey = grey if directions[0, across] > 0 else grey[:, ::-1]
    return np.ascontiguousarray(grey if directions[1, down] * wanted > 0 else grey[::-1])


def _notes(dataset: Any) -> tuple[str, ...]:
    """What speaks against a picture of a brain by magnetic resonance."""
    modality, part = (_code(dataset, name) for name in ("Modality", "BodyPartExamined"))
    notes = []
    if modality not in ("", "MR", "OT", "SC"):
        notes.append(f"DICOM says modality {modality}, not MR")
    if part and not any(word in part for word in _HEADS):
        name = f"body part {part}" if part in _PARTS else "another body part"
        notes.append(f"DICOM says {name}, not head")
    return tuple(notes)


def _code(dataset: Any, name: str) -> str:
    """A code, as MR or HEAD; empty where there is none."""
    code = str(dataset.get(name) or "").strip().upper()
    return code if _CODE.fullmatch(code) or not code else "UNKNOWN"
