"""The stores of a team on 127.0.0.1: PostgreSQL, an S3 endpoint and an MLflow server."""

import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from tests.postgres_server import free_port, programs
from tests.team.page import Page, own_environment, run_block

BUCKET = "brain-tumor"
_START_S = 120


@dataclass(frozen=True)
class Stores:
    """Where a team's stores are, and the page filled in with that.

    Attributes:
        page: docs/team.md.
        s3: URL of the S3 endpoint.
        mlflow: URL of the MLflow server.
        access: environment variables that open the bucket.
    """

    page: Page
    s3: str
    mlflow: str
    access: Mapping[str, str]


@contextmanager
def team_stores(postgres: str, folder: Path) -> Iterator[Stores]:
    """Start all that docs/team.md asks for, by its commands.

    Args:
        postgres: URL of a PostgreSQL with its password.
        folder: for logs and for the home of whoever runs the servers.
    """
    page, ports = _filled_page(postgres)
    base = own_environment() | {
        "HOME": str(folder),
        "PATH": os.pathsep.join(
            [str(Path(sys.executable).parent), str(programs()), os.environ["PATH"]]
        ),
    }
    s3 = f"http://127.0.0.1:{ports['s3']}"
    mlflow = f"http://127.0.0.1:{ports['mlflow']}"
    moto = ["moto_server", "--host", "127.0.0.1", "--port", str(ports["s3"])]
    with served(moto, base, folder / "s3.log", f"{s3}/moto-api/"):
        access = page.exported("bucket-access", base)
        run_block(page.block("bucket"), access, folder)
        secret = {"PGPASSWORD": urlsplit(postgres).password or ""}
        run_block(page.block("databases"), base | secret, folder)
        server = ["bash", "-euc", page.block("server")]
        with served(server, access, folder / "mlflow.log", f"{mlflow}/health"):
            yield Stores(page, s3, mlflow, access)


def _filled_page(postgres: str) -> tuple[Page, dict[str, int]]:
    database = urlsplit(postgres)
    ports = {"s3": free_port(), "mlflow": free_port()}
    values = {
        "DBHOST -p 5432": f"{database.hostname} -p {database.port}",
        "DBHOST:5432": f"{database.hostname}:{database.port}",
        "USER:PASSWORD": f"{database.username}:{database.password}",
        "S3HOST:9000": f"127.0.0.1:{ports['s3']}",
        "HOST:5000": f"127.0.0.1:{ports['mlflow']}",
        "localhost:5000": f"localhost:{ports['mlflow']}",
        "--host 0.0.0.0 --port 5000": f"--host 127.0.0.1 --port {ports['mlflow']}",
        "BUCKET": BUCKET,
        "=KEY": "=tester",
        "=SECRET": "=s3-hush",
    }
    return Page(values), ports


@contextmanager
def served(
    command: list[str], environment: Mapping[str, str], log: Path, url: str
) -> Iterator["subprocess.Popen[bytes]"]:
    """A server for the length of a `with` block, with all its children.

    Args:
        command: what starts it.
        environment: all its environment variables.
        log: where its output goes.
        url: answers as soon as it is ready.
    """
    with log.open("wb") as output:
        server = subprocess.Popen(
            command,
            env=dict(environment),
            cwd=log.parent,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        _wait_for(lambda: server.poll() is None, url, log)
        yield server
    finally:
        end_group(server)


def end_group(server: "subprocess.Popen[bytes]") -> None:
    """End a process and whatever it has started, by force after a while."""
    for number, patience_s in ((signal.SIGTERM, 15), (signal.SIGKILL, 15)):
        try:
            os.killpg(server.pid, number)
        except ProcessLookupError:
            break
        deadline = time.monotonic() + patience_s
        while _group_lives(server) and time.monotonic() < deadline:
            time.sleep(0.05)
    server.wait(15)


def _group_lives(server: "subprocess.Popen[bytes]") -> bool:
    server.poll()  # otherwise its own corpse would count
    try:
        os.killpg(server.pid, 0)
    except ProcessLookupError:
        return False
    return True


def _wait_for(is_alive: Callable[[], bool], url: str, log: Path) -> None:
    deadline = time.monotonic() + _START_S
    while time.monotonic() < deadline:
        assert is_alive(), f"ended at once:\n{log.read_text()}"
        try:
            urllib.request.urlopen(url, timeout=5).close()
        except urllib.error.HTTPError:
            return
        except OSError:
            time.sleep(0.2)
        else:
            return
    raise TimeoutError(f"{url} does not answer:\n{log.read_text()}")
