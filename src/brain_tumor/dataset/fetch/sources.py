"""Where images come from: the phantom, a directory, an archive, or Kaggle."""

import hashlib
import re
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brain_tumor.dataset.fetch.archives import extract
from brain_tumor.dataset.fetch.source_folders import copy_class_folders, find_class_folders
from brain_tumor.settings import PhantomParams

PHANTOM = "phantom"
_KAGGLE = re.compile(r"kaggle:([\w-]+/[\w.-]+)")


class SourceError(ValueError):
    """A source does not exist, cannot be reached or is not understood."""


def fill(source: str, target: Path, phantom: PhantomParams, names: Sequence[str]) -> dict[str, Any]:
    """Fill `target` with the class folders of `source`.

    Args:
        source: `phantom`, a directory, an archive, or `kaggle:OWNER/NAME`.
        target: folder to make.
        phantom: section `phantom`.
        names: class folders, negative first.

    Returns:
        What identifies the source, without any path of this machine.

    Raises:
        SourceError: `source` is none of these or cannot be had.
        ArchiveError: the archive is broken or unsafe.
        ClassFoldersError: the class folders are not there.
    """
    target.mkdir(parents=True)
    if source == PHANTOM:
        from brain_tumor.dataset.phantom.generate import generate

        generate(target, phantom, *names)
        return {"source": PHANTOM, PHANTOM: phantom.model_dump(mode="json")}
    if source.startswith("kaggle:"):
        return _fill_from_kaggle(source, target, names)
    path = Path(source)
    if path.is_dir():
        return {"source": "directory", "name": path.resolve().name} | _copy(path, target, names)
    if path.is_file():
        return _fill_from_archive(path, target, names)
    raise SourceError(
        f"{source}: no such directory or archive (nor is it 'phantom' or 'kaggle:OWNER/NAME')"
    )


def _copy(root: Path, target: Path, names: Sequence[str]) -> dict[str, Any]:
    counts = copy_class_folders(find_class_folders(root, names), target, names)
    return {"files": sum(counts.values())}


def _fill_from_archive(archive: Path, target: Path, names: Sequence[str]) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(
        prefix=".archive.partial-", dir=target.absolute().parent
    ) as folder:
        extract(archive, Path(folder))
        files = _copy(Path(folder), target, names)
    with archive.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"source": "archive", "name": archive.name, "sha256": digest} | files


def _fill_from_kaggle(source: str, target: Path, names: Sequence[str]) -> dict[str, Any]:
    match = _KAGGLE.fullmatch(source)
    if not match:
        raise SourceError(f"{source}: write kaggle:OWNER/NAME")
    try:
        import kagglehub
    except ImportError as error:
        raise SourceError(f"{source} needs kagglehub: pip install 'brain-tumor[kaggle]'") from error
    try:
        folder = Path(kagglehub.dataset_download(match[1]))
    except Exception as error:  # kagglehub and requests raise many kinds
        raise SourceError(
            f"{source}: Kaggle did not hand it out ({error}); check the name and the connection, "
            "or download the archive in a browser and fetch that"
        ) from error
    version = {"version": folder.name} if folder.parent.name == "versions" else {}
    return {"source": source} | version | _copy(folder, target, names)
