"""Rows of large arrays: a piece at a time, and read while the piece before is in use.

The arrays may lie on disk, or be computed as they are read: anything with `shape`, `dtype`, a
length and rows.
"""

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.saved import BATCH

_PIECE = 1 << 24  # bytes
Task = TypeVar("Task")
Result = TypeVar("Result")


def read_ahead(
    read: Callable[[Task], Result], tasks: Iterable[Task], ahead: int = 2
) -> Generator[Result, None, None]:
    """Yield `read(task)` for each task, in order; a thread reads the next ones meanwhile.

    Args:
        read: what the thread calls. Its error is raised where its result would have come.
        tasks: of which the next few are taken early.
        ahead: how many results wait at most.
    """
    with ThreadPoolExecutor(1, "read-ahead") as thread:
        waiting: deque[Future[Result]] = deque()
        try:
            for task in tasks:
                waiting.append(thread.submit(read, task))
                if len(waiting) > ahead:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            thread.shutdown(wait=False, cancel_futures=True)


def pieces(array: Any, rows: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
    """Divide rows of an array so that each piece takes about 16 MB; none is empty.

    But for the last one they have a multiple of `BATCH` rows, so that batches are the same as
    without pieces.
    """
    row_bytes = int(np.prod(array.shape[1:])) * np.dtype(array.dtype).itemsize
    size = max(1, _PIECE // (row_bytes * BATCH)) * BATCH
    return (rows[start : start + size] for start in range(0, len(rows), size))
