"""The worker processes of the server, each with a classifier."""

import contextlib
import logging
import os
import signal
import threading
import warnings
from base64 import b64encode
from dataclasses import asdict, dataclass
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import TypeAdapter

from brain_tumor.serving import schema
from brain_tumor.serving.schema import TAKEN, ApiError, SliceAnswer
from brain_tumor.serving.uploads import HeldBytes

if TYPE_CHECKING:
    from brain_tumor.inference.classifier import Classifier, SliceResult
    from brain_tumor.tracking.models import ModelFolder


@dataclass(frozen=True)
class Task:
    """A whole file to look at, so many slices of a volume at most, with pictures or without."""

    data: HeldBytes
    slices: int
    heatmap: bool


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
            slices, heatmap = connection.recv()
            answered = answer(classifier, connection.recv_bytes(), slices, heatmap=heatmap)
            if isinstance(answered, ApiError):
                connection.send(answered)
                continue
            connection.send(None)
            connection.send_bytes(answered)


def answer(
    classifier: "Classifier", data: bytes, slices: int, *, heatmap: bool
) -> bytes | ApiError:
    """What the model says of a file's slices, a JSON list of `SliceAnswer`; or why it cannot."""
    from brain_tumor.imaging.grey import DecodeError, UnknownKindError
    from brain_tumor.imaging.header import TooLargeError, check_header

    try:
        check_header(data, slices)
        results = classifier.examine(data, slices)
        return _ANSWERS.dump_json(
            [_described(result, heatmap=heatmap) for result in results], exclude_none=True
        )
    except TooLargeError as error:
        return ApiError(413, str(error))
    except UnknownKindError:
        return ApiError(415, f"not a kind of file that is taken; send {TAKEN}")
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


_ANSWERS = TypeAdapter(list[SliceAnswer])


def _described(result: "SliceResult", *, heatmap: bool) -> SliceAnswer:
    from brain_tumor.inference.heatmap import heatmap_png, picture_png, strongest

    described = asdict(result.prediction)
    if heatmap:
        described |= {
            "picture": _data_uri(picture_png(result)),
            "heatmap": _data_uri(heatmap_png(result)),
            "strongest_place": strongest(result),
        }
    return SliceAnswer.model_validate(described)


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
        """Start the process; it loads meanwhile.

        Raises:
            WorkerGoneError: it cannot be started (no file descriptors, memory or processes left).
        """
        context = get_context("spawn")  # of a process with threads, a fork could be stuck
        self.ready = False
        with contextlib.ExitStack() as opened:
            try:
                self._connection, theirs = context.Pipe()
                opened.callback(theirs.close)
                self._process = context.Process(
                    target=work, args=(theirs, model), name="brain-tumor"
                )
                self._process.start()
            except (OSError, MemoryError) as error:
                raise WorkerGoneError(f"a process cannot be started: {error}") from error

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

    def ask(self, task: Task, timeout_s: float) -> bytes | ApiError:
        """What the worker says to a task; see `answer`.

        Raises:
            WorkerSlowError: it took longer than `timeout_s` and was killed.
            WorkerGoneError: it ended.
        """
        slow = threading.Event()

        def end() -> None:
            slow.set()
            self._process.kill()

        limit = threading.Timer(timeout_s, end)
        limit.daemon = True
        limit.start()
        try:
            self._connection.send((task.slices, task.heatmap))
            self._connection.send_bytes(task.data.data)  # without a copy of it
            problem: ApiError | None = self._connection.recv()
            return problem or self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            self.stop()
            raise (WorkerSlowError if slow.is_set() else WorkerGoneError)("it ended") from error
        except BaseException:
            self.stop()  # its answer would be taken for that to the next task
            raise
        finally:
            limit.cancel()

    def stop(self) -> None:
        """Kill the process and wait until it is gone."""
        self.ready = False
        self._process.kill()
        self._process.join()
