"""The worker processes of the server, each with a classifier."""

import contextlib
import logging
import math
import os
import queue
import signal
import threading
import time
import warnings
from base64 import b64encode
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.errors import UserError
from brain_tumor.serving import schema
from brain_tumor.serving.schema import TAKEN, ApiError, Limits

if TYPE_CHECKING:
    from brain_tumor.inference.classifier import Classifier, SliceResult
    from brain_tumor.tracking.models import ModelFolder

# How the kinds of pictures that are taken begin; DICOM and NIfTI are told by their readers.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Task:
    """A whole file to look at, so many slices of a volume at most, with pictures or without."""

    data: bytes
    slices: int
    heatmap: bool


Slices = list[dict[str, Any]]  # fields of `schema.SliceAnswer`, a dict a slice


def work(connection: Connection, model: "ModelFolder") -> None:
    """Answer tasks from a connection until its other end is closed.

    The first thing sent is None when the model is loaded, else why it cannot be.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # of the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from brain_tumor.inference.classifier import Classifier

    try:
        classifier = Classifier.load(model.bundle, "fast", model.name, threads=1)
    except (ValueError, OSError) as error:
        connection.send(str(error))
        return
    _silence()
    connection.send(None)
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            connection.send(answer(classifier, connection.recv()))


def answer(classifier: "Classifier", task: Task) -> Slices | ApiError:
    """What the model says of a file's slices, or why it cannot."""
    from brain_tumor.imaging.dicom import is_dicom
    from brain_tumor.imaging.grey import DecodeError
    from brain_tumor.imaging.nifti import is_nifti

    data = task.data
    if data and not (data.startswith(_PICTURES) or is_dicom(data) or is_nifti(data)):
        return ApiError(415, f"not a kind of file that is taken; send {TAKEN}")
    try:
        results = classifier.examine(data, task.slices)
        return [_described(result, heatmap=task.heatmap) for result in results]
    except (DecodeError, MemoryError) as error:
        return ApiError(422, str(error) or "too large inside to be read")
    except Exception as error:  # whatever a file brings about must not end the worker
        return schema.broken("the file could not be worked on", where(error))


