"""The machine: processes, progress bars, the repository, cores, a quiet TensorFlow."""

import hashlib
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn
from rich.progress import Task as ProgressTask
from rich.progress_bar import ProgressBar
from rich.text import Text

from brain_tumor import cluster, processes
from brain_tumor.errors import UserError

_INSTALLATION = Path("/etc/machine-id")  # machine-id(5); a machine without one has only its name


def processors() -> int:
    """How many processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def host() -> str:
    """Name of what process ids are counted in: this machine, or this container of it.

    Containers may share a host's name and not see one another's processes (pid_namespaces(7));
    the machines of a team may share a name, and all call the first such namespace the same.
    """
    parts = [socket.gethostname()]
    with suppress(OSError):
        # Hashed, since machine-id(5) asks not to show it.
        parts.append(hashlib.sha256(_INSTALLATION.read_bytes()).hexdigest()[:12])
    with suppress(OSError):
        parts.append(str(Path("/proc/self/ns/pid").readlink()))
    return " ".join(parts)


def identify(pid: int) -> str | None:
    """An id that no later process shares; None when the process has ended.

    The pid and, on Linux, when it started (field 22 of /proc/PID/stat, see proc(5)).
    """
    stat = Path(f"/proc/{pid}/stat")
    if not stat.parent.parent.joinpath("self").exists():
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return None
        except PermissionError:
            pass
        return str(pid)
    try:
        fields = stat.read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else f"{pid}:{fields[19]}"


def is_alive(process: str) -> bool:
    """Whether the process that `identify` gave this id to still runs."""
    pid = process.partition(":")[0]
    return pid.isdigit() and identify(int(pid)) == process


Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items`, showing `description`, how many of `total` are done and the time left.

    Where standard error is no terminal, a line says so every half minute, and one at the end.
    """
    with _shown(_Step(description, total)) as step:
        for item in items:
            yield item
            step.done += 1
    if not _is_terminal():
        _say(f"{description}: {total} done")


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show what is going on during one long step, and for how long.

    Where standard error is no terminal, a line says so at the start and every half minute.
    """
    if not _is_terminal():
        _say(f"{description} ...")
    with _shown(_Step(description)):
        yield
    if _is_terminal():
        _say(f"{description}: done")


@contextmanager
def lasting(description: str) -> Iterator[None]:
    """As `working`, for what is mostly short: a log has nothing of it in the first ten seconds."""
    with _shown(_Step(description)):
        yield


@contextmanager
def counting(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that counts one of at most `total` steps and shows a line about it.

    Where standard error is no terminal every line is printed, and every half minute how long it
    has been going on.
    """
    with _shown(_Step(description, total, is_bound=True)) as step:

        def count(line: str) -> None:
            step.done += 1
            step.line = f": {line}"
            if not _is_terminal():
                _say(f"{description}: {line}")

        yield count


@dataclass
class _Step:
    """Work under way: how many of `total` are done, and what was last said of it."""

    description: str
    total: int | None = None
    is_bound: bool = False  # at most `total`, so that nobody knows the time left
    done: int = 0
    line: str = ""
    start_s: float = field(default_factory=time.monotonic)

    def told(self) -> str:
        """How far it is: `5,000 of 25,000, about 3 min left`, or `2 min so far`."""
        elapsed_s = time.monotonic() - self.start_s
        so_far = f"{_duration(elapsed_s)} so far"
        if self.total is None:
            return so_far
        of = "of at most" if self.is_bound else "of"
        count = f"{self.done:,} {of} {self.total:,}"
        if self.is_bound or not self.done or self.done == self.total:
            return f"{count}, {so_far}"
        left_s = elapsed_s / self.done * (self.total - self.done)
        return f"{count}, about {_duration(left_s)} left"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"


_FIRST_S, _EVERY_S = 10.0, 30.0  # of lines in a log


