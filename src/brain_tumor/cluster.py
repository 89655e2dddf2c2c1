"""Work over the machines of a dask.distributed cluster, for whoever sets `BRAIN_TUMOR_SCHEDULER`.

No folder is shared: what a task reads is read here and goes out as bytes, results come back. The
function, with what it holds, goes to each worker once. Only workers of the same versions are used.
"""

import asyncio
import atexit
import logging
import os
import pickle
import sys
import threading
import time
import warnings
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Final
from uuid import uuid4

from brain_tumor import processes, versions
from brain_tumor.errors import UserError

SCHEDULER_VARIABLE: Final = "BRAIN_TUMOR_SCHEDULER"
_CONNECT_S = 8
_NO_WORKER_S = 8.0  # at the start
_LOST_S = 60.0  # after all workers have gone: their nannies may start them again
_LOOK_S = 2.0  # between looks at who has come and gone
_TRIES = 2  # of a chunk whose workers all die, before it is done here
_AHEAD = 3  # chunks under way for each thread of a worker
_CHUNK_S = 0.3  # of work in a chunk, so that the way there and back hardly counts
_CHUNK_TASKS = 64
_CHUNK_BYTES = 8 << 20
_FLIGHT_BYTES = 256 << 20


def is_used() -> bool:
    """Whether `machine.spread` works on a cluster."""
    return bool(os.environ.get(SCHEDULER_VARIABLE))


def in_order(
    function: Callable[[Any], Any],
    tasks: Sequence[Any],
    description: str,
    read: Callable[[Any], Any] | None,
    lost: Callable[[Any], Any] | None,
    needs: Sequence[str] = (),
) -> Generator[Any]:
    """Yield `function(read(task))` for each task, in order: `read` here, `function` there.

    A task whose worker dies runs again on another. One that several workers died of is done in a
    process of this machine, and is `lost` if it ends that too. See `machine.spread`.

    Raises:
        UserError: the cluster cannot be used, or a task is lost and there is no `lost`.
    """
    crew = _Crew.at(os.environ[SCHEDULER_VARIABLE], function, needs)
    crew.require_workers()
    job = _Job(crew, read or _itself)
    window: deque[_Chunk] = deque()
    place = 0
    try:
        while place < len(tasks) or window:
            while place < len(tasks) and job.has_room(window):
                window.append(job.send(tasks, place))
                place += len(window[-1].tasks)
            job.look_now_and_then()
            results = job.results(window[0], lost, description)
            window.popleft()
            yield from results
    finally:
        job.stop(window)


def _itself(task: Any) -> Any:
    return task


def _home(function: Any) -> str:
    """The package whose code a function is."""
    while isinstance(function, partial):
        function = function.func
    module: str = getattr(function, "__module__", None) or type(function).__module__
    return module.partition(".")[0]


@dataclass
class _Chunk:
    """Neighbouring tasks that go to a worker together."""

    number: int  # of the first
    tasks: Sequence[Any]
    payloads: list[bytes]
    future: Any = None
    answer: "Future[tuple[float, list[bytes]]] | None" = None  # of `_work`, as it comes here
    workers: frozenset[str] = frozenset()  # that may do it
    tries: int = 0

    @property
    def size(self) -> int:
        return sum(map(len, self.payloads))