def where(error: BaseException) -> str:
    """An error's kind and place, without its message, which may quote a patient's file."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


def _described(result: "SliceResult", *, heatmap: bool) -> dict[str, Any]:
    from brain_tumor.inference.heatmap import heatmap_png, picture_png, strongest

    described = asdict(result.prediction)
    if heatmap:
        described |= {
            "picture": _data_uri(picture_png(result)),
            "heatmap": _data_uri(heatmap_png(result)),
            "strongest_place": strongest(result),
        }
    return described


def _data_uri(png: bytes) -> str:
    return "data:image/png;base64," + b64encode(png).decode("ascii")


def _silence() -> None:
    """Libraries that read files may print what they find in them: let them not."""
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.dup2(nowhere, 2)


def _end_with_parent() -> None:
    parent = parent_process()
    if parent:
        wait([parent.sentinel])
        os._exit(1)


_START_S = 120.0  # to import and load, on a machine that is busy


class WorkerGoneError(Exception):
    """The worker ended, or could not start, before it answered."""


class WorkerSlowError(WorkerGoneError):
    """The worker took too long and was killed."""


class Worker:
    """A worker process that loads, then answers one task at a time.

    Not for several threads at once, except `alive`, `ready` and `stop`.
    """

    def __init__(self, model: "ModelFolder") -> None:
        """Start the process; it loads meanwhile."""
        context = get_context("spawn")  # of a process with threads, a fork could be stuck
        self._connection, theirs = context.Pipe()
        self._process = context.Process(target=work, args=(theirs, model), name="brain-tumor")
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
        failure: str | None = "it did not start in time"
        try:
            if self._connection.poll(_START_S):
                failure = self._connection.recv()
        except (EOFError, OSError):
            self._process.join(1)
            failure = f"a worker ended while it started (exit code {self._process.exitcode})"
        if failure is not None:
            self.stop()
            raise WorkerGoneError(failure)
        self.ready = True

    def ask(self, task: Task, timeout_s: float) -> Slices | ApiError:
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
            answer: Slices | ApiError = self._connection.recv()
        except (EOFError, OSError) as error:
            self.stop()
            raise (WorkerSlowError if self._slow else WorkerGoneError)("a worker ended") from error
        finally:
            limit.cancel()
        return answer

    def stop(self) -> None:
        """Kill the process and wait until it is gone."""
        self.ready = False
        self._process.kill()
        self._process.join()

    def _too_slow(self) -> None:
        self._slow = True
        self._process.kill()


_log = logging.getLogger("brain_tumor.serve")
_LOOK_S = 0.5  # how often an idle worker is looked after
_TRIES = 2  # a file whose worker died (killed from outside?) is tried once more


class WorkerPool:
    """Workers, the threads that look after one each, and the queue they share."""

    def __init__(self, model: "ModelFolder", workers: int, limits: Limits) -> None:
        """Start the workers and wait until they have loaded the model.

        Raises:
            UserError: they cannot load it; the message says why.
        """
        self._model, self._limits = model, limits
        self._waiting: queue.Queue[tuple[Task, Future[Slices]]] = queue.Queue()
        self._closing = threading.Event()
        self._give_up_at = math.inf
        self._seconds_per_file = 0.5
        self._workers = [Worker(model) for _ in range(workers)]
        try:
            for worker in self._workers:
                worker.wait_ready()
        except WorkerGoneError as error:
            for worker in self._workers:
                worker.stop()
            raise UserError(str(error)) from error
        self._threads = [
            threading.Thread(target=self._look_after, args=(number,)) for number in range(workers)
        ]
        for thread in self._threads:
            thread.start()

    @property
    def ready(self) -> int:
        """How many workers can take a file."""
        return sum(worker.ready and worker.alive for worker in self._workers)

    @property
    def waiting(self) -> int:
        """How many files wait for a worker."""
        return self._waiting.qsize()

    @property
    def stopping(self) -> bool:
        """Whether no new work is taken."""
        return self._give_up_at < math.inf

    def check_room(self, files: int = 1) -> None:
        """Raise an `ApiError` unless so many more files may wait."""
        if self.stopping:
            raise schema.stopping()
        if self.waiting + files > self._limits.queue:
            rounds = self.waiting / len(self._workers)
            raise schema.busy(max(1, math.ceil(rounds * self._seconds_per_file)))

    def submit(self, tasks: Sequence[Task]) -> list["Future[Slices]"]:
        """Queue files, all or none; each future brings an answer or raises an `ApiError`.

        Raises:
            ApiError: the queue is full, or the server stops.
        """
        self.check_room(len(tasks))
        futures: list[Future[Slices]] = [Future() for _ in tasks]
        for item in zip(tasks, futures, strict=True):
            self._waiting.put(item)
        return futures

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
        while not self._waiting.empty():
            self._waiting.get()[1].set_exception(schema.stopping())

    def _look_after(self, number: int) -> None:
        while not self._closing.is_set():
            try:
                task, future = self._waiting.get(timeout=_LOOK_S)
            except queue.Empty:
                self._replaced(number)
                continue
            if future.set_running_or_notify_cancel():
                self._answer(number, task, future)
        self._workers[number].stop()

    def _answer(self, number: int, task: Task, future: "Future[Slices]") -> None:
        try:
            answer = self._answered(number, task)
        except ApiError as problem:
            answer = problem
        except Exception as error:  # the thread must live on, and the client have an answer
            answer = schema.broken("the file could not be worked on", where(error))
        if not isinstance(answer, ApiError):
            future.set_result(answer)
            return
        if answer.place:
            _log.error("a file could not be worked on: %s", answer.place)
        future.set_exception(answer)

    def _answered(self, number: int, task: Task) -> Slices | ApiError:
        if time.monotonic() > self._give_up_at:
            raise schema.stopping()
        for _ in range(_TRIES):
            if not self._replaced(number):
                break
            started = time.monotonic()
            limit_s = self._limits.timeout_s
            try:
                answer = self._workers[number].ask(task, limit_s)
            except WorkerSlowError:
                _log.warning("a file took longer than %g s", limit_s)
                message = f"the file took longer than {limit_s:g} s and was given up"
                raise ApiError(504, message) from None
            except WorkerGoneError:
                _log.warning("a worker ended while it worked on a file")
                continue
            self._seconds_per_file += 0.1 * (time.monotonic() - started - self._seconds_per_file)
            return answer
        if self._closing.is_set():
            raise schema.stopping()
        raise schema.broken("the worker ended while it worked on the file")

    def _replaced(self, number: int) -> bool:
        """Put a live worker where one has ended; whether there is one now."""
        if self._workers[number].alive:
            return True
        if self._closing.is_set():
            return False
        _log.warning("a worker has ended; another one starts")
        self._workers[number] = Worker(self._model)
        try:
            self._workers[number].wait_ready()
        except WorkerGoneError as error:
            _log.error("no worker: %s", error)
            return False
        return True
