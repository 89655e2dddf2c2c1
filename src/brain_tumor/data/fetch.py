"""Filling the data folder from a source: the phantom, a folder, an archive, or Kaggle."""

import hashlib
import json
import lzma
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from pydantic import ValidationError

from brain_tumor.data import dvc
from brain_tumor.data.folder import copy_class_folders, find_class_folders
from brain_tumor.errors import UserError
from brain_tumor.files import replacing, write_text
from brain_tumor.settings import PhantomParams


def extract(archive: Path, folder: Path) -> None:
    """Unpack `archive` (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, told by content) into `folder`.

    Raises:
        UserError: it is none of these, is broken or encrypted, or holds a path or link that
            leads outside `folder`.
    """
    broken = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
    try:
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        else:
            raise UserError(f"{archive}: no zip or tar archive, or its start or end is missing")
    except tarfile.FilterError as error:
        raise UserError(f"{archive}: refused, a member leads outside: {error}") from error
    except (*broken, RuntimeError, NotImplementedError, OSError) as error:
        raise UserError(f"{archive}: cannot be unpacked: {error}; fetch it again") from error


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            if _leads_outside(name):
                raise UserError(f"{archive}: refused, a member leads outside: {name!r}")
        bundle.extractall(folder)


def _leads_outside(name: str) -> bool:
    windows = PureWindowsPath(name)
    return ".." in windows.parts or bool(windows.anchor) or PurePosixPath(name).is_absolute()


PHANTOM = "phantom"
_KAGGLE = re.compile(r"kaggle:([\w-]+/[\w.-]+)")


def fill(source: str, target: Path, phantom: PhantomParams, names: Sequence[str]) -> dict[str, Any]:
    """Fill the new folder `target` with the class folders `names` of `source`.

    Args:
        source: `phantom`, a directory, an archive, or `kaggle:OWNER/NAME`.
        target: folder to make.
        phantom: section `phantom`.
        names: class folders, negative first.

    Returns:
        What identifies the source, without any path of this machine.

    Raises:
        UserError: `source` is none of these or cannot be had, the archive is broken or unsafe, or
            the class folders are not there.
    """
    target.mkdir(parents=True)
    if source == PHANTOM:
        from brain_tumor.data.phantom.folder import generate

        generate(target, phantom, *names)
        return {"source": PHANTOM, PHANTOM: phantom.model_dump(mode="json")}
    if source.startswith("kaggle:"):
        return _fill_from_kaggle(source, target, names)
    path = Path(source)
    if path.is_dir():
        return {"source": "directory", "name": path.resolve().name} | _copy(path, target, names)
    if path.is_file():
        return _fill_from_archive(path, target, names)
    raise UserError(
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
        raise UserError(f"{source}: write kaggle:OWNER/NAME")
    try:
        import kagglehub
    except ImportError as error:
        raise UserError(f"{source} needs kagglehub: pip install 'brain-tumor[kaggle]'") from error
    try:
        folder = Path(kagglehub.dataset_download(match[1]))
    except Exception as error:  # kagglehub and requests raise many kinds
        raise UserError(
            f"{source}: Kaggle did not hand it out ({error}); check the name and the connection, "
            "or download the archive in a browser and fetch that"
        ) from error
    version = {"version": folder.name} if folder.parent.name == "versions" else {}
    return {"source": source} | version | _copy(folder, target, names)


def fetch(
    source: str,
    data: Path,
    phantom: PhantomParams,
    names: Sequence[str],
    *,
    force: bool = False,
) -> dict[str, int]:
    """Fill `data` from `source` (see `fill`), whole or not at all, and put it under DVC.

    With `force` what is in `data` is replaced; otherwise files there are an error.

    Returns:
        The number of files in each class folder.

    Raises:
        UserError: `data` is not empty, `source` lies in it, or as `fill` does.
        DvcError: `data` is not in a DVC repository, or `dvc add` fails.
    """
    if has_files(data) and not force:
        raise UserError(f"{data} is not empty: pass --force to replace what is in it")
    if source != PHANTOM and Path(source).resolve().is_relative_to(data.resolve()):
        raise UserError(f"{source} lies in {data}, which would be replaced: move it first")
    dvc.require_repository(data)
    with replacing(data) as aside:
        meta = fill(source, aside, phantom, names)
    dvc.add(data, meta)
    return {name: sum(path.is_file() for path in (data / name).rglob("*")) for name in names}


def ensure(data: Path, phantom: PhantomParams, names: Sequence[str]) -> str:
    """Bring `data` back if it is missing: the phantom is made again, other data are pulled.

    A phantom that images were added to is other data.

    Returns:
        What was done, in a few words.

    Raises:
        UserError: other data could not be pulled; the message says what to do.
    """
    if has_files(data):
        return f"{data} is there"
    if not dvc.pointer(data).is_file():
        fetch(PHANTOM, data, phantom, names)
        return f"{data} made: the phantom"
    meta = dvc.read_meta(data)
    grown = dvc.ADDED in meta
    if meta.get("source") == PHANTOM and not grown and _made_again(data, meta, names):
        return f"{data} made: the phantom"
    try:
        dvc.pull(data)
    except dvc.DvcError as error:
        raise UserError(
            f"{data} is missing and {dvc.pointer(data)} (source: {dvc.origin(meta)}) "
            f"could not be pulled: {error}. Set up a DVC remote that has it "
            "(`dvc remote add -d NAME URL`), or fetch it again: "
            "`brain-tumor data fetch SOURCE`"
        ) from error
    return f"{data} pulled"


def _made_again(data: Path, meta: dvc.Meta, names: Sequence[str]) -> bool:
    """Make the phantom that data.dvc describes; False, and nothing made, if its MD5 is another.

    Nor is it made if an older version wrote data.dvc: its phantoms were others.
    """
    try:
        described = json.dumps(meta.get(PHANTOM, {}))
        recorded = PhantomParams.model_validate_json(described, extra="ignore")
    except ValidationError:
        return False
    before = dvc.pointer(data).read_bytes()
    with replacing(data) as aside:
        fill(PHANTOM, aside, recorded, names)
    dvc.add(data, meta)
    if dvc.pointer(data).read_bytes() == before:
        return True
    write_text(dvc.pointer(data), before.decode())
    shutil.rmtree(data)
    return False


def has_files(folder: Path) -> bool:
    """Tell whether there is anything in `folder`."""
    return folder.is_dir() and any(folder.iterdir())
