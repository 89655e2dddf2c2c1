"""Bring back what the DVC remote has, and send it what a run made."""

from collections.abc import Sequence
from pathlib import Path

from brain_tumor.ci.commands import CommandError, dvc, dvc_json
from brain_tumor.dataset.fetch.data_dvc import pointer
from brain_tumor.dataset.fetch.fetch import ensure, has_files
from brain_tumor.dataset.growth.repository import default_remote
from brain_tumor.settings import PhantomParams


class RestoreError(ValueError):
    """The data cannot be brought to the state data.dvc describes."""


def restore(
    data: Path, phantom: PhantomParams, names: Sequence[str], *, without_access: bool = False
) -> list[str]:
    """Bring back data and stage outputs as far as the remote has them.

    Args:
        data: the data folder.
        phantom: what the phantom is like.
        names: class folders, negative first.
        without_access: whether to go on with what can be made again where the remote cannot be
            read (a fork's pull request has no credentials).

    Returns:
        What was done, a line each.

    Raises:
        CommandError: the remote cannot be read.
        FetchError: the data are neither there nor to be had.
        RestoreError: the data are not those of data.dvc.
    """
    if has_files(data):
        _require_recorded(data)
    done = [_pull(default_remote(data), without_access), ensure(data, phantom, names)]
    _require_recorded(data)
    return done


def _require_recorded(data: Path) -> None:
    if dvc_json("status", pointer(data).name):
        raise RestoreError(
            f"{data}: not the data that {pointer(data)} describes; `brain-tumor data diff` says "
            f"what differs, `dvc checkout {pointer(data)}` brings them back"
        )


def push(data: Path) -> str:
    """Send data and outputs to the default remote, if there is one; say what was done.

    Raises:
        CommandError: the remote does not take them.
    """
    remote = default_remote(data)
    if remote is None:
        return "no DVC remote is set: data and outputs stay on this machine"
    return f"pushed to {remote}: {dvc('push').strip().splitlines()[-1]}"


def _pull(remote: str | None, without_access: bool) -> str:
    if remote is None:
        return "no DVC remote is set: nothing to pull"
    try:
        said = dvc("pull", "--allow-missing").strip().splitlines()
    except CommandError as error:
        if not without_access:
            raise
        return f"remote {remote} could not be read: {error}"
    return f"pulled from {remote}: {said[-1] if said else 'nothing new'}"
