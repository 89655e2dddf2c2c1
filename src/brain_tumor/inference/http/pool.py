"""Files to answers, by worker processes that are replaced when they die or are stuck."""

import logging
import math
import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from brain_tumor.inference.http import problems
from brain_tumor.inference.http.hired import Hired, WorkerGoneError, WorkerSlowError
from brain_tumor.inference.http.limits import Limits
from brain_tumor.inference.http.worker import Answer, Setup, Task

_log = logging.getLogger("brain_tumor.serve")
_LOOK_S = 0.5  # how often an idle worker is looked after
_TRIES = 2  # a file whose worker died (killed from outside?) is tried once more


@dataclass(frozen=True)
class _Job:
    task: Task
    future: "Future[Answer]"


class WorkerPool:
    """Workers, the threads that look after one each, and the queue they share."""

    def __init__(self, setup: Setup, workers: int, limits: Limits) -> None:
        """Start the workers and wait until they have loaded the model.

        Raises:
            ValueError: they cannot load it; the message says why.
        """
        self._setup, self._limits = setup, limits
        self._jobs: queue.Queue[_Job] = queue.Queue()
        self._closing = threading.Event()
        self._give_up_at = math.inf
        self._seconds_per_file = 0.5
        self._hired = [Hired(setup) for _ in range(workers)]
        try:
            for one in self._hired:
                one.wait_ready()
        except WorkerGoneError as error:
            for one in self._hired:
                one.dismiss()
            raise ValueError(str(error)) from error
        self._threads = [
            threading.Thread(target=self._look_after, args=(number,)) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> int:
        """How many workers can take a file."""
        return sum(one.ready and one.alive for one in self._hired)

    @property
    def waiting(self) -> int:
        """How many files wait for a worker."""
        return self._jobs.qsize()

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken."""
        return self._give_up_at < math.inf

    def check_room(self, files: int = 1) -> None:
        """Raise an `ApiError` unless so many more files may wait."""
        if self.stopping:
            raise problems.stopping()
        if self.waiting + files > self._limits.queue:
            rounds = self.waiting / len(self._hired)
            raise problems.busy(max(1, math.ceil(rounds * self._seconds_per_file)))

    def submit(self, tasks: Sequence[Task]) -> list["Future[Answer]"]:
        """Queue files, all or none; each future brings an answer or raises an `ApiError`.

        Raises:
            ApiError: the queue is full, or the server stops.
        """
        self.check_room(len(tasks))
        jobs = [_Job(task, Future()) for task in tasks]
        for job in jobs:
            self._jobs.put(job)
        return [job.future for job in jobs]

    def wind_down(self) -> None:
        """Take no new work; files still waiting after the time limit of one are given up."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + self._limits.timeout_s)

    def close(self) -> None:
        """End all workers at once; what is not answered is given up."""
        self._give_up_at = 0.0
        self._closing.set()
        for one in self._hired:
            one.dismiss()
        for thread in self._threads:
            thread.join()
        while not self._jobs.empty():
            self._jobs.get().future.set_exception(problems.stopping())

    def _look_after(self, number: int) -> None:
        while not self._closing.is_set():
            try:
                job = self._jobs.get(timeout=_LOOK_S)
            except queue.Empty:
                self._replaced(number)
                continue
            if job.future.set_running_or_notify_cancel():
                self._do(number, job)
        self._hired[number].dismiss()

    def _do(self, number: int, job: _Job) -> None:
        try:
            if time.monotonic() > self._give_up_at:
                raise problems.stopping()
            job.future.set_result(self._answered(number, job.task))
        except problems.ApiError as problem:
            job.future.set_exception(problem)
        except Exception as error:  # the thread must live on, and the client have an answer
            _log.error("looking after a worker: %s", type(error).__name__)
            job.future.set_exception(problems.broken("the file could not be worked on"))

    def _answered(self, number: int, task: Task) -> Answer:
        for _ in range(_TRIES):
            if not self._replaced(number):
                break
            started = time.monotonic()
            try:
                answer = self._hired[number].ask(task, self._limits.timeout_s)
            except WorkerSlowError:
                _log.warning("a file took longer than %g s", self._limits.timeout_s)
                raise problems.too_slow(self._limits.timeout_s) from None
            except WorkerGoneError:
                _log.warning("a worker ended while it worked on a file")
                continue
            self._seconds_per_file += 0.1 * (time.monotonic() - started - self._seconds_per_file)
            return answer
        if self._closing.is_set():
            raise problems.stopping()
        raise problems.broken("the worker ended while it worked on the file")

    def _replaced(self, number: int) -> bool:
        """Put a live worker where one has ended; whether there is one now."""
        if self._hired[number].alive:
            return True
        if self._closing.is_set():
            return False
        _log.warning("a worker has ended; another one starts")
        self._hired[number] = Hired(self._setup)
        try:
            self._hired[number].wait_ready()
        except WorkerGoneError as error:
            _log.error("no worker: %s", error)
            return False
        return True
