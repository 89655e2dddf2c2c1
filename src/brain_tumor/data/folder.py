"""A folder of images: its layout, its patients, and the facts of each file."""

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from brain_tumor.data.archive import is_archive
from brain_tumor.data.copies import difference_hash, thumbnail
from brain_tumor.data.junk import is_document, is_junk
from brain_tumor.errors import UserError
from brain_tumor.escaping import is_text, printable
from brain_tumor.files import obstacle
from brain_tumor.imaging.grey import DecodeError, FileFacts
from brain_tumor.imaging.read import (
    Content,
    content_of,
    is_image,
    look_at,
    opened,
    read_each,
    read_slices,
    require_single,
)
from brain_tumor.settings import MASKS_FOLDER, ValidateParams


class Remark(NamedTuple):
    """A file (or folder, ending in `/`), relative to the data folder, and what is odd about it."""

    path: str
    reason: str


class BadImageError(UserError):
    """A file that cannot be used as an image; the message is the reason, without the path.

    Attributes:
        header: what its header says; None where that cannot be read.
        decoding: kind of the error that decoding it raised; None where it was not decoded.
    """

    def __init__(
        self,
        reason: str,
        header: FileFacts | None = None,
        decoding: type[DecodeError] | None = None,
    ) -> None:
        """Keep the reason, and what is known all the same."""
        super().__init__(reason)
        self.header, self.decoding = header, decoding


class ImageFacts(NamedTuple):
    """What a decoded image is.

    `width` and `height` are as stored, in pixels, before the EXIF `orientation` (1 to 8, 1 = as
    stored) is applied; `dhash`, `thumbnail`, `darkest` and `brightest` are of the grey picture that
    preprocessing gets, the right way up. `patient` is that of its own tags, "" where it has none;
    `notes` say what is odd.
    """

    format: str
    mode: str
    width: int
    height: int
    bytes: int
    sha256: str
    dhash: int
    thumbnail: npt.NDArray[np.uint8]
    orientation: int
    darkest: int
    brightest: int
    patient: str
    notes: tuple[str, ...]


def read_all_facts(
    files: Sequence[Path], params: ValidateParams
) -> Iterator[ImageFacts | BadImageError]:
    """`read_facts` of each file, in order, over processes or machines; a bad one has its error."""
    for result in read_each(partial(_facts_or_error, params), files, "decode"):
        yield BadImageError(result) if isinstance(result, str) else result


def _facts_or_error(params: ValidateParams, content: Content) -> ImageFacts | BadImageError:
    try:
        return _facts(content, params)
    except BadImageError as error:
        return error


def read_facts(file: Path, params: ValidateParams) -> ImageFacts:
    """Decode every pixel of `file` and describe it.

    Raises:
        BadImageError: it is empty, broken, no image, of several pictures, too large or too small.
    """
    return _facts(content_of(file), params)


def _facts(content: Content, params: ValidateParams) -> ImageFacts:
    try:
        data = opened(content)
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error
    except UserError as error:
        raise BadImageError(str(error)) from error
    except MemoryError as error:
        raise BadImageError("too large for the memory of this machine") from error
    header = None
    try:
        header = look_at(data)
        _check_size(header, params)
        require_single(header)
        picture = read_slices(data, 1)[0]
    except DecodeError as error:
        raise BadImageError(error.reason, header, type(error)) from error
    except MemoryError as error:
        raise BadImageError("too large for the memory of this machine", header) from error
    grey = Image.fromarray(picture.grey)
    darkest, brightest = (int(level) for level in (picture.grey.min(), picture.grey.max()))
    return ImageFacts(
        format=header.kind,
        mode=header.mode,
        width=header.width,
        height=header.height,
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        dhash=difference_hash(grey),
        thumbnail=thumbnail(grey),
        orientation=header.orientation,
        darkest=darkest,
        brightest=brightest,
        patient=header.patient,
        notes=picture.notes,
    )


def _check_size(header: FileFacts, params: ValidateParams) -> None:
    width, height = header.width, header.height
    if width * height > params.max_megapixels * 1e6:
        raise DecodeError(
            f"too large: {width}x{height} px is more than validate.max_megapixels = "
            f"{params.max_megapixels:g}"
        )
    if min(width, height) < params.min_side_px:
        raise DecodeError(
            f"too small: {width}x{height} px, validate.min_side_px = {params.min_side_px}"
        )


PATIENTS_FILE = "patients.csv"


class Contents(NamedTuple):
    """The files of a data folder, sorted; `images` are (path relative to it, label)."""

    images: list[tuple[str, str]]
    excluded: list[Remark]
    errors: list[Remark]
    warnings: list[Remark]


