"""A folder of labelled images from elsewhere."""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from brain_tumor.dataset.validation.layout import PATIENTS_FILE
from brain_tumor.dataset.validation.patients import read_patients
from brain_tumor.inference.files import expand
from brain_tumor.settings import LABELS


@dataclass(frozen=True)
class LabelledFile:
    """A file of a class folder.

    Attributes:
        file: where it is.
        path: the same relative to the folder, with slashes; bytes that are no text are escaped.
        label: no or yes.
        patient: as patients.csv has it; "" where it is not known.
    """

    file: Path
    path: str
    label: str
    patient: str


def labelled_files(folder: Path) -> list[LabelledFile]:
    """The files of `folder/no` and `folder/yes`, at any depth, sorted within each.

    Hidden files and those that end like text, tables or code are passed over, as `brain-tumor
    predict` does. Where `folder/patients.csv` (columns path,patient) is, it names every file.

    Raises:
        ValueError: a folder is missing or empty, or patients.csv does not fit.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; give one that holds {_wanted()}")
    found = [
        (file, _text(file.relative_to(folder)), label)
        for label in LABELS
        for file in _class_files(folder, label)
    ]
    patients = _patients(folder, [path for _, path, _ in found])
    return [LabelledFile(*one, patients.get(one[1], "")) for one in found]


def content_digest(hashes: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the folder's files: their paths and contents, whatever their order or place.

    Args:
        hashes: path within the folder and SHA-256 of each file.
    """
    lines = sorted(f"{sha256}  {path}\n" for path, sha256 in hashes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _class_files(folder: Path, label: str) -> list[Path]:
    inside = folder / label
    if not inside.is_dir():
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        holds = ", ".join(names[:5]) + (", ..." if names[5:] else "")
        raise ValueError(
            f"{folder}: has no folder {label}/ (it holds {holds or 'nothing'}); put the images "
            f"into {_wanted()}"
        )
    files = [file for file in expand([str(inside)]) if not file.is_dir()]
    if not files:
        raise ValueError(f"{inside}: no files that may be images; {_wanted()} are both needed")
    return files


def _text(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _wanted() -> str:
    return "no/ (images without a tumour) and yes/ (with one)"


def _patients(folder: Path, paths: list[str]) -> dict[str, str]:
    patients, problems = read_patients(folder / PATIENTS_FILE, paths)
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise ValueError(
            f"{folder / PATIENTS_FILE}: {problems[0].path}: {problems[0].reason}{more}; mend it, "
            "or remove it if patients are not known"
        )
    return patients
