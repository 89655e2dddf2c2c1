"""`brain-tumor data add | diff | status` as they are typed."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import pytest
from tests.dataset.growing import batch, commit, dvc, files, picture
from typer.testing import CliRunner

from brain_tumor.cli.app import app

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def process(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [str(Path(sys.executable).with_name("brain-tumor")), "data", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=120)


def brain_tumor(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """As `process`, within this one."""
    with chdir(folder):
        result = CliRunner().invoke(app, ["data", *arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return subprocess.CompletedProcess(arguments, result.exit_code, result.stdout, result.stderr)


def said(folder: Path, *arguments: str, run: Run = brain_tumor) -> list[str]:
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.slow
def test_a_set_grows_by_commands_alone(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {f"{i:02}.png": 100 + i for i in range(12)})
    picture(source / "again.png", 11)
    picture(source / "1.png", 50)
    (source / "notes.txt").write_text("Site B")
    assert said(repository, "diff", run=process) == ["data: as in HEAD (2 no, 2 yes)"]
    added = said(repository, "add", str(source), "--label", "yes", run=process)
    (taken,) = [line for line in added if "->" in line]
    assert taken.startswith("  1.png -> yes/1-")
    diff = said(repository, "diff")
    assert diff[:2] == ["data, HEAD -> working folder: no 2 -> 2, yes 2 -> 15", "added (13):"]
    assert diff[-1] == "  and 3 more"
    assert len(said(repository, "diff", "main", "--all")) == 2 + 13
    assert len(json.loads("".join(said(repository, "diff", "--json")))["added"]) == 13
    assert said(repository, "status", run=process)[-1] == "next: `git add data.dvc && git commit`"
    commit(repository, "Site B")
    assert said(repository, "diff") == ["data: as in HEAD (2 no, 15 yes)"]
    assert "yes 2 -> 15" in said(repository, "diff", "HEAD~1")[0]


def test_what_was_added_is_told(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {"a.png": 30, "again.png": 11, "masks/a.png.png": 31})
    (source / "notes.txt").write_text("Site B")
    (source / "patients.csv").write_text("path,patient\na.png,b1\nagain.png,b2\n")
    assert said(repository, "add", str(source), "--label", "yes") == [
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
        said(repository, "add", str(lone), "--label", "no")
    )
    assert said(repository, "add", str(lone), "--label", "no")[-1] == "data: 3 no, 3 yes"


def test_a_label_is_the_name_of_the_class_folder_too(repository: Path, tmp_path: Path) -> None:
    for old, new in (("no", "healthy"), ("yes", "tumour")):
        (repository / "data" / old).rename(repository / "data" / new)
    (repository / "params.yaml").write_text(
        "validate: {min_side_px: 16, negative_folder: healthy, positive_folder: tumour}\n"
    )
    dvc(repository, "add", "--quiet", "data")
    by_folder = picture(tmp_path / "folder.png", 30)
    by_label = picture(tmp_path / "label.png", 31)
    assert "data: 2 healthy, 3 tumour" in said(
        repository, "add", str(by_folder), "--label", "tumour"
    )
    assert "data: 2 healthy, 4 tumour" in said(repository, "add", str(by_label), "--label", "yes")
    record = (repository / "data.dvc").read_text(encoding="utf-8")
    assert record.count("label: yes") == 2
    wrong = brain_tumor(repository, "add", str(by_label), "--label", "tumor")
    assert wrong.returncode == 2
    words = " ".join(wrong.stderr.replace("│", " ").split())
    assert "'tumor' is no class: give healthy or tumour (no and yes mean the same)" in words


def test_errors_change_nothing_and_exit_1(repository: Path, tmp_path: Path) -> None:
    source = batch(tmp_path / "site-b", {"a.png": 30, "mine.png": 1})
    (source / "cut.png").write_bytes(b"\x89PNG")
    before, record = files(repository / "data"), (repository / "data.dvc").read_bytes()
    bad = process(repository, "add", str(source), "--label", "yes")
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
        assert done.returncode == 1
        assert expected in done.stderr
    assert brain_tumor(repository, "add", str(source), "--label", "maybe").returncode == 2
    assert files(repository / "data") == before
    assert (repository / "data.dvc").read_bytes() == record


def test_status_of_missing_data_is_no_error(repository: Path) -> None:
    shutil.rmtree(repository / "data")
    assert said(repository, "status")[-1] == "next: `brain-tumor data ensure`"
    assert said(repository, "ensure") == ["data pulled"]
    outside = brain_tumor(repository.parent, "status", "--params", "repository/params.yaml")
    assert "error: data is not inside a DVC repository" in outside.stderr