@dataclass
class _Job:
    """One `spread`: who works, what is read here, and how large chunks should be."""

    crew: "_Crew"
    read: Callable[[Any], Any]
    chunk_tasks: int = 1
    result_bytes: float = 0.0  # of a task, as the last ones were

    def has_room(self, window: Sequence[_Chunk]) -> bool:
        if not window:
            return True
        tasks = sum(len(chunk.tasks) for chunk in window)
        flying = max(sum(chunk.size for chunk in window), tasks * self.result_bytes)
        return len(window) < _AHEAD * self.crew.threads() and flying < _FLIGHT_BYTES

    def send(self, tasks: Sequence[Any], place: int) -> _Chunk:
        """Read the next tasks and send them out."""
        fair = -(-(len(tasks) - place) // (2 * self.crew.threads()))  # all have some at the end
        payloads: list[bytes] = []
        for task in tasks[place : place + max(1, min(self.chunk_tasks, fair))]:
            payloads.append(pickle.dumps(self.read(task)))
            if sum(map(len, payloads)) >= _CHUNK_BYTES:
                break
        chunk = _Chunk(place, tasks[place : place + len(payloads)], payloads)
        self._submit(chunk)
        return chunk

    def _submit(self, chunk: _Chunk) -> None:
        chunk.tries += 1
        chunk.workers = frozenset(self.crew.workers)
        with _reporting(self.crew.address):
            chunk.future = self.crew.client.submit(
                _work,
                self.crew.key,
                chunk.payloads,
                key=f"brain-tumor-{self.crew.key}-{chunk.number}-{chunk.tries}",
                workers=sorted(chunk.workers),
                pure=False,
            )
        chunk.answer = asyncio.run_coroutine_threadsafe(
            _fetched(self.crew, chunk.future), self.crew.client.loop.asyncio_loop
        )

    def results(
        self, chunk: _Chunk, lost: Callable[[Any], Any] | None, description: str
    ) -> Iterator[Any]:
        """Wait for a chunk, wherever it has to be done."""
        from distributed.scheduler import KilledWorker

        while True:
            assert chunk.answer is not None
            try:
                seconds, outcomes = chunk.answer.result(timeout=_LOOK_S)
            except TimeoutError:
                self._look()
                if chunk.workers & self.crew.workers.keys():
                    continue
            except (CancelledError, _WithoutFunctionError):  # or another worker of that address
                self.crew.forget(chunk.workers)
            except KilledWorker:
                chunk.tries = _TRIES
            else:
                chunk.future = chunk.answer = None  # the worker may forget it
                return self._opened(seconds, outcomes)
            if chunk.tries >= _TRIES:
                pairs = zip(chunk.tasks, map(pickle.loads, chunk.payloads), strict=True)
                return processes.alone(self.crew.function, pairs, lost, description, chunk.number)
            self.crew.wait_for_workers(_LOST_S)
            self._submit(chunk)

    def look_now_and_then(self) -> None:
        """Take on who has come."""
        if time.monotonic() - self.crew.looked_s > _LOOK_S:
            self._look()

    def _look(self) -> None:
        before = self.crew.refused
        self.crew.look()
        for name in self.crew.refused.keys() - before.keys():
            print(f"note: not used: {self.crew.refused[name]}", file=sys.stderr, flush=True)

    def _opened(self, seconds: float, outcomes: Sequence[bytes]) -> Iterator[Any]:
        count = len(outcomes)
        by_time = _CHUNK_S / max(seconds / count, 1e-6)
        self.result_bytes = sum(map(len, outcomes)) / count
        by_size = _CHUNK_BYTES / max(self.result_bytes, 1)
        self.chunk_tasks = max(1, min(_CHUNK_TASKS, int(by_time), int(by_size)))
        for outcome in outcomes:
            is_result, value = pickle.loads(outcome)
            if not is_result:
                raise value
            yield value

    def stop(self, window: Sequence[_Chunk]) -> None:
        """Call back what is not done; what a worker has begun it ends."""
        for chunk in window:
            if chunk.answer is not None:
                chunk.answer.cancel()
        futures = [chunk.future for chunk in window if chunk.future is not None]
        if self.crew.client.status != "running":
            return
        if futures:
            self.crew.client.cancel(futures, force=True)
        self.crew.dismiss()


async def _fetched(crew: "_Crew", future: Any) -> tuple[float, list[bytes]]:
    with _reporting(crew.address):
        answer: tuple[float, list[bytes]] = await crew.client.gather(future, asynchronous=True)
    return answer


_functions: dict[str, Callable[[Any], Any]] = {}  # on a worker: of the jobs under way
_one_at_a_time = threading.Lock()  # functions are for one thread; a worker may have several
_JOBS = 8  # at once; commands that were killed leave theirs


class _WithoutFunctionError(Exception):
    """A worker has not got the function of this job."""


def _install(key: str, pickled: bytes) -> None:
    """Give a worker the function of a job."""
    try:
        function = pickle.loads(pickled)
    except ModuleNotFoundError as error:
        raise UserError(
            f"a worker cannot import {error.name}: start it in the folder of the project"
        ) from error
    for old in list(_functions)[: 1 - _JOBS]:
        del _functions[old]
    _functions[key] = function


def _remove(key: str) -> None:
    _functions.pop(key, None)


def _work(key: str, payloads: Sequence[bytes]) -> tuple[float, list[bytes]]:
    """What a worker does: bytes in, and bytes out, so that each fault is that of a task.

    Returns:
        The seconds it took, and what came of each task (see `processes.outcome`).
    """
    function = _functions.get(key)
    if function is None:
        raise _WithoutFunctionError
    with _one_at_a_time:
        start_s = time.perf_counter()
        outcomes = [processes.outcome(function, payload) for payload in payloads]
        return time.perf_counter() - start_s, outcomes


@dataclass
class _Crew:
    """The workers of a scheduler that may do a job, and how to reach them.

    Attributes:
        address: of the scheduler.
        client: of it.
        function: pickled; each of the workers gets it once.
        code: packages that have to be the same there, file by file.
        needs: packages of which the version has to be the same, beside `versions.PACKAGES`.
        key: of the job.
        workers: address to threads, of those whose versions are the same as here.
        refused: address to what is not the same, of the others.
        looked_s: when it was last seen who is there.
    """

    address: str
    client: Any
    function: bytes
    code: frozenset[str]
    needs: Sequence[str]
    key: str
    workers: dict[str, int] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    looked_s: float = 0.0

    @classmethod
    def at(cls, address: str, function: Callable[[Any], Any], needs: Sequence[str]) -> "_Crew":
        """Nobody yet."""
        code = frozenset({__name__.partition(".")[0], _home(function)})
        return cls(address, _connect(address), pickle.dumps(function), code, needs, key=uuid4().hex)

    def threads(self) -> int:
        return max(1, sum(self.workers.values()))

    def require_workers(self) -> None:
        """See who is there.

        Raises:
            UserError: nobody, or somebody with other versions.
        """
        with _reporting(self.address):
            scheduler = self.client.get_versions(packages=versions.asked(self.needs))["scheduler"]
            differences = versions.differences(scheduler, self.needs)
            if not differences:
                digest = self.client.run_on_scheduler(versions.digest, self.code)
                differences = versions.code_differences(digest, self.code)
        if differences:
            raise UserError(_refusal(f"the scheduler {self.address}", differences))
        self.wait_for_workers(_NO_WORKER_S)
        if self.refused:
            raise UserError("; ".join(self.refused.values()))

    def wait_for_workers(self, patience_s: float) -> None:
        """Look until there is somebody.

        Raises:
            UserError: there is nobody, or only somebody with other versions.
        """
        deadline = time.monotonic() + patience_s
        while not self.look():
            if self.refused:
                raise UserError("; ".join(self.refused.values()))
            if time.monotonic() > deadline:
                raise UserError(
                    f"{self.address} ({SCHEDULER_VARIABLE}): no worker there for "
                    f"{patience_s:.0f} s: start one, `python -m dask worker "
                    f"{self.address} --nworkers auto --nthreads 1`"
                )
            time.sleep(0.2)

    def look(self) -> bool:
        """See who has come and gone; whether anybody is left who may be used."""
        self.looked_s = time.monotonic()
        with _reporting(self.address):
            present = self.client.scheduler_info(n_workers=-1)["workers"]
            known = {address: facts["nthreads"] for address, facts in present.items()}
            self.workers = {name: known[name] for name in self.workers if name in known}
            self.refused = {name: self.refused[name] for name in self.refused if name in known}
            new = sorted(known.keys() - self.workers.keys() - self.refused.keys())
            compared = self._compared(new)
            same = [name for name, differences in compared.items() if not differences]
            self.workers |= {name: known[name] for name in self._installed(same)}
        self.refused |= {
            name: _refusal(f"the worker {name}", differences)
            for name, differences in compared.items()
            if differences
        }
        return bool(self.workers)

    def forget(self, names: Iterable[str]) -> None:
        """Look at workers again."""
        self.workers = {name: self.workers[name] for name in self.workers.keys() - set(names)}

    def dismiss(self) -> None:
        """Have the workers forget the function."""
        with suppress(OSError):
            self._run(_remove, self.key, workers=sorted(self.workers))

    def _compared(self, names: Sequence[str]) -> dict[str, list[str]]:
        """What is not the same at workers as here; without those that do not answer."""
        if not names:
            return {}
        answers = self.client.get_versions(packages=versions.asked(self.needs))["workers"]
        compared = {
            name: versions.differences(answers[name], self.needs)
            for name in names
            if name in answers
        }
        same = [name for name, differences in compared.items() if not differences]
        # (code runs there only now that its Python is the same)
        for name, digest in self._run(versions.digest, self.code, workers=same).items():
            compared[name] = versions.code_differences(digest, self.code)
        return compared

    def _installed(self, names: Sequence[str]) -> list[str]:
        answers = self._run(_install, self.key, self.function, workers=names)
        for answer in answers.values():
            if isinstance(answer, Exception) and not isinstance(answer, OSError):  # it has gone
                raise answer
        return [name for name, answer in answers.items() if answer is None]

    def _run(
        self, function: Callable[..., Any], *arguments: Any, workers: Sequence[str]
    ) -> dict[str, Any]:
        """What a function gives at each worker, or the error."""
        if not workers:
            return {}
        answers: dict[str, Any] = self.client.run(
            function, *arguments, workers=list(workers), on_error="return"
        )
        return answers


def _refusal(who: str, differences: Sequence[str]) -> str:
    return f"{who} has {', '.join(differences)}: install the same on all machines"


@contextmanager
def _reporting(address: str) -> Iterator[None]:
    """Explain what goes wrong between here and the scheduler."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{address} ({SCHEDULER_VARIABLE}): the scheduler does not answer any more: "
            f"{' '.join(str(error).split())}; start it, then run the same command again"
        ) from error


def _is_told(record: logging.LogRecord) -> bool:
    """Not what distributed 2026.8 leaves behind of a task that failed (its `AllExit`)."""
    kind = record.exc_info[0] if record.exc_info else None
    return kind is None or kind.__name__ != "AllExit"


@cache
def _connect(address: str) -> Any:
    """A client of the scheduler, for as long as this process lives."""
    if not address.startswith(("tcp://", "tls://")):
        raise UserError(
            f"{SCHEDULER_VARIABLE}={address}: tcp://HOST:8786 or tls://HOST:8786 is needed"
        )
    import cloudpickle
    import dask
    from distributed import Client, Security
    from distributed.versions import VersionMismatchWarning

    for name in list(logging.root.manager.loggerDict):  # errors are told in a line
        if name.partition(".")[0] == "distributed":
            logging.getLogger(name).setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_is_told)
    warnings.filterwarnings("ignore", category=VersionMismatchWarning)  # so are versions
    # What compares code goes out whole: it must not be that of the machine it looks at.
    cloudpickle.register_pickle_by_value(versions)
    dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TiB"})  # pictures
    try:
        security = Security()
        context = security.get_connection_args("client")["ssl_context"]
        if address.startswith("tls://") and context is None:
            raise UserError(
                f"{address} ({SCHEDULER_VARIABLE}): TLS needs certificates: set "
                "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__CLIENT__KEY"
            )
        client = Client(address, timeout=_CONNECT_S, set_as_default=False, security=security)
    except OSError as error:
        raise UserError(
            f"{address} ({SCHEDULER_VARIABLE}): the scheduler cannot be reached: "
            f"{' '.join(str(error).split())}"
        ) from error
    atexit.register(client.close)
    return client
