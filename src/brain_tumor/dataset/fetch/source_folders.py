"""Find the two class folders in whatever a source holds, and take them along."""

import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path

from brain_tumor.dataset.validation.layout import PATIENTS_FILE, is_junk
from brain_tumor.settings import MASKS_FOLDER

_SHOWN = 12  # folders named in an error


class ClassFoldersError(ValueError):
    """The class folders are missing, empty, or not to be told apart."""


def find_class_folders(root: Path, names: Sequence[str]) -> Path:
    """Return the folder that holds all of `names`: the one nearest to `root` (or `root`).

    Deeper pairs are taken for nested copies, as in the Kaggle archive, and left out.

    Raises:
        ClassFoldersError: there is none, or there are several equally near.
    """
    folders = list(_folders(root))
    holders = [folder for folder in folders if all((folder / name).is_dir() for name in names)]
    if not holders:
        shown = [folder.relative_to(root).as_posix() for folder in folders[1:]]
        raise ClassFoldersError(
            f"no class folders {' and '.join(map(repr, names))} side by side; found "
            f"{', '.join(shown[:_SHOWN]) or 'no folders'}{' ...' if shown[_SHOWN:] else ''}; "
            "validate.negative_folder and validate.positive_folder in params.yaml name them"
        )
    nearest = min(len(holder.parts) for holder in holders)
    rivals = [holder for holder in holders if len(holder.parts) == nearest]
    if len(rivals) > 1:
        listed = ", ".join(rival.relative_to(root).as_posix() for rival in rivals)
        raise ClassFoldersError(f"class folders in several places: {listed}; fetch one of them")
    return rivals[0]


def copy_class_folders(holder: Path, target: Path, names: Sequence[str]) -> dict[str, int]:
    """Copy class folders, and masks and patients.csv where there are any, into `target`.

    Returns:
        The number of files of each class folder.

    Raises:
        ClassFoldersError: a class folder has no files.
    """
    counts = {}
    for name in names:
        shutil.copytree(holder / name, target / name, ignore=_junk)
        counts[name] = sum(path.is_file() for path in (target / name).rglob("*"))
        if not counts[name]:
            raise ClassFoldersError(f"class folder {name!r} is empty")
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
