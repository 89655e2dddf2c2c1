"""The DVC repository of the data folder and its default remote."""

from collections.abc import Iterable, Iterator
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


def missing_on_remote(data: Path, listing: Iterable[str]) -> tuple[str, int] | None:
    """Count the contents of `listing` that the default remote lacks.

    Args:
        data: the data folder.
        listing: MD5s.

    Returns:
        The remote's name and the number; None if no default remote is set.

    Raises:
        RemoteError: the remote cannot be reached.
    """
    name = default_remote(data)
    if name is None:
        return None
    with opened(data) as repo:
        wanted = set(listing)
        try:
            return name, len(wanted - set(remote_store(repo).oids_exist(wanted)))
        except Exception as error:  # each kind of store raises its own
            raise RemoteError(f"remote {name!r} could not be asked: {error}") from error


def remote_store(repo: Any) -> Any:
    """Files by their MD5 on the default remote of an open repository.

    Raises:
        RemoteError: no default remote is set.
    """
    if not _default(repo):
        raise RemoteError("none is set")
    return repo.cloud.get_remote_odb(hash_name="md5")


def _default(repo: Any) -> str | None:
    return repo.config["core"].get("remote") or None
