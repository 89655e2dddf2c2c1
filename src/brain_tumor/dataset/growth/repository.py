"""The DVC repository of the data folder and its default remote."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brain_tumor.dataset.fetch import data_dvc


class RemoteError(ValueError):
    """There is no default remote, or it cannot be asked."""


@contextmanager
def opened(data: Path) -> Iterator[Any]:
    """Open the DVC repository in which `data` lies.

    Raises:
        DvcError: it lies in none, or DVC fails in the body.
    """
    data_dvc.require_repository(data)
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    try:
        with Repo(str(data.absolute().parent)) as repo:
            yield repo
    except DvcException as error:
        raise data_dvc.DvcError(f"DVC cannot read {data}: {error}") from error


def default_remote(data: Path) -> str | None:
    """Name of the default DVC remote, None if none is set."""
    with opened(data) as repo:
        return _default(repo)


def missing_on_remote(data: Path) -> tuple[str, int] | None:
    """Count the contents that data.dvc describes and the default remote lacks.

    Returns:
        The remote's name and the number; None if no default remote is set.

    Raises:
        RemoteError: the remote cannot be reached.
    """
    with opened(data) as repo:
        name = _default(repo)
        if name is None:
            return None
        try:
            states = repo.status([str(data_dvc.pointer(data.absolute()))], cloud=True)
        except Exception as error:  # each kind of store raises its own
            raise RemoteError(f"remote {name!r} could not be asked: {error}") from error
    return name, sum(state != "deleted" for state in states.values())


def _default(repo: Any) -> str | None:
    return repo.config["core"].get("remote") or None
