"""A dask cluster of processes, each on a machine of its own as far as the network goes.

Where the tests may (root, and `ip`), a machine is a network namespace on a bridge of this one; else
all are this machine's loopback.
"""

import itertools
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from tests.postgres_server import free_port
from tests.team.page import own_environment
from tests.team.servers import end_group

ROOT = Path(__file__).parents[1]
DASK = (sys.executable, "-m", "dask")
_START_S = 60
_NUMBERS = itertools.count()


@dataclass(frozen=True)
class Machine:
    """Where a process runs.

    Attributes:
        address: at which the others reach it.
        prefix: words before a command that is to run there.
    """

    address: str
    prefix: tuple[str, ...] = ()


@contextmanager
def machines(count: int) -> Iterator[list[Machine]]:
    """Machines that reach one another and this one; they are gone afterwards."""
    number = (os.getpid() + 100 * next(_NUMBERS)) % 250
    bridge, net = f"btb{number}", f"198.18.{number}"  # of RFC 2544: for tests of networks
    with ExitStack() as stack:
        try:
            stack.callback(_try, "ip", "link", "del", bridge)
            _ip("link", "add", bridge, "type", "bridge")
            _ip("addr", "add", f"{net}.254/24", "dev", bridge)
            _ip("link", "set", bridge, "up")
            found = [
                stack.enter_context(_namespace(f"bt{number}-{place}", bridge, f"{net}.{place}"))
                for place in range(1, count + 1)
            ]
        except (OSError, subprocess.CalledProcessError):
            found = [Machine("127.0.0.1")] * count
        yield found


@contextmanager
def _namespace(name: str, bridge: str, address: str) -> Iterator[Machine]:
    outside, inside = f"{name}o", f"{name}i"
    try:
        _ip("netns", "add", name)
        _ip("link", "add", outside, "type", "veth", "peer", "name", inside)
        _ip("link", "set", outside, "master", bridge, "up")
        _ip("link", "set", inside, "netns", name)
        within = ("ip", "netns", "exec", name)
        _run(*within, "ip", "addr", "add", f"{address}/24", "dev", inside)
        _run(*within, "ip", "link", "set", inside, "up")
        _run(*within, "ip", "link", "set", "lo", "up")
        yield Machine(address, within)
    finally:
        _try("ip", "link", "del", outside)
        _try("ip", "netns", "del", name)


def _ip(*words: str) -> None:
    _run("ip", *words)


def _run(*words: str) -> None:
    subprocess.run(words, check=True, capture_output=True)


def _try(*words: str) -> None:
    with suppress(OSError):
        subprocess.run(words, check=False, capture_output=True)


@dataclass
class Cluster:
    """A scheduler, and machines on which workers can be started.

    Attributes:
        address: of the scheduler, for `BRAIN_TUMOR_SCHEDULER`.
        places: machines for workers.
        folder: of logs.
        environment: of all processes.
        scheduler: its process.
        logs: of the workers, in the order of their start.
    """

    address: str
    places: Sequence[Machine]
    folder: Path
    environment: Mapping[str, str]
    scheduler: "subprocess.Popen[bytes]"
    logs: list[Path] = field(default_factory=list)

    @contextmanager
    def worker(
        self, place: int, *options: str, **environment: str
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """A worker on a machine, registered with the scheduler."""
        machine = self.places[place]
        command = [
            *machine.prefix, *DASK, "worker", self.address, "--nthreads", "1", "--no-dashboard",
            "--host", machine.address, "--local-directory", str(self.folder), *options,
        ]  # fmt: skip
        log = self.folder / f"worker{len(self.logs)}.log"
        self.logs.append(log)
        with started(command, {**self.environment, **environment}, log) as process:
            wait_for(lambda: "Registered to:" in log.read_text(), process, log)
            yield process

    def log(self, number: int = -1) -> str:
        """What a worker has written, the last one if no number is given."""
        return self.logs[number].read_text()

    def client(self, **environment: str) -> dict[str, str]:
        """The environment of a command that uses this cluster."""
        return {**self.environment, "BRAIN_TUMOR_SCHEDULER": self.address, **environment}


@contextmanager
def dask_cluster(folder: Path, count: int = 2, **environment: str) -> Iterator[Cluster]:
    """A scheduler on one machine, and `count` machines for workers."""
    with machines(count + 1) as places:
        home, *others = places
        port = free_port()
        command = [
            *home.prefix, *DASK, "scheduler", "--host", home.address, "--port", str(port),
            "--no-dashboard",
        ]  # fmt: skip
        everywhere = {**project_environment(), **environment}
        log = folder / "scheduler.log"
        with started(command, everywhere, log) as process:
            wait_for(lambda: "Scheduler at:" in log.read_text(), process, log)
            yield Cluster(f"tcp://{home.address}:{port}", others, folder, everywhere, process)


def project_environment() -> dict[str, str]:
    """That of whoever works in this checkout."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    python = os.pathsep.join(
        [str(ROOT / "src"), str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    return own_environment() | {"PATH": path, "PYTHONPATH": python, "TF_CPP_MIN_LOG_LEVEL": "3"}


@contextmanager
def started(
    command: Sequence[str], environment: Mapping[str, str], log: Path
) -> Iterator["subprocess.Popen[bytes]"]:
    """A process and whatever it starts, for the length of a `with` block."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, env=dict(environment), cwd=log.parent, stdin=subprocess.DEVNULL,
            stdout=output, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        yield process
    finally:
        end_group(process)


def wait_for(is_there: Callable[[], bool], process: "subprocess.Popen[bytes]", log: Path) -> None:
    """Wait until something has happened, as long as a process lives."""
    deadline = time.monotonic() + _START_S
    while not is_there():
        assert process.poll() is None, f"ended at once:\n{log.read_text()}"
        assert time.monotonic() < deadline, f"nothing after {_START_S} s:\n{log.read_text()}"
        time.sleep(0.05)


def altered_package(folder: Path) -> str:
    """A PYTHONPATH on which the package is another version: a line more in one file."""
    copy = shutil.copytree(
        ROOT / "src/brain_tumor", folder / "brain_tumor",
        ignore=shutil.ignore_patterns("__pycache__"),
    )  # fmt: skip
    with (copy / "imaging/preprocess.py").open("a", encoding="utf-8") as file:
        file.write("\n# another version\n")
    return os.pathsep.join([str(folder), project_environment()["PYTHONPATH"]])
