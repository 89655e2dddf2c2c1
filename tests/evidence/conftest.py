"""What tests of the study share."""

from pathlib import Path
from typing import Any

import pytest

from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.training import Start
from evidence.parts import Finished, origin_of


@pytest.fixture(scope="session")
def start(random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    """Random initial weights, with a feature cache of the tests' own."""
    return Start(random_weights, FeatureCache(tmp_path_factory.mktemp("cache"), 10**9))


@pytest.fixture
def finished(tmp_path: Path) -> Finished:
    """An empty folder of parts."""
    return Finished(tmp_path / "parts")


@pytest.fixture(scope="session")
def origin() -> dict[str, Any]:
    """Where and when a page's figures were made."""
    environment = {"date": "2026-01-01", "processors": 2, "machine": "Linux", "python": "3.11"}
    environment |= {"commit": "abc1234", "keras": "3"}
    part = {"environment": environment, "weights": "random", "precision": "float32", "wall_s": 60.0}
    return origin_of([part])
