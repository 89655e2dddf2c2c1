"""DICOM files as pictures: frames, grey levels and compressed pixel data.

No message quotes what a file says in free text: it may tell of a patient.
"""

import hashlib
import io
import logging
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.coded import read_coded
from brain_tumor.imaging.dicom_grey import Display, display_of, grey_levels, require_known
from brain_tumor.imaging.grey import (
    MAX_BYTES,
    DecodeError,
    FileFacts,
    NoPictureError,
    Slice,
    middle,
    square,
)

_PIXELS = ("PixelData", "FloatPixelData", "DoubleFloatPixelData")
# Pillow survives whatever is in a damaged file; GDCM does not always, but is all there is for some.
_ONLY_GDCM = frozenset(f"1.2.840.10008.1.2.4.{number}" for number in (57, 70, 80, 81))
_JPEGS = _ONLY_GDCM | {f"1.2.840.10008.1.2.4.{number}" for number in (50, 51, 90, 91)}


def frame_count(dataset: Any) -> int:
    """How many frames a file holds.

    Raises:
        DecodeError: none, or too large ones.
    """
    if not len(dataset):
        raise DecodeError("DICOM without any tag: it is cut short")
    if not any(name in dataset for name in _PIXELS):
        raise NoPictureError(
            f"DICOM without a picture (its kind: {_known(dataset, 'SOPClassUID')})"
        )
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
    said = dataset.get("PhotometricInterpretation")
    partial = said == "YBR_PARTIAL_422"  # kept as YBR_FULL_422 is, with another black and white
    # (pydicom takes the lowest bits for the stored ones; `grey_levels` goes by the highest bit)
    lowest = int(dataset.get("HighBit") or 0) + 1 == int(dataset.get("BitsStored") or 0)
    try:
        if partial:
            dataset.PhotometricInterpretation = "YBR_FULL_422"
        return pixel_array(  # of other YBR comes RGB
            dataset,
            index=place,
            decoding_plugin=plugin,
            raw=partial,
            correct_unused_bits=lowest,
        )
    except (NotImplementedError, RuntimeError):
        raise DecodeError(
            f"DICOM in {_known(meta, 'TransferSyntaxUID')} transfer syntax: it is damaged or "
            "cannot be unpacked here; convert it to an uncompressed one (for example: "
            "gdcmconv --raw)"
        ) from None
    finally:
        if partial:
            dataset.PhotometricInterpretation = said


def _complete(dataset: Any) -> None:
    """Give tags that old files lack the values that the others leave them, and codes capitals.

    Raises:
        DecodeError: so many bits are allocated that they are not read.
    """
    bits = int(dataset.get("BitsAllocated") or 8)
    if bits not in (1, 8, 16, 32, 64):
        raise DecodeError(f"DICOM of {bits} bits allocated: not read; convert it to 8 or 16")
    samples = int(dataset.get("SamplesPerPixel") or 1)
    said = dataset.get("PhotometricInterpretation")
    if isinstance(said, str) and said != said.strip().upper():  # pydicom knows capitals alone
        dataset.PhotometricInterpretation = said.strip().upper()
    if "PixelData" not in dataset:
        return
    for name, value in (
        ("BitsAllocated", bits),
        ("BitsStored", bits),
        ("HighBit", int(dataset.get("BitsStored") or bits) - 1),
        ("PixelRepresentation", 0),
        ("SamplesPerPixel", samples),
        ("PhotometricInterpretation", "MONOCHROME2" if samples == 1 else "RGB"),
        ("PlanarConfiguration", 0),
    ):
        if dataset.get(name) in (None, ""):
            setattr(dataset, name, value)
    if dataset.file_meta.get("TransferSyntaxUID") in _JPEGS:  # whose decoders leave no gap below
        dataset.HighBit = int(dataset.BitsStored) - 1


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


def look_at_dicom(data: bytes) -> FileFacts:
    """What a file is by its tags.

    Raises:
        DecodeError: as `read_dicom`.
    """
    with _opened(data) as dataset:
        display = display_of(dataset, 0)
        kind = "i" if display.signed else "u"
        mode = f"{kind}{display.whole('BitsStored', 8)}"
        if "PixelData" not in dataset:
            mode = "f32" if "FloatPixelData" in dataset else "f64"
        width, height = (int(dataset.get(name) or 1) for name in ("Columns", "Rows"))
        patient = _patient(dataset)
        return FileFacts("DICOM", mode, width, height, frame_count(dataset), patient=patient)


