"""The pool of workers: a line of waiting files, and a thread that looks after each worker."""

import contextlib
import logging
import math
import threading
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from brain_tumor.errors import UserError
from brain_tumor.serving import schema
from brain_tumor.serving.schema import ApiError, Limits
from brain_tumor.serving.uploads import HeldBytes, MemoryBudget
from brain_tumor.serving.workers import Task, Worker, WorkerGoneError, WorkerSlowError, where

if TYPE_CHECKING:
    from brain_tumor.tracking.models import ModelFolder

_TRIES = 2  # a file whose worker died (killed from outside?) is tried once more


@dataclass(eq=False)
class Job:
    """A file that somebody waits for.

    Attributes:
        task: what is asked.
        answers: against which the answer counts from when it arrives.
        future: brings the answer, or an `ApiError`; cancelled where nobody waits any more, which
            it may be at any time: it is never marked as running.
        tries: how many workers have died over it.
    """

    task: Task
    answers: MemoryBudget
    future: "Future[HeldBytes]" = field(default_factory=Future)
    tries: int = 0

    def settle(self, answer: bytes | ApiError) -> None:
        """Bring the answer, or that there is no room; nothing where nobody waits any more."""
        with contextlib.suppress(InvalidStateError):
            try:
                if isinstance(answer, bytes):
                    self.future.set_result(HeldBytes(self.answers, answer))
                else:
                    self.future.set_exception(answer)
            except ApiError as busy:
                self.future.set_exception(busy.with_traceback(None))  # which holds the answer


