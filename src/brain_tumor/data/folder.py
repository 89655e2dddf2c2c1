"""A folder of images: its layout, its patients, and the facts of each file."""

import hashlib
import io
import os
import warnings
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from brain_tumor.data.archive import is_archive
from brain_tumor.data.copies import difference_hash, thumbnail
from brain_tumor.data.junk import is_document, is_junk
from brain_tumor.errors import UserError
from brain_tumor.escaping import is_text, printable
from brain_tumor.files import obstacle, read_bytes
from brain_tumor.imaging.picture import eight_bits
from brain_tumor.settings import MASKS_FOLDER, ValidateParams


class Remark(NamedTuple):
    """A file (or folder, ending in `/`), relative to the data folder, and what is odd about it."""

    path: str
    reason: str


# What Pillow may try, and the file name extensions each format goes by.
EXTENSIONS = {
    "BMP": {".bmp", ".dib"},
    "GIF": {".gif"},
    "JPEG": {".jpg", ".jpeg", ".jpe", ".jfif"},
    "PNG": {".png"},
    "TIFF": {".tif", ".tiff"},
    "WEBP": {".webp"},
}


class BadImageError(UserError):
    """A file that cannot be used as an image; the message is the reason, without the path."""


class ImageFacts(NamedTuple):
    """What a decoded image is.

    `width` and `height` are as stored, in pixels, before the EXIF `orientation` (1 to 8, 1 = as
    stored) is applied; `dhash` and `thumbnail` are of the picture the right way up.
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
    blank: bool


def read_facts(file: Path, params: ValidateParams) -> ImageFacts:
    """Decode every pixel of `file` and describe it.

    Raises:
        BadImageError: it is empty, broken, no image, animated, too large or too small.
    """
    try:
        data = read_bytes(file)
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error
    except UserError as error:
        raise BadImageError(str(error)) from error
    if not data:
        raise BadImageError("empty file (0 bytes)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF; what matters raises
            return _decode(data, params)
    except BadImageError:
        raise
    except UnidentifiedImageError as error:
        formats = ", ".join(EXTENSIONS)
        raise BadImageError(f"not an image that can be read ({formats})") from error
    except Image.DecompressionBombError as error:
        raise BadImageError(f"too large: {error}") from error
    except Exception as error:  # Pillow's decoders raise many kinds (OSError, SyntaxError, struct)
        raise BadImageError(f"broken image: {error}") from error


def _decode(data: bytes, params: ValidateParams) -> ImageFacts:
    with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
        _check_size(image.size, params)
        image.verify()  # checksums, which loading alone skips
    with Image.open(io.BytesIO(data), formats=tuple(EXTENSIONS)) as image:
        frames = int(getattr(image, "n_frames", 1))
        if frames > 1:
            raise BadImageError(f"animated or multi-page: {frames} frames, one is wanted")
        upright = upright_grey(image)  # decodes every pixel
        return ImageFacts(
            format=str(image.format),
            mode=image.mode,
            width=image.width,
            height=image.height,
            bytes=len(data),
            sha256=hashlib.sha256(data).hexdigest(),
            dhash=difference_hash(upright),
            thumbnail=thumbnail(upright),
            orientation=int(image.getexif().get(ExifTags.Base.Orientation, 1)),
            blank=len(set(upright.getextrema())) == 1,
        )


def _check_size(size: tuple[int, int], params: ValidateParams) -> None:
    width, height = size
    if width * height > params.max_megapixels * 1e6:
        raise BadImageError(
            f"too large: {width}x{height} px is more than validate.max_megapixels = "
            f"{params.max_megapixels:g}"
        )
    if min(size) < params.min_side_px:
        raise BadImageError(
            f"too small: {width}x{height} px, validate.min_side_px = {params.min_side_px}"
        )


def upright_grey(image: Image.Image) -> Image.Image:
    """The picture that is hashed: the right way up, 8-bit grey, transparency ignored.

    Pictures of more than 8 bits are stretched as the network sees them.

    Raises:
        UserError: values that `imaging.picture` does not take.
    """
    image = ImageOps.exif_transpose(image)
    if not image.mode.startswith(("I", "F")):
        return image.convert("L")
    return Image.fromarray(eight_bits(np.asarray(image, dtype=np.float64)))


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
        if _is_image(data / path):
            reason = f"image outside the class folders {classes}"
            contents.errors.append(Remark(printable(path), reason))
        else:
            contents.warnings.append(Remark(printable(path), "not part of the data: ignored"))
    for folder, paths in strays.items():
        images = sum(_is_image(data / path) for path in paths)
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


def _is_image(file: Path) -> bool:
    """Whether the file is meant as an image, by its header or else its name; it is not decoded."""
    if obstacle(file):
        return file.suffix.lower() in set().union(*EXTENSIONS.values())
    try:
        with Image.open(file, formats=tuple(EXTENSIONS)):
            return True
    except Exception:  # whatever Pillow makes of it
        return file.suffix.lower() in set().union(*EXTENSIONS.values())
