"""`brain-tumor data add | diff | status` as they are typed."""

import contextlib
import json
import shutil
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from brain_tumor.cli.app import app
from tests import sections
from tests.data.growing import batch, commit, dvc, files, picture


def brain_tumor(folder: Path, *arguments: str) -> Result:
    with contextlib.chdir(folder):
        return CliRunner().invoke(app, ["data", *arguments])


def printed(folder: Path, *arguments: str) -> list[str]:
    done = brain_tumor(folder, *arguments)
    assert done.exit_code == 0, done.stderr
    return done.stdout.splitlines()


def brain_tumor_process(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own."""
    command = [str(Path(sys.executable).with_name("brain-tumor")), *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def printed_by_process(folder: Path, *arguments: str) -> list[str]:
    return brain_tumor_process("data", *arguments, cwd=folder).stdout.splitlines()


@pytest.mark.slow
def test_a_set_grows_by_commands_alone(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {f"{i:02}.png": 100 + i for i in range(12)})
    picture(source / "again.png", 11)
    picture(source / "1.png", 50)
    (source / "notes.txt").write_text("Site B")
    assert printed_by_process(repository, "diff") == ["data: as in HEAD (2 no, 2 yes)"]
    added = printed_by_process(repository, "add", str(source), "--label", "yes")
    (taken,) = [line for line in added if "->" in line]
    assert taken.startswith("  1.png -> yes/1-")
    diff = printed(repository, "diff")
    assert diff[:2] == ["data, HEAD -> working folder: no 2 -> 2, yes 2 -> 15", "added (13):"]
    assert diff[-1] == "  and 3 more"
    assert len(printed(repository, "diff", "main", "--all")) == 2 + 13
    assert len(json.loads("".join(printed(repository, "diff", "--json")))["added"]) == 13
    assert printed_by_process(repository, "status")[-1] == "next: `git add data.dvc && git commit`"
    commit(repository, "Site B")
    assert printed(repository, "diff") == ["data: as in HEAD (2 no, 15 yes)"]
    assert "yes 2 -> 15" in printed(repository, "diff", "HEAD~1")[0]


def test_what_was_added_is_told(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {"a.png": 30, "again.png": 11, "masks/a.png.png": 31})
    (source / "notes.txt").write_text("Site B")
    (source / "patients.csv").write_text("path,patient\na.png,b1\nagain.png,b2\n")
    assert printed(repository, "add", str(source), "--label", "yes") == [
        "added: 1 image and 1 mask",
        "skipped, the same bytes are there already (1):",
        "  again.png = yes/1.png",
        "left out, no images (1):",
        "  notes.txt",
        "patients.csv: extended",
        "data: 2 no, 3 yes",
        "next: `git add data.dvc && git commit`, then `dvc push`",
    ]
    lone = picture(tmp_path / "lone.png", 32)
    assert "their patients are unknown" in "".join(
        printed(repository, "add", str(lone), "--label", "no")
    )
    assert printed(repository, "add", str(lone), "--label", "no")[-1] == "data: 3 no, 3 yes"


def test_a_label_is_the_name_of_the_class_folder_too(repository: Path, tmp_path: Path) -> None:
    for old, new in (("no", "healthy"), ("yes", "tumour")):
        (repository / "data" / old).rename(repository / "data" / new)
    classes = {"negative_folder": "healthy", "positive_folder": "tumour"}
    sections.write_params(repository, validate={"min_side_px": 16, **classes})
    dvc(repository, "add", "--quiet", "data")
    by_folder = picture(tmp_path / "folder.png", 30)
    by_label = picture(tmp_path / "label.png", 31)
    assert "data: 2 healthy, 3 tumour" in printed(
        repository, "add", str(by_folder), "--label", "tumour"
    )
    assert "data: 2 healthy, 4 tumour" in printed(
        repository, "add", str(by_label), "--label", "yes"
    )
    record = (repository / "data.dvc").read_text(encoding="utf-8")
    assert record.count("label: yes") == 2
    wrong = brain_tumor(repository, "add", str(by_label), "--label", "tumor")
    assert wrong.exit_code == 2
    words = " ".join(wrong.stderr.replace("│", " ").split())
    assert "'tumor' is no class: give healthy or tumour (no and yes mean the same)" in words


def test_errors_change_nothing_and_exit_1(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {"a.png": 30, "mine.png": 1})
    (source / "cut.png").write_bytes(b"\x89PNG")
    before, record = files(repository / "data"), (repository / "data.dvc").read_bytes()
    bad = brain_tumor(repository, "add", str(source), "--label", "yes")
    for done, expected in (
        (bad, "  cut.png: "),
        (bad, "  mine.png: same bytes as no/1.png of the other class"),
        (brain_tumor(repository, "add", "nowhere", "--label", "no"), "error: nowhere: no such"),
        (brain_tumor(repository, "diff", "v9"), "error: 'v9' is no revision"),
        (
            brain_tumor(repository, "add", "data/no", "--label", "yes"),
            "error: data/no lies in data",
        ),
    ):
        assert done.exit_code == 1
        assert expected in done.stderr
    assert brain_tumor(repository, "add", str(source), "--label", "maybe").exit_code == 2
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_bytes() == record


def test_status_of_missing_data_is_no_error(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    assert printed(repository, "status")[-1] == "next: `brain-tumor data ensure`"
    assert printed(repository, "ensure") == ["data pulled"]
    outside = brain_tumor(repository.parent, "status", "--params", "repository/params.yaml")
    assert "error: data is not inside a DVC repository" in outside.stderr


PHANTOM = {
    "seed": 1, "no": 2, "yes": 2, "exact_duplicates": 0, "near_duplicates": 0,
    "canvas_px": [75, 80],
}  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    classes = {"negative_folder": "healthy", "positive_folder": "tumour"}
    sections.write_params(tmp_path, validate=classes, phantom=PHANTOM)
    return tmp_path


def test_version_is_that_of_the_package(tmp_path: Path) -> None:
    done = brain_tumor_process("--version", cwd=tmp_path)
    assert done.stdout == f"brain-tumor {version('brain-tumor')}\n"


def test_help_answers_without_heavy_imports(tmp_path: Path) -> None:
    start = time.perf_counter()
    assert brain_tumor_process("data", "fetch", "--help", cwd=tmp_path).returncode == 0
    assert time.perf_counter() - start < 10  # seconds, on a busy machine; 0.7 on an idle one
    code = "import sys, brain_tumor.cli.app; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    heavy = {"numpy", "scipy", "pandas", "tensorflow", "mlflow", "nilearn", "dvc", "PIL"}
    assert not heavy & set(loaded.stdout.split())


def test_phantom_is_made_in_the_folders_that_params_name(project: Path) -> None:
    dvc(project, "init", "--no-scm", "--quiet")
    done = brain_tumor_process("data", "fetch", cwd=project)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "data: 2 healthy, 2 tumour; next: git add data.dvc && git commit\n"
    assert len(list((project / "data/masks/tumour").iterdir())) == 2


def test_errors_are_one_line_and_exit_1(project: Path) -> None:
    outside = brain_tumor_process("data", "fetch", cwd=project)
    dvc(project, "init", "--no-scm", "--quiet")
    absent = brain_tumor_process("data", "fetch", "no/such.zip", cwd=project)
    sections.write_params(project, phantom={"tumours": 3})
    misspelt = brain_tumor_process("data", "ensure", cwd=project)
    for done, printed in ((outside, "dvc init"), (absent, "no/such.zip"), (misspelt, "tumours")):
        assert done.returncode == 1
        assert printed in done.stderr
        assert done.stderr.startswith("error: ")
        assert done.stderr.count("\n") == 1
    assert not (project / "data").exists()