class WaitingLine:
    """Jobs that wait for a worker, first come, first served; a cancelled one leaves at once."""

    def __init__(self) -> None:
        """Nobody waits."""
        self._jobs: deque[Job] = deque()
        self._changed = threading.Condition()

    def __len__(self) -> int:
        """How many wait."""
        return len(self._jobs)

    def add(self, jobs: Sequence[Job]) -> None:
        """Let jobs wait behind the others."""
        with self._changed:
            self._jobs.extend(jobs)
            self._changed.notify(len(jobs))
        for job in jobs:
            job.future.add_done_callback(self._leave)

    def put_back(self, job: Job) -> None:
        """Let a job wait before the others, unless nobody waits for it any more."""
        with self._changed:
            if not job.future.cancelled():
                self._jobs.appendleft(job)
                self._changed.notify()

    def first(self, timeout_s: float) -> Job | None:
        """Take the first job, or None where none comes in time."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs, timeout_s)
            return self._jobs.popleft() if self._jobs else None

    def give_up(self, problem: ApiError) -> None:
        """Answer all that wait with a problem."""
        with self._changed:
            jobs = list(self._jobs)
            self._jobs.clear()
        for job in jobs:
            job.settle(problem)

    def _leave(self, future: "Future[HeldBytes]") -> None:
        with self._changed:
            for job in self._jobs:
                if job.future is future:
                    self._jobs.remove(job)
                    break


_log = logging.getLogger("brain_tumor.serve")
_LOOK_S = 0.5  # how often an idle worker is looked after
_LONGEST_PAUSE_S = 8.0  # between tries to start a worker


class WorkerPool:
    """Workers, the threads that look after one each, and the line they share."""

    def __init__(self, model: "ModelFolder", workers: int, limits: Limits) -> None:
        """Start the workers and wait until they have loaded the model.

        Raises:
            UserError: they cannot load it; the message says why.
        """
        self._model, self._limits = model, limits
        self._line, self._answers = WaitingLine(), MemoryBudget(limits.answer_bytes)
        self._closing = threading.Event()
        self._give_up_at = math.inf
        self._seconds_per_file = 0.5
        self._failures = [0] * workers  # tries to start this worker, since it last started
        self._workers: list[Worker] = []
        self._threads: list[threading.Thread] = []
        try:
            for _ in range(workers):
                self._workers.append(Worker(model))
            for worker in self._workers:
                worker.wait_ready()
            for number in range(workers):
                thread = threading.Thread(target=self._look_after, args=(number,))
                thread.start()
                self._threads.append(thread)
        except BaseException as error:  # or Ctrl-C
            self.close()
            if isinstance(error, WorkerGoneError):
                raise UserError(str(error)) from error
            raise

    @property
    def ready(self) -> int:
        """How many workers can take a file."""
        return sum(worker.ready and worker.alive for worker in self._workers)

    @property
    def waiting(self) -> int:
        """How many files wait for a worker."""
        return len(self._line)

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken."""
        return self._give_up_at < math.inf

    def check_room(self, files: int = 1) -> None:
        """Raise an `ApiError` unless so many more files may wait."""
        if self.stopping:
            raise schema.stopping()
        if all(self._failures):
            raise schema.not_ready()
        if self.waiting + files > self._limits.queue:
            rounds = self.waiting / len(self._workers)
            raise schema.busy(max(1, math.ceil(rounds * self._seconds_per_file)))

    def submit(self, tasks: Sequence[Task]) -> list["Future[HeldBytes]"]:
        """Let files wait, all or none; each future brings an answer or raises an `ApiError`.

        An answer is JSON, a list of `schema.SliceAnswer`. A future that is cancelled leaves the
        line.

        Raises:
            ApiError: too many wait, the server stops, or no worker can be started.
        """
        self.check_room(len(tasks))
        jobs = [Job(task, self._answers) for task in tasks]
        self._line.add(jobs)
        return [job.future for job in jobs]

    def wind_down(self) -> None:
        """Take no new work; files still waiting after the time limit of one are given up."""
        self._give_up_at = min(self._give_up_at, time.monotonic() + self._limits.timeout_s)

    def close(self) -> None:
        """End all workers at once; what is not answered is given up."""
        self._give_up_at = 0.0
        self._closing.set()
        for worker in self._workers:
            worker.stop()
        for thread in self._threads:
            thread.join()
        self._line.give_up(schema.stopping())

    def _look_after(self, number: int) -> None:
        """Keep a worker alive and give it work, whatever happens, until the pool is closed."""
        while not self._closing.is_set():
            try:
                self._take_turn(number)
            except Exception as error:  # a fault of ours must not end the thread
                _log.error("a worker could not be looked after: %s", where(error))
                self._closing.wait(_LOOK_S)
        self._workers[number].stop()

    def _take_turn(self, number: int) -> None:
        """Bring a dead worker back, or let a live one answer a file."""
        if not self._workers[number].alive and not self._replace(number):
            if all(self._failures):
                self._line.give_up(schema.not_ready())
            tries = min(self._failures[number], 10)
            self._closing.wait(min(_LOOK_S * 2 ** (tries - 1), _LONGEST_PAUSE_S))
            return
        job = self._line.first(_LOOK_S)
        if not job or job.future.cancelled():
            return
        if self._workers[number].alive:
            self._answer(number, job)
        else:  # it ended while it had nothing to do: not over this file
            self._line.put_back(job)

    def _answer(self, number: int, job: Job) -> None:
        try:
            answer = self._asked(self._workers[number], job)
            if answer is None and self._replace(number):  # others may have ended with it
                answer = self._asked(self._workers[number], job)
        except Exception as error:  # the client must have an answer
            answer = schema.broken("the file could not be worked on", where(error))
        if answer is None:
            self._line.put_back(job)
            return
        if isinstance(answer, ApiError) and answer.place:
            _log.error("a file could not be worked on: %s", answer.place)
        job.settle(answer)

    def _asked(self, worker: Worker, job: Job) -> bytes | ApiError | None:
        """The answer; None where another worker is to be asked."""
        if time.monotonic() > self._give_up_at:
            return schema.stopping()
        started, limit_s = time.monotonic(), self._limits.timeout_s
        try:
            answer = worker.ask(job.task, limit_s)
        except WorkerSlowError:
            _log.warning("a file took longer than %g s", limit_s)
            return ApiError(504, f"the file took longer than {limit_s:g} s and was given up")
        except WorkerGoneError:
            _log.warning("a worker ended while it worked on a file")
            job.tries += 1
            if job.tries < _TRIES:
                return None
            return schema.broken("the worker ended while it worked on the file")
        self._seconds_per_file += 0.1 * (time.monotonic() - started - self._seconds_per_file)
        return answer

    def _replace(self, number: int) -> bool:
        """Start a worker where one has ended; whether it could be started."""
        _log.warning("a worker has ended; another one starts")
        try:
            self._workers[number] = worker = Worker(self._model)
            if self._closing.is_set():  # nobody else stops this one
                worker.stop()
                return False
            worker.wait_ready()
        except WorkerGoneError as error:
            if not self._closing.is_set():
                _log.error("no worker: %s", error)
            self._failures[number] += 1
            return False
        self._failures[number] = 0
        return True
