"""The model that is asked, by default and by name, and the code that answers for it."""

import re
import subprocess
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


def test_a_model_of_an_earlier_version_runs_its_own_code(tmp_path: Path) -> None:
    bundle = tmp_path / "pulled" / "artifacts" / "bundle"
    bundle.mkdir(parents=True)
    (bundle / "atlas.npz").touch()
    own = tmp_path / "pulled" / "code" / "brain_tumor" / "cli"
    own.mkdir(parents=True)
    for folder in (own, own.parent):
        (folder / "__init__.py").touch()
    (own / "app.py").write_text(
        "import sys\ndef app():\n    print('own code:', *sys.argv[1:])\n    sys.exit(3)\n"
    )
    command = ["brain-tumor", "predict", "scan.png", "--model", str(tmp_path / "pulled")]
    (tmp_path / "scan.png").touch()
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stdout == f"own code: {' '.join(command[1:])}\n"
    assert "of an earlier version; its own code runs" in done.stderr
