"""Searches that real processes share."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from brain_tumor.settings import TuneParams

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
