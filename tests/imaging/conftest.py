"""Tests of pictures use one process."""

import pytest


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started only where a test is about them."""
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "1")
