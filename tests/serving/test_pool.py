"""The line of waiting files: who leaves it, who stays, and that nothing is held for nobody."""

import threading
from pathlib import Path
from sys import getrefcount, getsizeof

import pytest

from brain_tumor.serving import schema
from brain_tumor.serving.pool import Job, WaitingLine, WorkerPool
from brain_tumor.serving.schema import ApiError, Limits
from brain_tumor.serving.uploads import HeldBytes, MemoryBudget
from brain_tumor.serving.workers import Task
from brain_tumor.tracking.models import find_model
from tests.inference.toy import disc

SOON_S = 0.01
ROOM = 1000  # for answers


def jobs(count: int, memory: MemoryBudget | None = None) -> list[Job]:
    memory = memory or MemoryBudget(10**6)
    tasks = [Task(HeldBytes(memory, b"a" * 100), 3, heatmap=False) for _ in range(count)]
    return [Job(task, MemoryBudget(ROOM)) for task in tasks]


def test_first_come_first_served_and_who_is_put_back_comes_before() -> None:
    line, [first, second, third] = WaitingLine(), jobs(3)
    line.add([first, second])
    line.add([third])
    assert line.first(SOON_S) is first
    line.put_back(first)
    assert [line.first(SOON_S) for _ in range(4)] == [first, second, third, None]


def test_who_waits_for_a_job_is_woken_by_it() -> None:
    line, [job] = WaitingLine(), jobs(1)
    threading.Timer(0.05, line.add, [[job]]).start()
    assert line.first(10) is job


def test_a_cancelled_job_leaves_at_once_and_is_held_no_longer() -> None:
    memory = MemoryBudget(10**6)
    line, waiting = WaitingLine(), jobs(3, memory)
    line.add(waiting)
    waiting[1].future.cancel()
    assert len(line) == 2
    assert line.first(SOON_S) is waiting[0]
    futures = [job.future for job in waiting]
    del waiting
    futures[2].cancel()
    assert len(line) == 0
    assert memory.held == 0


def test_an_abandoned_job_that_is_worked_on_is_held_until_it_is_done() -> None:
    memory = MemoryBudget(10**6)
    line = WaitingLine()
    [job] = jobs(1, memory)
    line.add([job])
    future = job.future
    taken = line.first(SOON_S)
    assert taken is job
    assert future.cancel()
    assert memory.held > 0
    taken.settle(b"[]")
    del taken, job
    assert memory.held == 0


@pytest.mark.parametrize("left_first", [True, False])
def test_an_abandoned_job_that_is_put_back_leaves(left_first: bool) -> None:
    memory = MemoryBudget(10**6)
    line, [job] = WaitingLine(), jobs(1, memory)
    line.add([job])
    taken, future = line.first(SOON_S), job.future
    assert taken is job
    if left_first:
        future.cancel()
    line.put_back(taken)
    future.cancel()
    del taken, job
    assert len(line) == 0
    assert memory.held == 0


@pytest.mark.parametrize("answer", [b"[]", schema.stopping()])
def test_an_answer_that_nobody_waits_for_is_dropped(answer: bytes | ApiError) -> None:
    [job] = jobs(1)
    job.future.cancel()
    job.settle(answer)
    assert job.future.cancelled()


def test_an_answer_counts_from_when_it_arrives_until_nobody_has_it() -> None:
    [job] = jobs(1)
    answers, future = job.answers, job.future
    job.settle(b"a" * 500)
    del job
    assert answers.held > 500
    assert future.result(SOON_S).data == b"a" * 500
    del future
    assert answers.held == 0


def test_an_answer_for_which_there_is_no_room_is_held_by_nobody() -> None:
    [job] = jobs(1)
    answer = b"a" * (ROOM + 1)
    before = getrefcount(answer)
    job.settle(answer)
    error = job.future.exception(SOON_S)
    assert isinstance(error, ApiError)
    assert (error.status, error.headers) == (503, {"Retry-After": "5"})
    assert getrefcount(answer) == before
    assert job.answers.held == 0


def test_answers_of_a_request_that_goes_on_have_no_more_room_than_all(toy: Path) -> None:
    def tasks(count: int) -> list[Task]:
        return [Task(HeldBytes(MemoryBudget(10**6), disc(120)), 1, heatmap=True)] * count

    room = 100_000
    pool = WorkerPool(find_model(str(toy)), 1, Limits(answer_bytes=room))
    try:
        [first] = pool.submit(tasks(1))
        fit = room // getsizeof(first.result(30).data)
        assert fit > 0
        del first
        futures = pool.submit(tasks(fit + 2))
        errors = [future.exception(30) for future in futures]
        assert errors[:fit] == [None] * fit
        assert [error.status for error in errors[fit:] if isinstance(error, ApiError)] == [503] * 2
        futures.clear()
        [last] = pool.submit(tasks(1))
        assert last.exception(30) is None
    finally:
        pool.close()


def test_all_that_wait_are_given_up_whoever_left() -> None:
    line, waiting = WaitingLine(), jobs(3)
    line.add(waiting)
    waiting[0].future.cancel()
    assert line.first(SOON_S) is waiting[1]
    line.put_back(waiting[1])  # its worker died
    line.give_up(schema.stopping())
    assert len(line) == 0
    for job in waiting[1:]:
        error = job.future.exception(SOON_S)
        assert isinstance(error, ApiError)
        assert error.code == "stopping"
