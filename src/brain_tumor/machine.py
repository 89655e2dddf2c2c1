"""The machine: processes, progress bars, the repository, cores, a quiet TensorFlow."""

import hashlib
import os
import pickle
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

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

    Where standard error is no terminal one line is printed at the end.
    """
    with _bar() as bar:
        yield from bar.track(items, total=total, description=description)
    if bar.disable:
        print(f"{description}: {total} done", file=sys.stderr, flush=True)


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show what is going on during one long step: beside a spinner, or as a line in a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{description} ...", file=sys.stderr, flush=True)
        yield
        return
    with console.status(description):
        yield
    console.print(f"{description}: done", highlight=False, markup=False)


@contextmanager
def counting(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that counts one of at most `total` steps and shows a line about it.

    Where standard error is no terminal every line is printed.
    """
    with _bar() as bar:
        task = bar.add_task(description, total=total)

        def step(line: str) -> None:
            if bar.disable:
                print(f"{description}: {line}", file=sys.stderr, flush=True)
            bar.update(task, advance=1, description=f"{description}: {line}")

        yield step


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )


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
    function: Callable[[Task], Result],
    tasks: Sequence[Task],
    description: str,
    *,
    apart: bool = False,
) -> Iterator[Result]:
    """Yield `function(task)` for each task, in order, with a progress bar.

    Function and tasks must be picklable, and a result independent of the process and of other
    tasks. With `apart` none runs in this process, however few: one that crashes must not end it.
    """
    count = min(worker_count(), max(1, len(tasks) // _MIN_PER_WORKER))
    if count == 1 and not apart:
        yield from track(map(function, tasks), description, len(tasks))
        return
    # The function goes to each process once: what it holds and keeps (a model) stays there. It
    # goes by a file: a process that dies at its start would leave the writer of a pipe stuck.
    with TemporaryDirectory() as folder, _pool(count, function, Path(folder)) as pool:
        try:
            yield from track(pool.map(_call, tasks), description, len(tasks))
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)
            raise


def _pool(count: int, function: Callable[[Any], Any], folder: Path) -> ProcessPoolExecutor:
    path = folder / "function.pickle"
    path.write_bytes(pickle.dumps(function))
    return ProcessPoolExecutor(
        count, get_context("spawn"), initializer=_install, initargs=(str(path),)
    )


_installed: Callable[[Any], Any]


def _install(path: str) -> None:
    global _installed
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the pool by its parent
    _installed = pickle.loads(Path(path).read_bytes())


def _call(task: Any) -> Any:
    return _installed(task)


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
