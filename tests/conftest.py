"""What all tests share: no store but a temporary one, small random weights, a real PostgreSQL."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

from tests.postgres_server import postgres_server
from tests.small_project import Project, trained_once
from tests.warm_python import warm_python

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("MPLBACKEND", "Agg")
# A busy machine is no fault: no example of a property has to be done within a time.
hypothesis.settings.register_profile("untimed", hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """In CI nothing may be skipped: what a test needs, CI installs."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if os.environ.get("CI") and reporter and reporter.stats.get("skipped"):
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that take minutes begin first, fast ones last: all workers are busy to the end.

    The first file of all makes the trained project; the others that need it come after files that
    do not, or their workers would wait for it.
    """
    ranks: dict[Path, tuple[bool, bool, bool]] = {}
    for item in items:
        rank = (
            item.get_closest_marker("first") is None,
            item.get_closest_marker("slow") is None,
            "trained" in getattr(item, "fixturenames", ()),
        )
        ranks[item.path] = min(rank, ranks.get(item.path, (True, True, True)))
    makers = [
        path for path, (late, _, needs_trained) in ranks.items() if needs_trained and not late
    ]
    items.sort(key=lambda item: (item.path not in makers[:1], ranks[item.path]))


@pytest.fixture(autouse=True)
def no_store_of_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test reads or writes the project's MLflow store or follows its environment."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.setenv("DVC_ROOT", str(tmp_path))


@pytest.fixture(scope="session")
def random_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights file of a randomly initialised InceptionV3 (seed 0)."""
    from brain_tumor.model.backbone import prepare
    from brain_tumor.settings import BackboneParams

    path = tmp_path_factory.mktemp("weights") / "backbone.weights.h5"
    prepare(path, BackboneParams(source="random", seed=0), lambda uri: Path(uri))
    return path


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """URL of a PostgreSQL server that lives as long as the tests."""
    with postgres_server() as url:
        yield url


@pytest.fixture(scope="session")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder of programs that start warm, for the projects that are made meanwhile."""
    folder = tmp_path_factory.mktemp("warm")
    with warm_python(folder):
        yield folder


@pytest.fixture
def warm_models(warm: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Registered models, asked in processes of their own, start warm."""
    monkeypatch.setattr(sys, "executable", str(warm / "python"))


@pytest.fixture(scope="session")
def trained(warm: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The small project after a whole run, the same one for all workers; only to be copied.

    What runs in its copies starts warm.
    """
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    return trained_once(shared / "trained")
