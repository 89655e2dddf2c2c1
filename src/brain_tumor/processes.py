"""Work over processes of this machine: results in order, and a process that dies costs its task."""

import pickle
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from multiprocessing import get_context, parent_process
from os import PathLike, _exit, fspath
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any, Final

from brain_tumor.errors import UserError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

_AHEAD = 4  # tasks under way for each process: results wait for their turn meanwhile
_GRACE_S = 3.0  # after Ctrl-C, for what is under way


class DiedError(Exception):
    """The process that worked on a task ended before there was a result."""


def in_order(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    description: str,
    count: int,
    lost: Callable[[Any], Any] | None,
) -> Generator[Any]:
    """Yield `function(task)` for each task, in order, over `count` processes.

    A task whose process dies is run again while nothing else runs; if it ends that process too,
    its result is `lost(task)`. See `machine.spread`.
    """
    # Pickled once: what the function holds and keeps (a model) stays in each process.
    as_bytes = pickle.dumps(function)
    window: deque[Future[Any]] = deque()
    with _crew(as_bytes, count, window) as submit:
        for number, task in enumerate(tasks):
            for later in tasks[number + len(window) : number + count * _AHEAD]:
                window.append(submit(later))
            try:
                result = window.popleft().result()
            except DiedError:
                wait(window)
                (result,) = alone(as_bytes, [(task, task)], lost, description, number)
            yield result


def alone(
    function: bytes,
    suspects: Iterable[tuple[Any, Any]],
    lost: Callable[[Any], Any] | None,
    description: str,
    number: int,
) -> Iterator[Any]:
    """The results of tasks that ended a process, one after the other in a process of their own.

    Args:
        function: pickled.
        suspects: each task, and what of it the function takes.
        lost: gives the result of a task that ends this process, too.
        description: names the work in an error.
        number: of the first task.

    Raises:
        UserError: a task ends it, and there is no `lost`.
    """
    with _Process(function) as process:
        for place, (task, payload) in enumerate(suspects, number):
            try:
                result = process.call(payload)
            except DiedError as error:
                if lost is None:
                    raise UserError(
                        f"{description}: {_named(task, place)} ended the processes that worked on "
                        "it: not enough memory, or a fault in a library; leave it out, or give the "
                        "machine more memory"
                    ) from error
                result = lost(task)
            yield result


def _named(task: Any, number: int) -> str:
    parts = task if isinstance(task, tuple) else (task,)
    names = [fspath(part) for part in parts if isinstance(part, str | PathLike)]
    return f"task {number + 1} ({', '.join(map(str, names))})" if names else f"task {number + 1}"


@contextmanager
def _crew(
    function: bytes, count: int, window: deque[Future[Any]]
) -> Iterator[Callable[[Any], Future[Any]]]:
    """Give a function that hands a task to one of `count` processes; they end with the block."""
    idle: SimpleQueue[_Process] = SimpleQueue()
    crew = [_Process(function) for _ in range(count)]
    for process in crew:
        idle.put(process)

    def call(task: Any) -> Any:
        process = idle.get()
        try:
            return process.call(task)
        finally:
            idle.put(process)

    with ThreadPoolExecutor(count) as threads:  # one for each process, which it waits for
        try:
            yield lambda task: threads.submit(call, task)
        finally:
            for future in window:
                future.cancel()
            try:
                wait(window, _GRACE_S)
            finally:  # even where Ctrl-C is pressed again
                for process in crew:
                    process.end()


_CONTEXT: Final = get_context("spawn")


class _Process:
    """A process that calls a function; a new one takes its place when it dies."""

    def __init__(self, function: bytes) -> None:
        """Start nothing yet: the first call does."""
        self._function = function
        self._process: Any = None
        self._connection: Connection[Any, Any]
        self._ended = threading.Event()

    def __enter__(self) -> "_Process":
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    def call(self, task: Any) -> Any:
        """The function's result for a task.

        Raises:
            DiedError: the process ended; whatever else the function raises.
        """
        if self._process is None:
            self._start()
        # (outside of the block below: a task that cannot be pickled is a fault of its own)
        message = pickle.dumps(task)
        try:
            self._connection.send_bytes(message)
            is_result, value = self._connection.recv()
        except (EOFError, OSError) as error:
            self._forget()
            raise DiedError from error
        if not is_result:
            raise value
        return value

    def _start(self) -> None:
        if self._ended.is_set():
            raise DiedError
        ours, theirs = _CONTEXT.Pipe()
        process = _CONTEXT.Process(target=_serve, args=(theirs,), daemon=True)
        with _without_interrupts():
            process.start()
        theirs.close()
        try:
            ours.send_bytes(self._function)
            is_started, fault = ours.recv()
        except (EOFError, OSError) as error:
            process.join()
            raise RuntimeError(
                f"a worker process ended at its start (exit status {process.exitcode})"
            ) from error
        if not is_started:
            raise fault
        self._process, self._connection = process, ours
        if self._ended.is_set():
            self.end()

    def _forget(self) -> None:
        self._connection.close()
        self._process.join()
        self._process = None

    def end(self) -> None:
        """End the process, even in the middle of a task."""
        self._ended.set()
        if (process := self._process) is not None:
            process.kill()
            process.join()


@contextmanager
def _without_interrupts() -> Iterator[None]:
    """Have a process that starts meanwhile deaf to Ctrl-C, which ends it by its parent."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _serve(connection: "Connection[Any, Any]") -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        function = pickle.loads(connection.recv_bytes())
    except Exception as error:
        connection.send_bytes(_answer(False, _noted(error)))
        return
    connection.send_bytes(_answer(True, None))
    while True:
        try:
            message = connection.recv_bytes()
        except EOFError:
            return
        connection.send_bytes(outcome(function, message))


def outcome(function: Callable[[Any], Any], task: bytes) -> bytes:
    """Call a function where somebody else waits for what comes of it, in pickles.

    Returns:
        (True, result), or (False, error).
    """
    try:
        return _answer(True, function(pickle.loads(task)))
    except Exception as error:
        return _answer(False, _noted(error))


def _answer(is_result: bool, value: Any) -> bytes:
    try:
        pickled = pickle.dumps((is_result, value))
        if not is_result:
            pickle.loads(pickled)  # errors with a constructor of their own may fail only here
    except Exception as error:
        return pickle.dumps((False, RuntimeError(f"{error}; of {value!r:.500}")))
    return pickled


def _noted(error: Exception) -> Exception:
    """An error with the traceback that it has in this process, which no pickle holds."""
    error.add_note("in a worker:\n" + "".join(traceback.format_exception(error)))
    return error


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        parent.join()
        _exit(1)
