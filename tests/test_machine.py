"""Work over processes and what is said of it meanwhile."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest

from brain_tumor import machine
from brain_tumor.errors import UserError
from brain_tumor.machine import counting, spread, track, working
from tests.dask_cluster import ROOT, project_environment
from tests.spread_work import (
    dies_once,
    end_at_five,
    fatal,
    lost,
    read,
    refuse,
    square,
    unfit,
    where,
    whose,
)  # fmt: skip
from tests.test_command import in_foreground


@pytest.fixture(autouse=True)
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "2")
    monkeypatch.delenv("BRAIN_TUMOR_SCHEDULER", raising=False)


def test_results_are_in_order_whoever_works() -> None:
    assert list(spread(square, range(20), "square")) == [n**2 for n in range(20)]
    assert list(spread(square, range(3), "square")) == [0, 1, 4]
    assert list(spread(square, [], "square")) == []


def test_few_tasks_stay_here_unless_they_are_to_be_apart() -> None:
    assert [process for process, _ in spread(whose, range(2), "whose")] == [os.getpid()] * 2
    [(process, _)] = spread(whose, [0], "whose", apart=True)
    assert process != os.getpid()


def test_what_a_task_needs_is_read_where_it_is_done() -> None:
    rows = list(spread(where, range(12), "where", read=read))
    assert [number for number, _, _ in rows] == list(range(12))
    assert all(reader == worker != os.getpid() for _, reader, worker in rows)
    assert len({worker for _, _, worker in rows}) == 2


class Counted(list[int]):
    """Tasks that know how many of them were asked for."""

    most = 0

    def __getitem__(self, place: object) -> list[int]:  # type: ignore[override]
        assert isinstance(place, slice)
        self.most = max(self.most, place.stop)
        return list(self)[place]


def test_only_a_few_tasks_are_under_way_however_many_there_are() -> None:
    tasks = Counted(range(100_000))
    results = spread(abs, tasks, "abs")
    assert [next(results) for _ in range(10)] == list(range(10))
    assert tasks.most < 30
    results.close()  # type: ignore[attr-defined]


def test_a_task_that_ends_its_process_is_lost_alone() -> None:
    others = [n for n in range(20) if n != 7]
    rows = list(spread(partial(fatal, 7), range(20), "fatal", lost=lost))
    assert rows == [*others[:7], "lost 7", *others[7:]]
    assert list(spread(partial(fatal, 0), [0], "fatal", lost=lost, apart=True)) == ["lost 0"]


def test_without_a_result_for_it_that_is_an_error_that_names_the_task() -> None:
    tasks = [("a.dcm", n) for n in range(8)]
    with pytest.raises(UserError, match=r"^fatal: task 6 \(a.dcm\) ended the processes"):
        list(spread(end_at_five, tasks, "fatal"))


def test_a_process_that_died_by_chance_costs_nothing(tmp_path: Path) -> None:
    rows = list(spread(partial(dies_once, tmp_path / "mark"), range(12), "chance"))
    assert rows == list(range(12))


def test_a_fault_in_a_task_keeps_its_traceback() -> None:
    results = spread(refuse, range(20), "refuse")
    assert [next(results) for _ in range(5)] == list(range(5))
    with pytest.raises(KeyError, match="five") as error:
        next(results)
    assert "in refuse" in error.value.__notes__[0]


def test_a_result_that_cannot_come_back_is_a_fault_of_its_task() -> None:
    with pytest.raises(RuntimeError, match="pickle"):
        list(spread(unfit, range(20), "unfit"))


def children(process: int) -> list[int]:
    threads = Path(f"/proc/{process}/task").glob("*/children")
    return [int(word) for thread in threads for word in thread.read_text().split()]


@contextmanager
def working_forever(out: Path) -> Iterator[tuple["subprocess.Popen[str]", list[int]]]:
    """A command in the foreground of a terminal, and its two workers."""
    code = "from brain_tumor.command import run; from tests.spread_work import main; run(main)"
    words = [sys.executable, "-c", code, "forever", ".", str(out)]
    environment = project_environment() | {"BRAIN_TUMOR_WORKERS": "2"}
    with subprocess.Popen(
        in_foreground(*words), env=environment, cwd=ROOT, text=True, stderr=subprocess.PIPE,
        start_new_session=True,
    ) as command:  # fmt: skip
        try:
            yield command, _wait_for_workers(command)
        except BaseException:
            command.kill()
            raise


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL, signal.SIGTERM])
def test_no_worker_outlives_the_command(number: signal.Signals, tmp_path: Path) -> None:
    with working_forever(tmp_path / "out") as (command, workers):
        if number == signal.SIGINT:
            os.killpg(command.pid, number)  # as a terminal does
        else:
            command.send_signal(number)
        _, errors = command.communicate(timeout=30)
    _wait_until_gone(workers)
    assert errors == (
        "interrupted: the same command goes on from here\n" if number == signal.SIGINT else ""
    )


def test_an_impatient_interrupt_leaves_no_worker_either(tmp_path: Path) -> None:
    with working_forever(tmp_path / "out") as (command, workers):
        for _ in range(2):
            os.killpg(command.pid, signal.SIGINT)
            time.sleep(0.5)
        command.communicate(timeout=30)
    _wait_until_gone(workers)


def _wait_for_workers(command: "subprocess.Popen[str]") -> list[int]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        workers = [pid for pid in children(command.pid) if _is_worker(pid)]
        if len(workers) == 2:
            time.sleep(0.5)
            return workers
        time.sleep(0.05)
    raise TimeoutError("no workers")


def _is_worker(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def _wait_until_gone(workers: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(machine.identify(pid) for pid in workers) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [pid for pid in workers if machine.identify(pid)] == []


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a log says after ten seconds and each half minute, in a moment."""
    monkeypatch.setattr(machine, "_FIRST_S", 0.05)
    monkeypatch.setattr(machine, "_EVERY_S", 0.05)


