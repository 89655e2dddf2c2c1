"""The toy model that is served."""

from pathlib import Path

import pytest

from tests.serving.toy_bundle import write_toy


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model folder as `brain-tumor pull` leaves it."""
    return write_toy(tmp_path_factory.mktemp("toy") / "model")
