from pathlib import Path

import pytest

from tests.data.growing import copy_template, make_template


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Decode small folders in the process of the test: starting others takes a second."""
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "1")


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_template(tmp_path_factory.mktemp("growing"))


@pytest.fixture
def repository(template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two images of each class, committed, and pushed to a remote that is a folder beside it."""
    monkeypatch.setenv("DVC_SITE_CACHE_DIR", str(tmp_path / "site"))
    return copy_template(template, tmp_path / "growing")
