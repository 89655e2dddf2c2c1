"""A folder of images: its layout, its patients, and the facts of each file."""

import csv
import hashlib
import os
import shutil
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from brain_tumor.data.copies import difference_hash, thumbnail
from brain_tumor.errors import UserError
from brain_tumor.imaging.grey import DecodeError, FileFacts
from brain_tumor.imaging.read import is_image, look_at, read_slices, require_single
from brain_tumor.settings import MASKS_FOLDER, ValidateParams


class Remark(NamedTuple):
    """A file (or folder, ending in `/`), relative to the data folder, and what is odd about it."""

    path: str
    reason: str


class BadImageError(UserError):
    """A file that cannot be used as an image; the message is the reason, without the path.

    Attributes:
        header: what its header says; None where that cannot be read.
    """

    def __init__(self, reason: str, header: FileFacts | None = None) -> None:
        """Keep the reason, and what is known all the same."""
        super().__init__(reason)
        self.header = header


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


def read_facts(file: Path, params: ValidateParams) -> ImageFacts:
    """Decode every pixel of `file` and describe it.

    Raises:
        BadImageError: it is empty, broken, no image, of several pictures, too large or too small.
    """
    try:
        data = file.read_bytes()
    except OSError as error:
        raise BadImageError(f"cannot be read: {error.strerror or error}") from error
    header = None
    try:
        header = look_at(data)
        _check_size(header, params)
        require_single(header)
        picture = read_slices(data, 1)[0]
    except DecodeError as error:
        raise BadImageError(error.reason, header) from error
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
_OS_FILES = {"Thumbs.db", "desktop.ini", "__MACOSX"}


class Contents(NamedTuple):
    """The files of a data folder, sorted; `images` are (path relative to it, label)."""

    images: list[tuple[str, str]]
    excluded: list[Remark]
    errors: list[Remark]
    warnings: list[Remark]


def is_junk(name: str) -> bool:
    """Tell by the name of a file or folder whether it is hidden or an operating system's own."""
    return name.startswith(".") or name in _OS_FILES


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
        elif top != MASKS_FOLDER and path != PATIENTS_FILE:
            strays.setdefault(top, []).append(path)
    _report_strays(data, strays, params, contents)
    _report_unmatched(params, contents)
    return contents


def _files(data: Path, contents: Contents) -> Iterator[str]:
    for file in sorted(data.rglob("*")):
        path = file.relative_to(data).as_posix()
        if file.is_dir():
            if file.is_symlink():
                reason = "link to a folder: not followed, copy the files instead"
                contents.errors.append(Remark(f"{printable(path)}/", reason))
        elif any(map(is_junk, path.split("/"))):
            contents.warnings.append(Remark(printable(path), "hidden file: ignored"))
        else:
            yield path


def _add_image(data: Path, path: str, label: str, contents: Contents) -> None:
    if printable(path) != path:
        contents.errors.append(Remark(printable(path), "file name is not valid UTF-8: rename it"))
    elif not (data / path).exists():
        contents.errors.append(Remark(path, "link to a file that does not exist"))
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


def printable(path: str) -> str:
    """The path with what is no text in it escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")


def read_patient_rows(file: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a patients.csv; what a row has beyond the columns has the key "".

    Raises:
        UserError: it is no CSV in UTF-8 with the columns `path` and `patient`.
    """
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.DictReader(lines, restkey="", restval="")
            columns, rows = list(reader.fieldnames or []), list(reader)
    except (UnicodeDecodeError, csv.Error, OSError) as error:
        raise UserError(f"cannot be read as CSV in UTF-8: {error}") from error
    if not {"path", "patient"} <= set(columns):
        raise UserError(f"columns path,patient expected, received {columns}")
    return columns, rows


def read_patients(
    file: Path, paths: Collection[str], excluded: Collection[str] = ()
) -> tuple[dict[str, str], list[Remark]]:
    """Read a table with columns `path` (relative to the data folder) and `patient`.

    The table must name each of `paths` once, and nothing else but what is `excluded`. A patient may
    be left empty: unknown. Where there is no table no patient is known.

    Returns:
        The patient of each path named, and what is wrong with the table.
    """
    if not file.exists():
        return {}, []
    try:
        _, rows = read_patient_rows(file)
    except UserError as error:
        return {}, [Remark(file.name, str(error))]
    pairs = [(row["path"], row["patient"].strip()) for row in rows]
    named = [path for path, _ in pairs if path not in set(excluded)]
    return dict(pairs), _differences(file.name, named, paths)


def rows_in_table(file: Path) -> Counter[str]:
    """How often a patients.csv names each path; nothing where there is no table to be read."""
    try:
        _, rows = read_patient_rows(file)
    except UserError:
        return Counter()
    return Counter(row["path"] for row in rows)


def _differences(name: str, named: list[str], paths: Collection[str]) -> list[Remark]:
    twice = sorted(path for path, times in Counter(named).items() if times > 1)
    absent = sorted(set(named) - set(paths))
    lacking = sorted(set(paths) - set(named))
    return [
        *(Remark(path, f"named more than once in {name}") for path in twice),
        *(Remark(path, f"named in {name}, but there is no such image") for path in absent),
        *(Remark(path, f"not named in {name}, which must name every image") for path in lacking),
    ]


_SHOWN = 12  # folders named in an error


def find_class_folders(root: Path, names: Sequence[str]) -> Path:
    """Return the folder that holds all of `names`: the one nearest to `root` (or `root`).

    Deeper pairs are taken for nested copies, as in the Kaggle archive, and left out.

    Raises:
        UserError: there is none, or there are several equally near.
    """
    folders = list(_folders(root))
    holders = [folder for folder in folders if all((folder / name).is_dir() for name in names)]
    if not holders:
        shown = [folder.relative_to(root).as_posix() for folder in folders[1:]]
        raise UserError(
            f"no class folders {' and '.join(map(repr, names))} side by side; found "
            f"{', '.join(shown[:_SHOWN]) or 'no folders'}{' ...' if shown[_SHOWN:] else ''}; "
            "validate.negative_folder and validate.positive_folder in params.yaml name them"
        )
    nearest = min(len(holder.parts) for holder in holders)
    rivals = [holder for holder in holders if len(holder.parts) == nearest]
    if len(rivals) > 1:
        listed = ", ".join(rival.relative_to(root).as_posix() for rival in rivals)
        raise UserError(f"class folders in several places: {listed}; fetch one of them")
    return rivals[0]


def copy_class_folders(holder: Path, target: Path, names: Sequence[str]) -> dict[str, int]:
    """Copy class folders, and masks and patients.csv where there are any, into `target`.

    Returns:
        The number of files of each class folder.

    Raises:
        UserError: a class folder has no files.
    """
    counts = {}
    for name in names:
        shutil.copytree(holder / name, target / name, ignore=_junk)
        counts[name] = sum(path.is_file() for path in (target / name).rglob("*"))
        if not counts[name]:
            raise UserError(f"class folder {name!r} is empty")
    if (holder / MASKS_FOLDER).is_dir():
        shutil.copytree(holder / MASKS_FOLDER, target / MASKS_FOLDER, ignore=_junk)
    if (holder / PATIENTS_FILE).is_file():
        shutil.copyfile(holder / PATIENTS_FILE, target / PATIENTS_FILE)
    return counts


def _folders(root: Path) -> Iterator[Path]:
    for folder, subfolders, _ in os.walk(root):
        yield Path(folder)
        subfolders[:] = sorted(name for name in subfolders if not is_junk(name))


def _junk(_: object, names: list[str]) -> set[str]:
    return set(filter(is_junk, names))
