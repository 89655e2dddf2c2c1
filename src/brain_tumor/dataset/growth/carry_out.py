"""Carry out a plan: the new data folder in the old one's place, in one step."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from brain_tumor.atomic import replacing, write_text
from brain_tumor.dataset.fetch import data_dvc
from brain_tumor.dataset.growth.incoming import Incoming
from brain_tumor.dataset.growth.listing import md5
from brain_tumor.dataset.growth.plan import Plan
from brain_tumor.dataset.validation.layout import PATIENTS_FILE


class CopyError(ValueError):
    """A plan cannot be carried out now; the data folder is as it was."""


@contextmanager
def only_one(data: Path) -> Iterator[None]:
    """Keep a second run out: each would put its own new folder in the old one's place.

    Raises:
        CopyError: there is one already.
    """
    from filelock import FileLock, Timeout

    folder = data_dvc.require_repository(data) / "tmp"
    folder.mkdir(exist_ok=True)
    try:
        with FileLock(folder / f"brain-tumor-add-{data.name}.lock", timeout=0):
            yield
    except Timeout as error:
        raise CopyError(
            f"something is being added to {data} right now: wait until it ends"
        ) from error


def carry_out(plan: Plan, incoming: Incoming, data: Path) -> None:
    """Make the planned data folder beside `data`, of links to its files, and put it in its place.

    Raises:
        CopyError: a file changed since it was checked; `data` is as it was.
        OSError: files cannot be read or written; likewise.
    """
    with replacing(data) as aside:
        shutil.copytree(data, aside, symlinks=True, copy_function=_link)
        for path, target in plan.copies.items():
            _copy(incoming.root / path, aside / target)
            if md5(aside / target) != plan.listing[target]:
                raise CopyError(f"{path} changed while it was copied: nothing was added")
        if plan.table is not None:
            write_text(aside / PATIENTS_FILE, plan.table)


def _link(source: str, target: str) -> None:
    try:
        os.link(source, target)
    except OSError:  # no hard links here
        shutil.copy2(source, target)


def _copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as reading, target.open("xb") as writing:
        shutil.copyfileobj(reading, writing)


def is_carried_out(plan: Plan, found: dict[str, str]) -> bool:
    """Tell whether a run that was cut off had filled the folder, and only dvc is left to run.

    Args:
        plan: made from what is on record; its table is None if patients.csv has it all.
        found: MD5 of each file in the data folder.
    """
    without = [
        {path: digest for path, digest in listing.items() if path != PATIENTS_FILE}
        for listing in (plan.listing, found)
    ]
    return bool(plan.copies) and plan.table is None and without[0] == without[1]