def test_a_log_says_how_far_a_step_is_even_while_one_item_takes_long(
    often: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in track(range(4), "decode", 4):
        time.sleep(0.3 if number == 2 else 0)
    *lines, last = capsys.readouterr().err.splitlines()
    assert 2 < len(lines) < 8
    assert set(lines) == {"decode: 2 of 4, about 0 s left"}
    assert last == "decode: 4 done"


def test_a_short_step_says_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    list(track(range(4), "decode", 4))
    with working("scanning"):
        pass
    assert capsys.readouterr().err == "decode: 4 done\nscanning ...\n"


def test_a_log_says_how_long_a_step_has_been_going_on(
    often: None, capsys: pytest.CaptureFixture[str]
) -> None:
    with working("scanning"):
        time.sleep(0.2)
    with counting("training", 5) as count:
        count("epoch 1")
        time.sleep(0.2)
    first, *lines = capsys.readouterr().err.splitlines()
    assert first == "scanning ..."
    assert "scanning: 0 s so far" in lines
    assert "training: epoch 1" in lines
    assert "training: 1 of at most 5, 0 s so far" in lines


@pytest.mark.parametrize(
    ("total", "done", "elapsed_s", "words"),
    [
        (25_000, 5_000, 45, "5,000 of 25,000, about 3 min left"),
        (25_000, 0, 20, "0 of 25,000, 20 s so far"),
        (100_000, 1_000, 200, "1,000 of 100,000, about 5 h 30 min left"),
        (10, 10, 61, "10 of 10, 61 s so far"),
        (None, 0, 125, "2 min so far"),
    ],
)
def test_time_left_is_told_in_words(
    total: int | None, done: int, elapsed_s: float, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = machine._Step("decode", total)
    step.done = done
    step.start_s = time.monotonic() - elapsed_s
    assert step.told() == words


def test_a_step_within_a_step_is_a_line_of_the_same_display(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    with working("comparing"):
        assert list(track(range(3), "decode", 3)) == [0, 1, 2]
        assert len(machine._displays) == 1
    assert machine._displays == []
    assert "comparing: done" in capsys.readouterr().err


def test_what_a_command_prints_to_a_file_is_there_while_a_terminal_shows_how_far_it_is(
    tmp_path: Path,
) -> None:
    code = "from brain_tumor.machine import track\nfor n in track(range(3), 'rows', 3): print(n)"
    ours, theirs = os.openpty()
    with (tmp_path / "out").open("wb") as out:
        environment = project_environment() | {"TERM": "xterm"}
        subprocess.run(
            [sys.executable, "-c", code], stdout=out, stderr=theirs, env=environment, check=True
        )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert (tmp_path / "out").read_text() == "0\n1\n2\n"
    assert "3 of 3" in shown
