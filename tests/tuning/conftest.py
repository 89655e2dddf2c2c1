"""Databases of their own for searches, and processes that share one."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

from brain_tumor.settings import TuneParams
from tests.tuning import worker

Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def no_storage_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


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
        command = [
            sys.executable,
            "-W",
            "error",
            str(worker.__file__),
            url,
            params.model_dump_json(),
        ]
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
