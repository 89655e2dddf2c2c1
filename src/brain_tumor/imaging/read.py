"""The one reader: what a file is, whether it is taken, its grey pictures, what is odd about them.

Stages, predictions, the service, `data add`, hashes and figures all ask here. Content decides what
a file is, never its name.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from typing import Final, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import obstacle, read_bytes
from brain_tumor.imaging.dicom import is_dicom, look_at_dicom, read_dicom
from brain_tumor.imaging.grey import KINDS, DecodeError, FileFacts, Slice
from brain_tumor.imaging.nifti import is_nifti, look_at_nifti, read_nifti
from brain_tumor.imaging.picture import look_at_picture, read_picture
from brain_tumor.machine import spread

BLANK: Final = "blank: every pixel has the same value"


class _Reader(NamedTuple):
    look: Callable[[bytes], FileFacts]
    read: Callable[[bytes, int], list[Slice]]


def look_at(data: bytes) -> FileFacts:
    """What a file is, by its header alone: how large its picture is before it is decoded.

    Raises:
        DecodeError: it is none of `KINDS`, damaged or too large.
    """
    return _reader(data).look(data)


def read_slices(data: bytes, count: int = 3) -> list[Slice]:
    """Read a picture, a DICOM file or a NIfTI volume: at most `count` slices, frames or pages.

    A picture is one slice, of an animation the first frame; of a TIFF of several pages, of frames
    and of a volume the middle ones are taken.

    Raises:
        DecodeError: it is none of `KINDS`, damaged or too large.
    """
    return [_with_blank(part) for part in _reader(data).read(data, count)]


def read_single(data: bytes) -> Slice:
    """Read a file that holds one picture, as every file with a label must.

    Raises:
        DecodeError: as `read_slices`, or it holds several.
    """
    require_single(look_at(data))
    return read_slices(data, 1)[0]


def read_grey(data: bytes) -> NDArray[np.uint8]:
    """The grey levels, uint8 (H, W), of a file that holds one picture (see `read_single`)."""
    return read_single(data).grey


def require_single(facts: FileFacts) -> None:
    """Refuse a file of several pictures where one label is to hold for it.

    Raises:
        DecodeError: it holds several; the message says what to do.
    """
    if facts.count == 1:
        return
    if facts.kind in ("DICOM", "NIfTI"):
        parts = "frames" if facts.kind == "DICOM" else "slices"
        raise DecodeError(
            f"{facts.kind} of {facts.count} {parts}: a label of a volume is no label "
            "of its slices; save each slice that is to be used as a file of its own, in the folder "
            "of the class that this slice shows"
        )
    raise DecodeError(
        f"animated or multi-page: {facts.count} frames, one is wanted; save each picture that is "
        "to be used as a file of its own"
    )


def is_image(file: Path) -> bool:
    """Whether a file is meant as an image, by its header or else its name; it is not decoded."""
    try:
        look_at(read_bytes(file))
    except (UserError, OSError, MemoryError):
        return is_named_as_image(file.name)
    return True


def is_named_as_image(name: str) -> bool:
    """Whether a file's name ends as those of images do; DICOM's need no ending, and have none."""
    ending = PurePath(name).suffix.lower()
    if ending == ".gz":
        return name.lower().endswith(".nii.gz")
    return bool(ending) and ending in set().union(*KINDS.values())


def patient_of(file: Path) -> str:
    """The patient that a file's own tags name, as a salted hash; "" where it names none."""
    if not _is_dicom(file):
        return ""
    try:
        return look_at(file.read_bytes()).patient
    except (DecodeError, OSError, MemoryError):
        return ""


def _reader(data: bytes) -> _Reader:
    if is_dicom(data):
        return _Reader(look_at_dicom, read_dicom)
    if is_nifti(data):
        return _Reader(look_at_nifti, read_nifti)
    return _Reader(look_at_picture, read_picture)


def _with_blank(part: Slice) -> Slice:
    return part if np.ptp(part.grey) else replace(part, notes=(*part.notes, BLANK))


Result = TypeVar("Result")
Content = bytes | OSError | UserError | MemoryError


def content_of(path: Path) -> Content:
    """The bytes of a file, or why there are none: who works on them, maybe elsewhere, says so."""
    try:
        return read_bytes(path)
    except (OSError, UserError, MemoryError) as error:
        return error


def opened(content: Content) -> bytes:
    """The bytes of a file.

    Raises:
        OSError: it is not there or cannot be read.
        UserError: it is no regular file; the message is the reason, without the path.
        MemoryError: it is too large.
    """
    if isinstance(content, bytes):
        return content
    raise content


def read_each(
    work: Callable[[Content], Result], paths: Sequence[Path], description: str
) -> Iterator[Result | str]:
    """Call `work` for the content of each file, in order, over processes or machines.

    Where there is DICOM, some of whose decoders abort on damage, it is never this process. A file
    that ends the processes that work on it has that as its result, a text; the others have theirs.
    """
    apart = any(map(_is_dicom, paths))
    return spread(work, paths, description, read=content_of, lost=_fatal, apart=apart)


def _fatal(_: Path) -> str:
    return "damaged: reading it ended the process that did"


def _is_dicom(path: Path) -> bool:
    if obstacle(path):
        return False
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False
