"""Work spread over processes, results in order, the same whatever the number of processes."""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any, TypeVar

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
        affinity = getattr(os, "sched_getaffinity", None)
        return len(affinity(0)) if affinity else os.cpu_count() or 1
    if not wanted.isdecimal() or int(wanted) < 1:
        raise ValueError(f"{WORKERS_VARIABLE}={wanted}: a whole number from 1 is needed")
    return int(wanted)


def spread(
    function: Callable[[Task], Result], tasks: Sequence[Task], description: str
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, with a progress bar.

    Args:
        function: picklable, its result independent of the process and of other tasks.
        tasks: picklable.
        description: shown with the bar.
    """
    count = min(worker_count(), max(1, len(tasks) // _MIN_PER_WORKER))
    if count == 1:
        yield from track(map(function, tasks), description, len(tasks))
        return
    spawn = get_context("spawn")
    # The function goes to each process once: what it holds and keeps (an atlas) stays there.
    with ProcessPoolExecutor(count, spawn, initializer=_install, initargs=(function,)) as pool:
        try:
            yield from track(pool.map(_call, tasks), description, len(tasks))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


_installed: Callable[[Any], Any]


def _install(function: Callable[[Any], Any]) -> None:
    global _installed
    _installed = function


def _call(task: Any) -> Any:
    return _installed(task)
