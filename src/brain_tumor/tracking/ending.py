"""How a run ends: with the status that the end of its process deserves."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any

from brain_tumor import processes
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.server import StoreError

HOST_TAG, PROCESS_TAG = "process.host", "process.id"


def owner() -> dict[str, str]:
    """The tags of a run that this process is responsible for."""
    return {HOST_TAG: processes.host(), PROCESS_TAG: processes.identify(os.getpid()) or ""}


@contextmanager
def ending(run: Run) -> Iterator[None]:
    """Set a run to FINISHED after the block, or as `failing` does."""
    with failing(run):
        yield
    run.client.set_terminated(run.run_id, "FINISHED")


@contextmanager
def failing(run: Run) -> Iterator[None]:
    """Set a run to FAILED when the block raises, to KILLED on Ctrl-C or SIGTERM."""
    try:
        yield
    except (KeyboardInterrupt, _Terminated):
        _give_up(run, "KILLED")
        raise
    except StoreError:  # it cannot be told; the next run of this machine closes this one
        raise
    except BaseException:
        _give_up(run, "FAILED")
        raise


def _give_up(run: Run, status: str) -> None:
    """Set the status of a run unless it is another process's, which goes on with it."""
    tags = run.client.get_run(run.run_id).data.tags
    if {key: tags.get(key) for key in (HOST_TAG, PROCESS_TAG)} == owner():
        run.client.set_terminated(run.run_id, status)


class _Terminated(SystemExit):
    """SIGTERM as an exception, so that `with` blocks end as they should."""


@contextmanager
def sigterm_raises() -> Iterator[None]:
    """Have SIGTERM raise in the block."""

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
