"""One worker process, seen from the server."""

import threading
from multiprocessing import get_context

from brain_tumor.inference.http.worker import Answer, Setup, Task, work

_START_S = 120.0  # to import and load, on a machine that is busy


class WorkerGoneError(Exception):
    """The worker ended, or could not start, before it answered."""


class WorkerSlowError(Exception):
    """The worker took too long and was killed."""


class Hired:
    """A worker process that loads, then answers one task at a time.

    Not for several threads at once, except `alive`, `ready` and `dismiss`.
    """

    def __init__(self, setup: Setup) -> None:
        """Start the process; it loads meanwhile."""
        context = get_context("spawn")  # of a process with threads, a fork could be stuck
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, setup), name="brain-tumor")
        self._slow = False
        self.ready = False
        self._process.start()
        theirs.close()

    @property
    def alive(self) -> bool:
        """Whether the process runs."""
        return self._process.is_alive()

    def wait_ready(self) -> None:
        """Wait until the model is loaded.

        Raises:
            WorkerGoneError: it cannot be; the message says why.
        """
        told: str | None = "it did not start in time"
        try:
            if self._connection.poll(_START_S):
                told = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            told = f"a worker ended while it started (exit code {self._process.exitcode})"
        if told is not None:
            self.dismiss()
            raise WorkerGoneError(told)
        self.ready = True

    def ask(self, task: Task, timeout_s: float) -> Answer:
        """What the worker says to a task.

        Raises:
            WorkerSlowError: it took longer than `timeout_s` and was killed.
            WorkerGoneError: it ended.
        """
        limit = threading.Timer(timeout_s, self._too_slow)
        limit.daemon = True
        limit.start()
        try:
            self._connection.send(task)
            answer: Answer = self._connection.recv()
        except (EOFError, OSError) as error:
            self.dismiss()
            raise (WorkerSlowError if self._slow else WorkerGoneError)("a worker ended") from error
        finally:
            limit.cancel()
        return answer

    def dismiss(self) -> None:
        """Kill the process and wait until it is gone."""
        self.ready = False
        self._process.kill()
        self._process.join()

    def _too_slow(self) -> None:
        self._slow = True
        self._process.kill()
