import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from tests import sections
from tests.dataset.growing import dvc

PHANTOM = {
    "seed": 1, "no": 2, "yes": 2, "exact_duplicates": 0, "near_duplicates": 0,
    "canvas_px": [75, 80],
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    classes = {"negative_folder": "healthy", "positive_folder": "tumour"}
    sections.write_params(tmp_path, validate=classes, phantom=PHANTOM)
    return tmp_path


def brain_tumor(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("brain-tumor")), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = brain_tumor("--version", cwd=tmp_path)
    assert done.stdout == f"brain-tumor {version('brain-tumor')}\n"


def test_help_answers_without_heavy_imports(tmp_path: Path) -> None:
    start = time.perf_counter()
    assert brain_tumor("data", "fetch", "--help", cwd=tmp_path).returncode == 0
    assert time.perf_counter() - start < 10  # seconds, on a busy machine; 0.7 on an idle one
    code = "import sys, brain_tumor.cli.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "scipy", "pandas", "tensorflow", "mlflow", "nilearn", "dvc", "PIL"}
    assert not heavy & set(loaded.stdout.split())


def test_phantom_is_made_in_the_folders_that_params_name(project: Path) -> None:
    dvc(project, "init", "--no-scm", "--quiet")
    done = brain_tumor("data", "fetch", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "data: 2 healthy, 2 tumour; next: git add data.dvc && git commit\n"
    assert len(list((project / "data/masks/tumour").iterdir())) == 2


def test_errors_are_one_line_and_exit_1(project: Path) -> None:
    outside = brain_tumor("data", "fetch", cwd=project)
    dvc(project, "init", "--no-scm", "--quiet")
    absent = brain_tumor("data", "fetch", "no/such.zip", cwd=project)
    sections.write_params(project, phantom={"tumours": 3})
    misspelt = brain_tumor("data", "ensure", cwd=project)
    for done, said in ((outside, "dvc init"), (absent, "no/such.zip"), (misspelt, "tumours")):
        assert done.returncode == 1
        assert said in done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert not (project / "data").exists()
