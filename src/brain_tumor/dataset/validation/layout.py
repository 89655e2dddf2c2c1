"""Which files of the data folder are images of which class, and which do not belong there."""

from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from PIL import Image

from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.image_facts import EXTENSIONS
from brain_tumor.settings import MASKS_FOLDER, ValidateParams

PATIENTS_FILE = "patients.csv"
_OS_FILES = {"Thumbs.db", "desktop.ini", "__MACOSX"}


class Found(NamedTuple):
    """The files of a data folder, sorted; `images` are (path relative to it, label)."""

    images: list[tuple[str, str]]
    excluded: list[Finding]
    errors: list[Finding]
    warnings: list[Finding]


def is_junk(name: str) -> bool:
    """Tell by the name of a file or folder whether it is hidden or an operating system's own."""
    return name.startswith(".") or name in _OS_FILES


def find_images(data: Path, params: ValidateParams) -> Found:
    """List the files of the class folders of `data` and what is wrong with its layout.

    Files are taken from class folders at any depth. `masks/`, `patients.csv` and what operating
    systems leave behind (`.DS_Store`, `Thumbs.db`, ...) are no images.
    """
    found = Found([], [], [], [])
    if not data.is_dir():
        found.errors.append(Finding(".", f"data folder '{data}' is missing or not a folder"))
        return found
    reasons = {str(PurePosixPath(item.path)): item.reason for item in params.exclude}
    strays: dict[str, list[str]] = {}
    for path in _files(data, found):
        top = path.split("/")[0] if "/" in path else ""
        if path in reasons:
            found.excluded.append(Finding(path, reasons[path]))
        elif top in params.folders:
            _add_image(data, path, params.folders[top], found)
        elif top != MASKS_FOLDER and path != PATIENTS_FILE:
            strays.setdefault(top, []).append(path)
    _report_strays(data, strays, params, found)
    _report_unmatched(params, found)
    return found


def _files(data: Path, found: Found) -> Iterator[str]:
    for file in sorted(data.rglob("*")):
        path = file.relative_to(data).as_posix()
        if file.is_dir():
            if file.is_symlink():
                reason = "link to a folder: not followed, copy the files instead"
                found.errors.append(Finding(f"{printable(path)}/", reason))
        elif any(map(is_junk, path.split("/"))):
            found.warnings.append(Finding(printable(path), "hidden file: ignored"))
        else:
            yield path


def _add_image(data: Path, path: str, label: str, found: Found) -> None:
    if printable(path) != path:
        found.errors.append(Finding(printable(path), "file name is not valid UTF-8: rename it"))
    elif not (data / path).exists():
        found.errors.append(Finding(path, "link to a file that does not exist"))
    else:
        found.images.append((path, label))


def _report_strays(
    data: Path, strays: dict[str, list[str]], params: ValidateParams, found: Found
) -> None:
    classes = " and ".join(f"{folder}/" for folder in params.folders)
    for path in strays.pop("", []):
        if _is_image(data / path):
            reason = f"image outside the class folders {classes}"
            found.errors.append(Finding(printable(path), reason))
        else:
            found.warnings.append(Finding(printable(path), "not part of the data: ignored"))
    for folder, paths in strays.items():
        images = sum(_is_image(data / path) for path in paths)
        where = f"{printable(folder)}/"
        if images:
            reason = f"label outside the set: {images} images, but the classes are {classes}"
            found.errors.append(Finding(where, reason))
        else:
            found.warnings.append(Finding(where, "folder without images: ignored"))


def _report_unmatched(params: ValidateParams, found: Found) -> None:
    labels = {label for _, label in found.images}
    for folder, label in params.folders.items():
        if label not in labels:
            reason = f"class folder is missing or empty: images of class '{label}' belong there"
            found.errors.append(Finding(f"{folder}/", reason))
    matched = {item.path for item in found.excluded}
    for exclusion in params.exclude:
        if str(PurePosixPath(exclusion.path)) not in matched:
            reason = "listed in validate.exclude, but there is no such file"
            found.errors.append(Finding(exclusion.path, reason))


def _is_image(file: Path) -> bool:
    """Whether the file is meant as an image, by its header or else its name; it is not decoded."""
    try:
        with Image.open(file, formats=tuple(EXTENSIONS)):
            return True
    except Exception:  # whatever Pillow makes of it
        return file.suffix.lower() in set().union(*EXTENSIONS.values())


def printable(path: str) -> str:
    """The path with what is no text in it escaped."""
    return path.encode("utf-8", "backslashreplace").decode("utf-8")
