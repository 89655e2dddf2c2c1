"""Filling the data folder from a source: the phantom, a folder, an archive, or Kaggle."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from brain_tumor.data import dvc
from brain_tumor.data.archive import extract, is_archive
from brain_tumor.data.folder import PATIENTS_FILE, Remark, walk
from brain_tumor.data.junk import is_junk, is_no_image
from brain_tumor.errors import UserError
from brain_tumor.escaping import printable, terminal
from brain_tumor.files import obstacle, replacing, require_space, scratch, write_text
from brain_tumor.settings import MASKS_FOLDER, PhantomParams

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
        about = {"source": "directory", "name": path.resolve().name}
        return about | _copy(path, target, names, path)
    if path.is_file():
        return _fill_from_archive(path, target, names)
    if path.exists():
        raise UserError(f"{source}: {obstacle(path)}; give a directory or an archive")
    raise UserError(
        f"{source}: no such directory or archive (nor is it 'phantom' or 'kaggle:OWNER/NAME')"
    )


def _copy(root: Path, target: Path, names: Sequence[str], source: Path | str) -> dict[str, Any]:
    """Copy what is in the folder `root`, which came from `source`."""
    try:
        counts = copy_class_folders(find_class_folders(root, names), target, names)
    except UserError as error:
        raise UserError(f"{source}: {error}") from error
    return {"files": sum(counts.values())}


def _fill_from_archive(archive: Path, target: Path, names: Sequence[str]) -> dict[str, Any]:
    with scratch(target.with_name("archive")) as folder:
        folder.mkdir()
        extract(archive, folder)
        files = _copy(folder, target, names, archive)
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
    return {"source": source} | version | _copy(folder, target, names, source)


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
    dvc.require_repository(data)
    if has_files(data) and not force:
        raise UserError(f"{data} is not empty: pass --force to replace what is in it")
    if source != PHANTOM and Path(source).resolve().is_relative_to(data.resolve()):
        raise UserError(f"{source} lies in {data}, which would be replaced: move it first")
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
        UserError: other data could not be pulled, or something else than files lies in `data`; the
            message says what to do.
    """
    if has_files(data):
        _require_files(data)
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


def _require_files(data: Path) -> None:
    """Raise if something else than files lies in the folder: DVC would open it and never end."""
    for path, kind in walk(data):
        if kind == "file" and (reason := obstacle(data / path)):
            raise UserError(f"{data}: {_shown(path)}: {reason}")


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


_SHOWN = 12  # folders named in an error


def find_class_folders(root: Path, names: Sequence[str]) -> Path:
    """Return the folder that holds all of `names`: the one nearest to `root` (or `root`).

    Deeper pairs are taken for nested copies, as in the Kaggle archive, and left out.

    Raises:
        UserError: there is none, or there are several equally near.
    """
    entries = list(walk(root))
    folders = [root, *(root / path for path, kind in entries if kind == "folder" and _kept(path))]
    holders = [folder for folder in folders if all((folder / name).is_dir() for name in names)]
    if not holders:
        shown = [_shown(folder.relative_to(root).as_posix()) for folder in folders[1:]]
        archives = [_shown(path) for path, kind in entries if kind == "file" and is_archive(path)]
        found = f"{', '.join(shown[:_SHOWN]) or 'no folders'}{' ...' if shown[_SHOWN:] else ''}"
        inner = f" and the archive {archives[0]}: unpack and fetch that" if archives else ""
        raise UserError(
            f"no class folders {names[0]!r} and {names[1]!r} side by side; found {found}{inner}; "
            "validate.negative_folder and validate.positive_folder in params.yaml name them"
        )
    nearest = min(len(holder.parts) for holder in holders)
    rivals = [holder for holder in holders if len(holder.parts) == nearest]
    if len(rivals) > 1:
        listed = ", ".join(_shown(rival.relative_to(root).as_posix()) for rival in rivals)
        raise UserError(f"class folders in several places: {listed}; fetch one of them")
    return rivals[0]


def copy_class_folders(holder: Path, target: Path, names: Sequence[str]) -> dict[str, int]:
    """Copy class folders, and masks and patients.csv where there are any, into `target`.

    Junk and documents (see `data.junk`) are left out. Nothing is copied unless all can be.

    Returns:
        The number of files of each class folder.

    Raises:
        UserError: a class folder has no files, or a link, a pipe, a device, an archive or a folder
            that cannot be read lies in one; or the disk is too small.
    """
    problems: list[Remark] = []
    files = {name: list(_taken(holder, name, problems)) for name in names}
    for name, paths in files.items():
        if not paths and not problems:
            raise UserError(f"class folder {name!r} is empty")
    others: list[str] = []
    if os.path.lexists(holder / MASKS_FOLDER):
        others += _taken(holder, MASKS_FOLDER, problems)
    if os.path.lexists(holder / PATIENTS_FILE):
        others += _file(holder, PATIENTS_FILE, problems)
    if problems:
        more = f"; and {len(problems) - 3} more" if problems[3:] else ""
        lines = "; ".join(f"{_shown(path)}: {reason}" for path, reason in problems[:3])
        raise UserError(f"nothing was fetched: {lines}{more}")
    every = [*chain.from_iterable(files.values()), *others]
    needed = sum((holder / path).stat().st_size for path in every)
    require_space(target, needed, "the data folder")
    for path in every:
        (target / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(holder / path, target / path)
    return {name: len(paths) for name, paths in files.items()}


def _taken(holder: Path, name: str, problems: list[Remark]) -> Iterator[str]:
    """The files of a folder of `holder` that are copied, by their paths in it."""
    if (holder / name).is_symlink():
        problems.append(Remark(f"{name}/", "link to a folder: not followed"))
        return
    for within, kind in walk(holder / name):
        path = f"{name}/{within}"
        if kind == "link":
            problems.append(Remark(f"{path}/", "link to a folder: not followed"))
        elif kind == "unreadable":
            problems.append(Remark(f"{path}/", "folder that cannot be read"))
        elif kind == "file" and not is_no_image(within):
            yield from _file(holder, path, problems)


def _file(holder: Path, path: str, problems: list[Remark]) -> Iterator[str]:
    if is_archive(path):
        problems.append(Remark(path, "an archive: unpack it first"))
    elif reason := obstacle(holder / path):
        problems.append(Remark(path, reason))
    else:
        yield path


def _kept(path: str) -> bool:
    return not any(map(is_junk, PurePosixPath(path).parts))


def _shown(path: str) -> str:
    return terminal(printable(path))