@contextmanager
def _shown(step: _Step) -> Iterator[_Step]:
    """Show a step as long as the block runs, also while one item of it takes long."""
    if _is_terminal():
        with _display(step):
            yield step
        return
    ended = threading.Event()
    ticker = threading.Thread(target=_tick, args=(step, ended), daemon=True)
    ticker.start()
    try:
        yield step
    finally:
        ended.set()


def _tick(step: _Step, ended: threading.Event) -> None:
    pause_s = _FIRST_S
    while not ended.wait(pause_s):
        _say(f"{step.description}: {step.told()}")
        pause_s = _EVERY_S


class _Line(ProgressColumn):
    def render(self, task: ProgressTask) -> Text:
        step: _Step = task.fields["step"]
        return Text(f"{step.description}{step.line}")


class _Bar(BarColumn):
    def render(self, task: ProgressTask) -> ProgressBar:
        step: _Step = task.fields["step"]
        return ProgressBar(step.total, step.done, width=40, pulse=step.total is None)


class _Told(ProgressColumn):
    def render(self, task: ProgressTask) -> Text:
        step: _Step = task.fields["step"]
        return Text(step.told())


_displays: list[Progress] = []  # at most one: steps within a step are lines of one display


@contextmanager
def _display(step: _Step) -> Iterator[None]:
    if _displays:
        task = _displays[0].add_task("", step=step)
        try:
            yield
        finally:
            _displays[0].remove_task(task)
        return
    # Rich would write to standard error what the command prints, even where that is a file.
    is_shared = sys.stdout.isatty()
    columns = _Line(), _Bar(), _Told()
    with Progress(*columns, console=_console(), redirect_stdout=is_shared) as display:
        _displays.append(display)
        display.add_task("", step=step)
        try:
            yield
        finally:
            _displays.pop()


def _is_terminal() -> bool:
    return _console().is_terminal


def _console() -> Console:
    return Console(stderr=True)


def _say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


class GitError(UserError):
    """git is missing or failed; holds the command and, on one line, what git said."""

    @property
    def is_no_repository(self) -> bool:
        """Whether git runs well, but not in a repository."""
        return "not a git repository" in str(self)


def git(*arguments: str, folder: Path = Path()) -> str:
    """Standard output of a git command in a folder.

    It takes no lock that it can do without, so it is never in the way of DVC's own git.

    Raises:
        GitError: git is missing, or it exits with another status than 0.
    """
    words = f"`git {' '.join(arguments)}`"
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "LC_ALL": "C"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            check=False,
            env=environment,
            encoding="utf-8",
            errors="backslashreplace",  # names of files are any bytes
        )
    except FileNotFoundError as error:
        raise GitError(f"{words}: git is not installed, or not on the PATH") from error
    except OSError as error:
        raise GitError(f"{words}: git does not run: {error.strerror}") from error
    if done.returncode:
        output = " ".join((done.stderr or done.stdout).split())
        raise GitError(f"{words} failed: {output or f'exit status {done.returncode}'}")
    return done.stdout


def repository_root(start: Path | None = None) -> Path:
    """The folder that holds `mlruns/` and `.cache/`.

    DVC sets `DVC_ROOT` for every stage; for experiments that run in a temporary copy
    (`dvc exp run --temp` or `--queue`) it names the original repository, so their runs land in
    the one store. Elsewhere it is the nearest folder above `start` (or the current folder) that
    holds `.dvc` or `.git`.
    """
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"]).resolve()
    start = (start or Path()).resolve()
    for marker in (".dvc", ".git"):
        for folder in (start, *start.parents):
            if (folder / marker).exists():
                return folder
    return start


Task = TypeVar("Task")
Result = TypeVar("Result")

WORKERS_VARIABLE = "BRAIN_TUMOR_WORKERS"
_MIN_PER_WORKER = 4  # starting a process costs about as much as this many images


def worker_count() -> int:
    """Processes to use: `BRAIN_TUMOR_WORKERS`, else the processors this process may use.

    Raises:
        UserError: the variable is not a positive whole number.
    """
    wanted = os.environ.get(WORKERS_VARIABLE, "")
    if not wanted:
        return processors()
    if not wanted.isdecimal() or int(wanted) < 1:
        raise UserError(f"{WORKERS_VARIABLE}={wanted}: a whole number from 1 is needed")
    return int(wanted)


