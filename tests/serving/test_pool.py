"""The line of waiting files: who leaves it, who stays, and that nothing is held for nobody."""

import threading

import pytest

from brain_tumor.serving import schema
from brain_tumor.serving.pool import Job, WaitingLine
from brain_tumor.serving.schema import ApiError
from brain_tumor.serving.uploads import HeldBytes, MemoryBudget
from brain_tumor.serving.workers import Task

SOON_S = 0.01


def jobs(count: int, memory: MemoryBudget | None = None) -> list[Job]:
    memory = memory or MemoryBudget(10**6)
    return [Job(Task(HeldBytes(memory, b"a" * 100), 3, heatmap=False)) for _ in range(count)]


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
    assert future.set_running_or_notify_cancel()
    assert not future.cancel()
    assert memory.held > 0
    taken.settle(b"[]")
    del taken, job
    assert memory.held == 0


@pytest.mark.parametrize("answer", [b"[]", schema.stopping()])
def test_an_answer_that_nobody_waits_for_is_dropped(answer: bytes | ApiError) -> None:
    [job] = jobs(1)
    job.future.cancel()
    job.settle(answer)
    assert job.future.cancelled()


def test_all_that_wait_are_given_up_whoever_left() -> None:
    line, waiting = WaitingLine(), jobs(3)
    line.add(waiting)
    waiting[0].future.cancel()
    waiting[1].future.set_running_or_notify_cancel()  # put back: its worker died
    line.give_up(schema.stopping())
    assert len(line) == 0
    for job in waiting[1:]:
        error = job.future.exception(SOON_S)
        assert isinstance(error, ApiError)
        assert error.code == "stopping"