def find_images(data: Path, params: ValidateParams) -> Contents:
    """List the files of the class folders of `data` and what is wrong with its layout.

    Files are taken from class folders at any depth. `masks/`, `patients.csv` and what operating
    systems leave behind (`.DS_Store`, `Thumbs.db`, ...) are no images.
    """
    contents = Contents([], [], [], [])
    if not data.is_dir():
        contents.errors.append(Remark(".", f"data folder '{data}' is missing or not a folder"))
        return contents
    reasons = {str(PurePosixPath(item.path)): item.reason for item in params.exclude}
    strays: dict[str, list[str]] = {}
    for path in _files(data, contents):
        top = path.split("/")[0] if "/" in path else ""
        if path in reasons:
            contents.excluded.append(Remark(path, reasons[path]))
        elif top in params.folders:
            _add_image(data, path, params.folders[top], contents)
        elif top == MASKS_FOLDER:
            if reason := obstacle(data / path):
                contents.errors.append(Remark(printable(path), reason))
        elif path != PATIENTS_FILE:
            strays.setdefault(top, []).append(path)
    _report_strays(data, strays, params, contents)
    _report_unmatched(params, contents)
    return contents


def _files(data: Path, contents: Contents) -> Iterator[str]:
    for path, kind in walk(data):
        if kind == "unreadable":
            contents.errors.append(Remark(f"{printable(path)}/", "folder that cannot be read"))
        elif kind == "link":
            reason = "link to a folder: not followed, copy the files instead"
            contents.errors.append(Remark(f"{printable(path)}/", reason))
        elif is_junk(PurePosixPath(path).name):
            slash = "/" if kind == "folder" else ""
            hidden = PurePosixPath(path).name.startswith(".")
            reason = f"{'hidden file' if hidden else 'left behind by a system'}: ignored"
            contents.warnings.append(Remark(f"{printable(path)}{slash}", reason))
        elif kind == "file":
            yield path


def walk(root: Path) -> Iterator[tuple[str, Literal["file", "folder", "link", "unreadable"]]]:
    """What lies in a folder at any depth, as paths relative to it; nothing below junk or links.

    A `link` is one to a folder. What is no folder is a `file`, whatever it is.
    """
    unreadable: list[Path] = []
    for top, folders, names in os.walk(
        root, onerror=lambda error: unreadable.append(Path(error.filename))
    ):
        within = Path(top).relative_to(root)
        for name in sorted(folders):
            yield (
                (within / name).as_posix(),
                "link" if (Path(top) / name).is_symlink() else "folder",
            )
        folders[:] = sorted(name for name in folders if not is_junk(name))
        for name in sorted(names):
            yield (within / name).as_posix(), "file"
    yield from ((path.relative_to(root).as_posix(), "unreadable") for path in unreadable)


def _add_image(data: Path, path: str, label: str, contents: Contents) -> None:
    if not is_text(path):
        contents.errors.append(Remark(printable(path), "file name is not valid UTF-8: rename it"))
    elif reason := obstacle(data / path):
        contents.errors.append(Remark(path, reason))
    elif is_archive(path):
        contents.errors.append(Remark(path, "an archive: put what is in it here instead"))
    elif is_document(PurePosixPath(path).name):
        contents.warnings.append(Remark(path, "no image by its name: ignored"))
    else:
        contents.images.append((path, label))


def _report_strays(
    data: Path, strays: dict[str, list[str]], params: ValidateParams, contents: Contents
) -> None:
    classes = " and ".join(f"{folder}/" for folder in params.folders)
    for path in strays.pop("", []):
        if is_image(data / path):
            reason = f"image outside the class folders {classes}"
            contents.errors.append(Remark(printable(path), reason))
        else:
            contents.warnings.append(Remark(printable(path), "not part of the data: ignored"))
    for folder, paths in strays.items():
        images = sum(is_image(data / path) for path in paths)
        where = f"{printable(folder)}/"
        if images:
            reason = f"label outside the set: {images} images, but the classes are {classes}"
            contents.errors.append(Remark(where, reason))
        else:
            contents.warnings.append(Remark(where, "folder without images: ignored"))


def _report_unmatched(params: ValidateParams, contents: Contents) -> None:
    labels = {label for _, label in contents.images}
    for folder, label in params.folders.items():
        if label not in labels:
            reason = f"class folder is missing or empty: images of class '{label}' belong there"
            contents.errors.append(Remark(f"{folder}/", reason))
    matched = {item.path for item in contents.excluded}
    for exclusion in params.exclude:
        if str(PurePosixPath(exclusion.path)) not in matched:
            reason = "listed in validate.exclude, but there is no such file"
            contents.errors.append(Remark(exclusion.path, reason))