def spread(
    function: Callable[[Any], Result],
    tasks: Sequence[Task],
    description: str,
    *,
    read: Callable[[Task], Any] | None = None,
    lost: Callable[[Task], Result] | None = None,
    apart: bool = False,
    needs: Sequence[str] = (),
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, showing how far it is.

    That is over processes of this machine, or on the cluster that `BRAIN_TUMOR_SCHEDULER` names.

    Only a few tasks are under way at a time, so memory does not grow with their number. Functions,
    tasks and results must be picklable, and a result independent of the process and of other
    tasks.

    Args:
        function: what is done, in any process.
        tasks: what it is done to.
        description: names the work in its progress.
        read: `function(read(task))` is yielded instead. It runs where the files are, `function`
            may run elsewhere.
        lost: gives the result of a task that ends whatever process works on it; without it that
            is an error.
        apart: do no task in this process, however few: one that crashes must not end it.
        needs: packages (`keras`, `tensorflow`) of which workers of a cluster must have the same
            version, beside `versions.PACKAGES`.

    Raises:
        UserError: a task ended the processes that worked on it, and there is no `lost`.
    """
    with closing(
        cluster.in_order(function, tasks, description, read, lost, needs)
        if cluster.is_used()
        else _here(
            function if read is None else _Chain(read, function), tasks, description, lost, apart
        )
    ) as results:
        yield from track(results, description, len(tasks))


def _here(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    description: str,
    lost: Callable[[Task], Result] | None,
    apart: bool,
) -> Generator[Result]:
    count = min(worker_count(), max(1, len(tasks) // _MIN_PER_WORKER))
    if count == 1 and not apart:
        return (work(task) for task in tasks)
    return processes.in_order(work, tasks, description, count, lost)


@dataclass(frozen=True)
class _Chain:
    read: Callable[[Any], Any]
    function: Callable[[Any], Any]

    def __call__(self, task: Any) -> Any:
        return self.function(self.read(task))


LEVEL_VARIABLE = "TF_CPP_MIN_LOG_LEVEL"
_ERRORS_ONLY = "2"
# Written by C++ straight to file descriptor 2, before any level that could be set is looked at.
_NOISE = r"absl::InitializeLog|oneDNN custom operations are on|cpu_feature_guard|To enable the foll"
_FILTER = """\
import re, sys
for line in sys.stdin.buffer:
    if not re.search(sys.argv[1].encode(), line):
        sys.stderr.buffer.write(line)
        sys.stderr.buffer.flush()
"""


def quiet_tensorflow() -> None:
    """Keep notices out of standard error when TensorFlow is imported, whoever imports it."""
    os.environ.setdefault(LEVEL_VARIABLE, _ERRORS_ONLY)
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


@contextmanager
def without_notices() -> Iterator[None]:
    """Leave the lines of `_NOISE` out of what the block writes to file descriptor 2.

    A process of its own passes the others on, so that even the last words of a crash are shown.
    """
    sys.stderr.flush()
    kept = os.dup(2)
    command = [sys.executable, "-I", "-S", "-c", _FILTER, _NOISE]
    # In a session of its own: Ctrl-C is not for it.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as process:
        assert process.stdin is not None
        os.dup2(process.stdin.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            process.stdin.close()


class _Finder(MetaPathFinder):
    """Finds `tensorflow`, as others do, and has it loaded without notices."""

    def find_spec(self, name: str, *_: object) -> ModuleSpec | None:
        if name != "tensorflow":
            return None
        sys.meta_path.remove(self)
        spec = find_spec(name)
        if spec is not None and spec.loader is not None:
            load = spec.loader.exec_module

            def load_quietly(module: ModuleType) -> None:
                with without_notices():
                    load(module)

            spec.loader.exec_module = load_quietly  # type: ignore[method-assign]
        return spec
