"""Work spread over processes, results in order, the same whatever the number of processes."""

import os
import pickle
import signal
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

from brain_tumor.processes import processors
from brain_tumor.progress import track

Task = TypeVar("Task")
Result = TypeVar("Result")

WORKERS_VARIABLE = "BRAIN_TUMOR_WORKERS"
_MIN_PER_WORKER = 4  # starting a process costs about as much as this many images


def worker_count() -> int:
    """Processes to use: `BRAIN_TUMOR_WORKERS`, else the processors this process may use.

    Raises:
        ValueError: the variable is not a positive whole number.
    """
    wanted = os.environ.get(WORKERS_VARIABLE, "")
    if not wanted:
        return processors()
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"{WORKERS_VARIABLE}={wanted}: a whole number from 1 is needed")
    return int(wanted)


def spread(
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    description: str,
    *,
    apart: bool = False,
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, with a progress bar.

    Args:
        function: picklable, its result independent of the process and of other tasks.
        tasks: picklable.
        description: shown with the bar.
        apart: never in this process, however few the tasks: one that crashes must not end it.
    """
    count = min(worker_count(), max(1, len(tasks) // _MIN_PER_WORKER))
    if count == 1 and not apart:
        yield from track(map(function, tasks), description, len(tasks))
        return
    # The function goes to each process once: what it holds and keeps (an atlas) stays there. It
    # goes by a file: a process that dies at its start would leave the writer of a pipe stuck.
    with TemporaryDirectory() as folder, _pool(count, function, Path(folder)) as pool:
        try:
            yield from track(pool.map(_call, tasks), description, len(tasks))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _pool(count: int, function: Callable[[Any], Any], folder: Path) -> ProcessPoolExecutor:
    path = folder / "function.pickle"
    path.write_bytes(pickle.dumps(function))
    return ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_install, initargs=(str(path),)
    )


_installed: Callable[[Any], Any]


def _install(path: str) -> None:
    global _installed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the pool by its parent
    _installed = pickle.loads(Path(path).read_bytes())


def _call(task: Any) -> Any:
    return _installed(task)
