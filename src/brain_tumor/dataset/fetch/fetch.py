"""Fill the data folder from a source, and put it under DVC with the source on record."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

from brain_tumor.atomic import replacing, write_text
from brain_tumor.dataset.fetch import data_dvc, sources
from brain_tumor.settings import PhantomParams


class FetchError(ValueError):
    """The data folder cannot be filled as asked."""


def fetch(
    source: str,
    data: Path,
    phantom: PhantomParams,
    names: Sequence[str],
    *,
    force: bool = False,
) -> dict[str, int]:
    """Fill `data` from `source`, whole or not at all, and put it under DVC.

    Args:
        source: `phantom`, a directory, an archive, or `kaggle:OWNER/NAME`.
        data: the data folder.
        phantom: section `phantom`.
        names: class folders, negative first.
        force: replace what is in `data`; otherwise files there are an error.

    Returns:
        The number of files in each class folder.

    Raises:
        FetchError: `data` is not empty, or `source` lies in it.
        DvcError: `data` is not in a DVC repository, or `dvc add` fails.
        ValueError: the source's own errors, see `sources.fill`.
    """
    if has_files(data) and not force:
        raise FetchError(f"{data} is not empty: pass --force to replace what is in it")
    if source != sources.PHANTOM and Path(source).resolve().is_relative_to(data.resolve()):
        raise FetchError(f"{source} lies in {data}, which would be replaced: move it first")
    data_dvc.require_repository(data)
    with replacing(data) as aside:
        meta = sources.fill(source, aside, phantom, names)
    data_dvc.add(data, meta)
    return {name: sum(path.is_file() for path in (data / name).rglob("*")) for name in names}


def ensure(data: Path, phantom: PhantomParams, names: Sequence[str]) -> str:
    """Bring `data` back if it is missing: the phantom is made again, other data are pulled.

    A phantom that images were added to is other data.

    Returns:
        What was done, in a few words.

    Raises:
        FetchError: other data could not be pulled; the message says what to do.
    """
    if has_files(data):
        return f"{data} is there"
    if not data_dvc.pointer(data).is_file():
        fetch(sources.PHANTOM, data, phantom, names)
        return f"{data} made: the phantom"
    meta = data_dvc.read_meta(data)
    grown = data_dvc.ADDED in meta
    if meta.get("source") == sources.PHANTOM and not grown and _made_again(data, meta, names):
        return f"{data} made: the phantom"
    try:
        data_dvc.pull(data)
    except data_dvc.DvcError as error:
        raise FetchError(
            f"{data} is missing and {data_dvc.pointer(data)} (source: {data_dvc.origin(meta)}) "
            f"could not be pulled: {error}. Set up a DVC remote that has it "
            "(`dvc remote add -d NAME URL`), or fetch it again: "
            "`brain-tumor data fetch SOURCE`"
        ) from error
    return f"{data} pulled"


def _made_again(data: Path, meta: data_dvc.Meta, names: Sequence[str]) -> bool:
    """Make the phantom that data.dvc describes; False, and nothing made, if its MD5 is another."""
    recorded = PhantomParams.model_validate_json(
        json.dumps(meta.get(sources.PHANTOM, {})), extra="ignore"
    )
    before = data_dvc.pointer(data).read_bytes()
    with replacing(data) as aside:
        sources.fill(sources.PHANTOM, aside, recorded, names)
    data_dvc.add(data, meta)
    if data_dvc.pointer(data).read_bytes() == before:
        return True
    write_text(data_dvc.pointer(data), before.decode())
    shutil.rmtree(data)
    return False


def has_files(folder: Path) -> bool:
    """Tell whether there is anything in `folder`."""
    return folder.is_dir() and any(folder.iterdir())
