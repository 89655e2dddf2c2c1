"""The worker processes of the server, each with a classifier."""

import contextlib
import logging
import math
import os
import queue
import signal
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.errors import UserError
from brain_tumor.serving import schema
from brain_tumor.serving.schema import Limits

if TYPE_CHECKING:
    from brain_tumor.inference.classifier import Classifier, Finding

# How the kinds of pictures that are taken begin; DICOM and NIfTI are told by their readers.
_PICTURES = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


@dataclass(frozen=True)
class Setup:
    """What a worker loads: a bundle folder, and the model's name for its answers."""

    bundle: Path
    model: str


@dataclass(frozen=True)
class Task:
    """A file to look at.

    Attributes:
        data: the whole file.
        slices: how many of a volume, at most.
        heatmap: whether pictures are wanted.
    """

    data: bytes
    slices: int
    heatmap: bool


@dataclass(frozen=True)
class Fault:
    """Why there is no answer: `unsupported`, `undecodable` or `internal`, and a sentence."""

    kind: str
    message: str


Answer = list[dict[str, Any]] | Fault  # fields of `schema.SliceAnswer`, a dict a slice


def work(connection: Connection, setup: Setup) -> None:
    """Answer tasks from a connection until its other end is closed.

    The first thing sent is None when the model is loaded, else why it cannot be.
    """
    for number in (signal.SIGINT, signal.SIGTERM):  # of the whole group: the parent decides
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    from brain_tumor.inference.classifier import Classifier

    try:
        classifier = Classifier.load(setup.bundle, "fast", setup.model, threads=1)
    except (ValueError, OSError) as error:
        connection.send(str(error))
        return
    _silence()
    connection.send(None)
    with contextlib.suppress(EOFError, OSError):  # the parent is gone
        while True:
            connection.send(answer(classifier, connection.recv()))


def answer(classifier: "Classifier", task: Task) -> Answer:
    """What the model says of a file's slices, or why it cannot."""
    from brain_tumor.imaging.picture import DecodeError

    if task.data and not _taken(task.data):
        return Fault("unsupported", "")
    try:
        found = classifier.examine(task.data, task.slices)
        return [_described(one, heatmap=task.heatmap) for one in found]
    except (DecodeError, MemoryError) as error:
        return Fault("undecodable", str(error) or "too large inside to be read")
    except Exception as error:  # whatever a file brings about must not end the worker
        return Fault("internal", where(error))


def where(error: BaseException) -> str:
    """An error's kind and place, without its message, which may quote a patient's file."""
    trace = error.__traceback__
    while trace and trace.tb_next:
        trace = trace.tb_next
    place = f" at {Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}" if trace else ""
    return f"{type(error).__name__}{place}"


def _taken(data: bytes) -> bool:
    from brain_tumor.imaging.dicom import is_dicom
    from brain_tumor.imaging.nifti import is_nifti

    return data.startswith(_PICTURES) or is_dicom(data) or is_nifti(data)


def _described(finding: "Finding", *, heatmap: bool) -> dict[str, Any]:
    from dataclasses import asdict

    from brain_tumor.inference.heatmap import heatmap_png, picture_png, strongest

    described = asdict(finding.prediction)
    if heatmap:
        described |= {
            "picture": _data_uri(picture_png(finding)),
            "heatmap": _data_uri(heatmap_png(finding)),
            "strongest_place": strongest(finding),
        }
    return described


def _data_uri(png: bytes) -> str:
    import base64

    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _silence() -> None:
    """Libraries that read files may print what they find in them: let them not."""
    import logging
    import warnings

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
            UserError: they cannot load it; the message says why.
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
            raise UserError(str(error)) from error
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
            raise schema.stopping()
        if self.waiting + files > self._limits.queue:
            rounds = self.waiting / len(self._hired)
            raise schema.busy(max(1, math.ceil(rounds * self._seconds_per_file)))

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
            self._jobs.get().future.set_exception(schema.stopping())

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
                raise schema.stopping()
            job.future.set_result(self._answered(number, job.task))
        except schema.ApiError as problem:
            job.future.set_exception(problem)
        except Exception as error:  # the thread must live on, and the client have an answer
            _log.error("looking after a worker: %s", type(error).__name__)
            job.future.set_exception(schema.broken("the file could not be worked on"))

    def _answered(self, number: int, task: Task) -> Answer:
        for _ in range(_TRIES):
            if not self._replaced(number):
                break
            started = time.monotonic()
            try:
                answer = self._hired[number].ask(task, self._limits.timeout_s)
            except WorkerSlowError:
                _log.warning("a file took longer than %g s", self._limits.timeout_s)
                raise schema.too_slow(self._limits.timeout_s) from None
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
