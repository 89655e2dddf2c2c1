"""The model that is asked, by default and by name, and the code that answers for it."""

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from brain_tumor.cli.options import SHIPPED, model_folder, registered_name
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


_OWN = """
import os, signal, sys, time

def app():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(4))
    print("own code:", *sys.argv[1:], flush=True)
    if "WAIT" in os.environ:
        time.sleep(60)
    sys.exit(3)
"""


@pytest.mark.parametrize("place", ["cli/app.py", "cli.py"])
def test_a_model_with_another_alignment_runs_its_own_code(tmp_path: Path, place: str) -> None:
    command = ["brain-tumor", "predict", "scan.png", "--model", str(pulled(tmp_path, place))]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 3
    assert done.stdout == f"own code: {' '.join(command[1:])}\n"
    assert "of another version; its own code runs" in done.stderr


def test_sigterm_reaches_its_own_code(tmp_path: Path) -> None:
    command = ["brain-tumor", "serve", "--model", str(pulled(tmp_path, "cli/app.py"))]
    environment = os.environ | {"WAIT": "1"}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == f"own code: {' '.join(command[1:])}\n"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 4


def test_a_folder_without_model_or_code_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "pulled" / "artifacts" / "bundle").mkdir(parents=True)
    with pytest.raises(UserError, match="brings no code of its own"):
        model_folder(str(tmp_path / "pulled"))


def pulled(root: Path, place: str) -> Path:
    """A model without `bundle.json` that brings code whose commands are at `place`."""
    (root / "pulled" / "artifacts" / "bundle").mkdir(parents=True)
    package = root / "pulled" / "code" / "brain_tumor"
    path = package / place
    path.parent.mkdir(parents=True)
    for folder in {package, path.parent}:
        (folder / "__init__.py").touch()
    path.write_text(_OWN, encoding="utf-8")
    (root / "scan.png").touch()
    return root / "pulled"
