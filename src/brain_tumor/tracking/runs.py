"""Runs: one per study, trial or model, with the status their end deserves."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from brain_tumor import processes
from brain_tumor.tracking import store
from brain_tumor.tracking.ending import (
    HOST_TAG,
    PROCESS_TAG,
    ending,
    failing,
    owner,
    sigterm_raises,
)
from brain_tumor.tracking.run import Run

if TYPE_CHECKING:
    from mlflow import MlflowClient


@contextmanager
def start_run(
    name: str, params: Mapping[str, str], tags: Mapping[str, str], parent: str | None = None
) -> Iterator[Run]:
    """Open a run for the length of a `with` block.

    It ends FINISHED, FAILED when the block raises, KILLED on Ctrl-C or SIGTERM. Runs that a
    killed process of this machine left open are closed first.

    Args:
        name: shown in the UI.
        params: flat parameters (see `wording.acted_params`).
        tags: what it is found by; `Run.log_lineage` adds those of what it read.
        parent: id of the run this one belongs to (trials of a study).
    """
    run = create_run(name, params, tags, parent)
    with ending(run), sigterm_raises():
        yield run


def create_run(
    name: str, params: Mapping[str, str], tags: Mapping[str, str], parent: str | None = None
) -> Run:
    """Open a run of this process (arguments as of `start_run`) and leave it open."""
    client = store.connect()
    close_abandoned_runs(client)
    nested = {"mlflow.parentRunId": parent} if parent else {}
    source = {"mlflow.source.name": " ".join(sys.argv[:1]), "mlflow.source.type": "LOCAL"}
    created = client.create_run(
        store.experiment_id(client), run_name=name, tags={**source, **tags, **owner(), **nested}
    )
    run = Run(client, created.info.run_id)
    with failing(run):
        run.log_params(params)
    return run


@contextmanager
def shared(run: Run) -> Iterator[Run]:
    """Work on a run for the length of a `with` block, beside others that do so too.

    Whoever succeeds leaves it FINISHED. It fails or is killed with the process that owns it: the
    one that opened it or, once it was not RUNNING any more, the first to take it up again.
    """
    close_abandoned_runs(run.client)
    if run.client.get_run(run.run_id).info.status != "RUNNING":
        run.set_tags(owner())
        run.client.update_run(run.run_id, status="RUNNING")
    with ending(run), sigterm_raises():
        yield run


def discard_run(run: Run) -> None:
    """Delete a run that turned out not to be needed."""
    run.client.set_terminated(run.run_id, "KILLED")
    run.client.delete_run(run.run_id)


def close_run(run_id: str) -> None:
    """Set a run that its process left open, on whatever machine, to KILLED."""
    run = resume_run(run_id)
    if run is not None and run.client.get_run(run_id).info.status == "RUNNING":
        run.client.set_terminated(run_id, "KILLED")


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
