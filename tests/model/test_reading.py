"""Rows are read in order, a bounded number of batches ahead, and never all at once."""

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model import reading
from brain_tumor.model.reading import pieces, read_ahead
from brain_tumor.model.saved import BATCH

LONG = 10.0  # seconds, for what takes none


def threads() -> int:
    return sum(thread.name.startswith("read-ahead") for thread in threading.enumerate())


def test_results_come_in_order() -> None:
    assert list(read_ahead(lambda task: task**2, range(20))) == [task**2 for task in range(20)]
    assert list(read_ahead(abs, [])) == []
    assert list(read_ahead(abs, [-1])) == [1]


def test_next_is_read_while_the_last_one_is_used() -> None:
    was_read = [threading.Event() for _ in range(5)]

    def read(task: int) -> int:
        was_read[task].set()
        return task

    for task in read_ahead(read, range(5)):
        assert was_read[min(task + 1, 4)].wait(LONG)


def test_no_more_than_asked_for_are_read_ahead() -> None:
    taken: list[int] = []
    third = threading.Event()

    def read(task: int) -> int:
        if task == 2:
            third.set()
        return task

    def tasks() -> Iterator[int]:
        for task in range(10):
            taken.append(task)
            yield task

    results = read_ahead(read, tasks(), ahead=2)
    for used in range(8):
        assert next(results) == used
        assert third.wait(LONG)
        assert taken == list(range(used + 3))
    results.close()
    assert threads() == 0


def test_error_of_a_read_comes_in_its_place() -> None:
    def read(task: int) -> int:
        if task == 3:
            raise UserError("features.npy: it became shorter; run again")
        return task

    results = read_ahead(read, range(10))
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(UserError, match="became shorter"):
        next(results)
    assert threads() == 0


def test_error_of_a_task_comes_out() -> None:
    def tasks() -> Iterator[int]:
        yield 0
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        list(read_ahead(abs, tasks()))
    assert threads() == 0


def test_user_who_stops_leaves_no_thread() -> None:
    results = read_ahead(abs, range(1000))
    next(results)
    assert threads() == 1
    results.close()
    assert threads() == 0


@pytest.mark.parametrize(("features", "dtype"), [(1, np.uint8), (300, np.float32), (10**7, float)])
def test_pieces_are_whole_batches_of_bounded_size(features: int, dtype: Any) -> None:
    array = np.broadcast_to(np.zeros((), dtype), (10**6, features))
    rows = np.random.default_rng(0).permutation(10**6)[:99_999]
    parts = list(pieces(array, rows))
    np.testing.assert_array_equal(np.concatenate(parts), rows)
    assert {len(part) % BATCH for part in parts[:-1]} <= {0}
    largest = max(len(part) for part in parts)
    assert largest <= BATCH or largest * features * array.itemsize <= reading._PIECE
    assert list(pieces(array, rows[:0])) == []
