"""A real `brain-tumor serve` on loopback, and the processes it starts."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMAND = Path(sys.executable).with_name("brain-tumor")
_WAIT_S = 60.0
Part = tuple[str, tuple[str, bytes]]


@dataclass(frozen=True)
class Server:
    """A server that answers.

    Attributes:
        url: where.
        process: of it.
        log: its standard error.
    """

    url: str
    process: "subprocess.Popen[str]"
    log: Path

    def workers(self) -> set[int]:
        """Process ids of its workers."""
        return {pid for pid in _children(self.process.pid) if "spawn_main" in _command(pid)}

    def memory_mb(self) -> float:
        """Memory that it and its workers hold, resident."""
        return sum(_memory_mb(pid, "VmRSS") for pid in (self.process.pid, *self.workers()))

    def peak_mb(self) -> float:
        """The most that it held so far, without its workers."""
        return _memory_mb(self.process.pid, "VmHWM")


def files(*named: tuple[str, bytes]) -> list[Part]:
    """Files as httpx takes them."""
    return [("files", file) for file in named]


def serving(model: Path, folder: Path, *options: str) -> AbstractContextManager[Server]:
    """Serve a model until the end of the block."""
    return running([COMMAND, "serve", "--model", model, "--port", "0", *options], folder)


def limited(
    model: Path, folder: Path, *, host: str = "127.0.0.1", workers: int = 1, **limits: float
) -> AbstractContextManager[Server]:
    """The same with other `Limits` than the command has options for."""
    fields = [f"{name}={value}" for name, value in limits.items()]
    arguments = [str(model), host, str(workers), *fields]
    return running([sys.executable, "-m", "tests.serving.limited", *arguments], folder)


@contextmanager
def running(command: Sequence[str | Path], folder: Path) -> Iterator[Server]:
    """Run a server until the end of the block."""
    log = folder / "serve.log"
    with log.open("w", encoding="utf-8") as errors:
        process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
    assert process.stdout
    try:
        first = process.stdout.readline()
        assert first.startswith("http://"), log.read_text(encoding="utf-8")
        yield Server(first.split()[0], process, log)
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(_WAIT_S)
        process.stdout.close()


def wait_until(true: Callable[[], Any]) -> Any:
    """What is asked for, as soon as there is something."""
    until = time.monotonic() + _WAIT_S
    while time.monotonic() < until:
        if value := true():
            return value
        time.sleep(0.05)
    raise AssertionError("it never came to be")


def runs(pid: int) -> bool:
    """Whether a process is there, and more than a zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def _memory_mb(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    [size] = [line.split()[1] for line in lines if line.startswith(f"{name}:")]
    return int(size) / 1000


def _children(pid: int) -> list[int]:
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace")
    except OSError:
        return ""
