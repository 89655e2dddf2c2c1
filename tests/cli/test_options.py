"""The model that is asked by default."""

import re
from pathlib import Path

import pytest

from brain_tumor.cli.options import SHIPPED, registered_name
from brain_tumor.errors import UserError
from tests.small_project import ROOT

PARAMS = (ROOT / "params.yaml").read_text(encoding="utf-8")


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository whose folder `below` is the current one."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "below").mkdir()
    monkeypatch.delenv("DVC_ROOT", raising=False)
    monkeypatch.chdir(tmp_path / "below")
    return tmp_path


def test_it_has_the_name_that_params_yaml_of_the_repository_gives(repository: Path) -> None:
    (repository / "params.yaml").write_text(PARAMS, encoding="utf-8")
    assert registered_name() == SHIPPED
    renamed = re.sub(rf"^  name: {SHIPPED}", "  name: ours", PARAMS, flags=re.MULTILINE)
    (repository / "params.yaml").write_text(renamed, encoding="utf-8")
    assert registered_name() == "ours"


def test_it_has_the_shipped_name_where_no_params_yaml_gives_one(repository: Path) -> None:
    assert registered_name() == SHIPPED
    (repository / "params.yaml").write_text("lr: ${of another project}\n", encoding="utf-8")
    assert registered_name() == SHIPPED


def test_a_section_that_does_not_fit_is_an_error(repository: Path) -> None:
    text = PARAMS.replace(f"  name: {SHIPPED}", "  nam: ours")
    (repository / "params.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(UserError, match=r"params\.yaml: register\.nam: unknown key"):
        registered_name()