def read_dicom(data: bytes, count: int) -> list[Slice]:
    """The picture of a file, or at most `count` middle frames of several.

    Grey levels follow the modality's table and the first stored window (see `dicom_grey`); without
    a window, percentiles. Eight-bit pictures without either stay as they are.

    Raises:
        DecodeError: it is damaged, holds no picture, or one that cannot be unpacked or whose grey
            is not known. Nothing that tells of a patient is in the message.
    """
    with _opened(data) as dataset:
        frames = frame_count(dataset)
        notes = _notes(dataset)
        slices = []
        for place in middle(count, range(frames)):
            grey, of_frame = _picture(dataset, place)
            name = f"frame {place + 1} of {frames}" if frames > 1 else ""
            slices.append(Slice(name, grey, (*notes, *of_frame)))
        return slices


@contextmanager
def _opened(data: bytes) -> Iterator[Any]:
    """The data set of a file with a picture; what goes wrong with it later is explained."""
    import pydicom

    logging.getLogger("pydicom").setLevel(logging.CRITICAL)  # what matters raises
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with _damage(data, "header"):
            _check_unpacked(data)
            dataset = pydicom.dcmread(io.BytesIO(data), force=True)
            frame_count(dataset)
            _complete(dataset)
        with _damage(data, "picture"):
            yield dataset


_SALT = b"brain-tumor patient"
_NOBODY = re.compile(r"|0+|X+|N/?A|NONE|NULL|UNKNOWN|ANON[A-Z]*|DE-?IDENT[A-Z]*|PATIENT|TEST")


def _patient(dataset: Any) -> str:
    """The patient by number and its issuer, as a salted hash; "" where nobody is named.

    A name that stands for nobody (as `ANONYMOUS`) would make one patient of all.
    """
    try:
        number, issuer = (
            str(dataset.get(name) or "").strip() for name in ("PatientID", "IssuerOfPatientID")
        )
    except Exception:  # pydicom raises many kinds; the picture needs none of it
        return ""
    return "" if _NOBODY.fullmatch(number.upper()) else _hashed(f"{issuer}\\{number}")


@lru_cache(maxsize=4096)
def _hashed(text: str) -> str:
    """Twelve bytes of scrypt, slow on purpose: numbers of patients are few enough to be tried."""
    digest = hashlib.scrypt(text.encode(), salt=_SALT, n=1 << 12, r=8, p=1, dklen=12)
    return f"id-{digest.hex()}"


@contextmanager
def _damage(data: bytes, part: str) -> Iterator[None]:
    try:
        yield
    except (DecodeError, MemoryError):
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


def _picture(dataset: Any, place: int) -> tuple[NDArray[np.uint8], tuple[str, ...]]:
    display = display_of(dataset, place)
    require_known(display)
    grey, notes = grey_levels(stored_values(dataset, place), display)
    spacing = display.numbers.get("PixelSpacing") or display.numbers.get("PixelAspectRatio")
    row_mm, column_mm = (spacing or (1.0, 1.0))[:2]
    return _upright(square(grey, row_mm, column_mm), display), notes


def _upright(grey: NDArray[np.uint8], display: Display) -> NDArray[np.uint8]:
    """Turned by quarters and mirrored to how radiologists look at its plane.

    The patient's left is at the right and, in sagittal slices, the front at the left; front, or
    top, is up. Without ImageOrientationPatient (DICOM PS3.3, C.7.6.2.1.1) it is left as it is.
    """
    cosines = display.numbers.get("ImageOrientationPatient")
    if not cosines or len(cosines) != 6:
        return grey
    directions = np.array(cosines).reshape(2, 3)  # of columns, of rows
    across, down = (int(axis) for axis in np.abs(directions).argmax(axis=1))
    if across == down:
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
    if any(0x6000 <= tag.group <= 0x60FF for tag in dataset.keys()):  # noqa: SIM118
        notes.append("DICOM has an overlay: the marks drawn in it are not shown")
    return tuple(notes)


def _code(dataset: Any, name: str) -> str:
    """A code, as MR or HEAD; empty where there is none."""
    code = str(dataset.get(name) or "").strip().upper()
    return code if _CODE.fullmatch(code) or not code else "UNKNOWN"
