"""Runs: one per study, trial or model, with the status their end deserves."""

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TYPE_CHECKING, Any

from brain_tumor import processes
from brain_tumor.tracking import store
from brain_tumor.tracking.run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient

HOST_TAG, PROCESS_TAG = "process.host", "process.id"


@contextmanager
def start_run(
    name: str, params: Mapping[str, str], tags: Mapping[str, str], parent: str | None = None
) -> Iterator[Run]:
    """Open a run for the length of a `with` block.

    It ends FINISHED, FAILED when the block raises, KILLED on Ctrl-C or SIGTERM. Runs that a
    killed process of this machine left open are closed first.

    Args:
        name: shown in the UI.
        params: flat parameters (see `lineage.flat_params`).
        tags: among them those of `lineage.lineage_tags`.
        parent: id of the run this one belongs to (trials of a study).
    """
    client = store.connect()
    close_abandoned_runs(client)
    nested = {"mlflow.parentRunId": parent} if parent else {}
    source = {"mlflow.source.name": " ".join(sys.argv[:1]), "mlflow.source.type": "LOCAL"}
    created = client.create_run(
        store.experiment_id(client), run_name=name, tags={**source, **tags, **_owner(), **nested}
    )
    run = Run(client, created.info.run_id)
    with _ending(run), _sigterm_raises():
        run.log_params(params)
        yield run


@contextmanager
def reopened(run: Run) -> Iterator[Run]:
    """Go on with a run that was ended, for the length of a `with` block; ends as `start_run`."""
    close_abandoned_runs(run.client)
    run.set_tags(_owner())
    run.client.update_run(run.run_id, status="RUNNING")
    with _ending(run), _sigterm_raises():
        yield run


def close_run(run_id: str) -> None:
    """Set a run that its process left open, on whatever machine, to KILLED."""
    run = resume_run(run_id)
    if run is not None and run.client.get_run(run_id).info.status == "RUNNING":
        run.client.set_terminated(run_id, "KILLED")


def _owner() -> dict[str, str]:
    return {HOST_TAG: processes.host(), PROCESS_TAG: processes.identify(os.getpid()) or ""}


def resume_run(run_id: str) -> Run | None:
    """The run of that id to add to (its status stays as it is); None if the store has none."""
    from mlflow.exceptions import MlflowException

    client = store.connect()
    try:
        found = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return None
    return Run(client, run_id) if found.info.lifecycle_stage == "active" else None


def close_abandoned_runs(client: "MlflowClient") -> list[str]:
    """Set runs to KILLED whose process, on this machine, is not there any more.

    Returns:
        Their ids.
    """
    condition = f"attributes.status = 'RUNNING' AND tags.`{HOST_TAG}` = '{processes.host()}'"
    found = client.search_runs([store.experiment_id(client)], condition, max_results=1000)
    abandoned = [
        run.info.run_id
        for run in found
        if not processes.is_alive(run.data.tags.get(PROCESS_TAG, ""))
    ]
    for run_id in abandoned:
        client.set_terminated(run_id, "KILLED")
    return abandoned


@contextmanager
def _ending(run: Run) -> Iterator[None]:
    try:
        yield
    except (KeyboardInterrupt, _Terminated):
        run.client.set_terminated(run.run_id, "KILLED")
        raise
    except BaseException:
        run.client.set_terminated(run.run_id, "FAILED")
        raise
    run.client.set_terminated(run.run_id, "FINISHED")


class _Terminated(SystemExit):
    """SIGTERM as an exception, so that `with` blocks end as they should."""


@contextmanager
def _sigterm_raises() -> Iterator[None]:
    def terminate(signum: int, _frame: FrameType | None) -> None:
        raise _Terminated(128 + signum)

    previous: Any = None
    with suppress(ValueError):  # only the main thread may set a handler
        previous = signal.signal(signal.SIGTERM, terminate)
    try:
        yield
    finally:
        if previous is not None:
            signal.signal(signal.SIGTERM, previous)
