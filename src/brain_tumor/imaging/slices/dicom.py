"""DICOM files to slices.

No message quotes what a file says in free text: it may tell of a patient.
"""

import io
import logging
import re
import warnings
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.decode import DecodeError
from brain_tumor.imaging.slices.frames import frame_count, stored_values
from brain_tumor.imaging.slices.levels import frame_tags, grey_levels
from brain_tumor.imaging.slices.slice import MAX_BYTES, Slice, middle, square

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
    """The picture of a file, or middle frames of several.

    Grey levels follow the modality's table and the first stored window; without a window,
    percentiles. Eight-bit pictures without either stay as they are.

    Args:
        data: a DICOM file.
        count: how many frames, at most.

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
    told = tags.get("ImageOrientationPatient")
    if not told or len(told) != 6:
        return grey
    directions = np.array([float(value) for value in told]).reshape(2, 3)  # of columns, of rows
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
        told = f"body part {part}" if part in _PARTS else "another body part"
        notes.append(f"DICOM says {told}, not head")
    return tuple(notes)


def _code(dataset: Any, name: str) -> str:
    """A code, as MR or HEAD; empty where there is none."""
    told = str(dataset.get(name) or "").strip().upper()
    return told if _CODE.fullmatch(told) or not told else "UNKNOWN"
