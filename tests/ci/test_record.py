"""Results travel as a patch to the job that may write, and from there to the branch."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from brain_tumor.ci.facts import write_results
from tests.small_project import ROOT

IDENTITY = ("-c", "user.name=tester", "-c", "user.email=tester@example.org")


def git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", *IDENTITY, *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


def record(folder: Path, patch: Path) -> "subprocess.CompletedProcess[str]":
    """The command of retrain.yml, without any installed package."""
    return subprocess.run(
        [sys.executable, "-S", "-m", "brain_tumor.ci.record", str(patch), "--branch", "main"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "src")},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def origin(tmp_path: Path) -> Path:
    """A bare repository with one commit on main."""
    seed = tmp_path / "seed"
    (seed / "outputs").mkdir(parents=True)
    (seed / "outputs" / "metrics.json").write_text("{}\n", encoding="utf-8")
    (seed / "outputs" / ".gitignore").write_text("/model.keras\n", encoding="utf-8")
    (seed / "dvc.lock").write_text("old\n", encoding="utf-8")
    (seed / "README.md").write_text("text\n", encoding="utf-8")
    git(seed, "init", "--quiet", "-b", "main")
    git(seed, "add", "--all")
    git(seed, "commit", "--quiet", "--message", "First")
    git(tmp_path, "clone", "--quiet", "--bare", str(seed), "origin.git")
    return tmp_path / "origin.git"


def clone(origin: Path, name: str) -> Path:
    git(origin.parent, "clone", "--quiet", str(origin), name)
    return origin.parent / name


@pytest.fixture
def patch(origin: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """What a run wrote in a clone: changed, new and ignored files, and one it should not touch."""
    ran = clone(origin, "ran")
    (ran / "dvc.lock").write_text("new\n", encoding="utf-8")
    (ran / "outputs" / "metrics.json").write_text('{"a": 1}\n', encoding="utf-8")
    (ran / "outputs" / "curve.csv").write_bytes(b"\x00\x01 binary")
    (ran / "outputs" / "model.keras").write_text("ignored", encoding="utf-8")
    (ran / "README.md").write_text("changed\n", encoding="utf-8")
    monkeypatch.chdir(ran)
    path = origin.parent / "results.patch"
    assert write_results(path) == ["dvc.lock", "outputs/curve.csv", "outputs/metrics.json"]
    assert git(ran, "diff", "--cached", "--name-only") == ""
    return path


def test_results_arrive_on_the_branch(origin: Path, patch: Path) -> None:
    done = record(clone(origin, "record"), patch)
    assert done.returncode == 0, done.stderr
    assert "pushed to main" in done.stdout
    seen = clone(origin, "seen")
    assert (seen / "dvc.lock").read_text() == "new\n"
    assert (seen / "outputs" / "curve.csv").read_bytes() == b"\x00\x01 binary"
    assert (seen / "README.md").read_text() == "text\n"
    assert not (seen / "outputs" / "model.keras").exists()
    assert git(seen, "log", "-1", "--format=%s").startswith("Record the results of ")


def move_on(origin: Path, name: str) -> None:
    other = clone(origin, "other")
    (other / name).write_text("meanwhile\n", encoding="utf-8")
    git(other, "add", "--all")
    git(other, "commit", "--quiet", "--message", "Meanwhile")
    git(other, "push", "--quiet")


def test_a_branch_with_other_parameters_by_now_is_left_alone(origin: Path, patch: Path) -> None:
    recording = clone(origin, "record")
    move_on(origin, "params.yaml")
    done = record(recording, patch)
    assert done.returncode == 0, done.stderr
    assert "main has moved on (params.yaml, ...)" in done.stdout
    assert git(origin, "log", "-1", "--format=%s", "main") == "Meanwhile"


def test_results_go_on_top_of_what_does_not_decide_them(origin: Path, patch: Path) -> None:
    recording = clone(origin, "record")
    move_on(origin, "README.md")
    done = record(recording, patch)
    assert done.returncode == 0, done.stderr
    seen = clone(origin, "seen")
    assert (seen / "dvc.lock").read_text() == "new\n"
    assert (seen / "README.md").read_text() == "meanwhile\n"
    assert git(seen, "log", "-1", "--skip=1", "--format=%s") == "Meanwhile"


def test_without_changes_nothing_is_recorded(
    origin: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    same = clone(origin, "same")
    monkeypatch.chdir(same)
    assert write_results(tmp_path / "empty.patch") == []
    done = record(same, tmp_path / "empty.patch")
    assert (done.returncode, done.stdout[:17]) == (0, "nothing to record")


def test_other_files_in_a_patch_are_not_recorded(origin: Path, tmp_path: Path) -> None:
    evil = clone(origin, "evil")
    (evil / "README.md").write_text("changed\n", encoding="utf-8")
    patch = tmp_path / "evil.patch"
    patch.write_text(f"{git(evil, 'diff')}\n", encoding="utf-8")
    done = record(clone(origin, "record"), patch)
    assert (done.returncode, done.stdout[:17]) == (0, "nothing to record")
    assert git(origin, "log", "--format=%s", "main") == "First"


def test_patch_of_another_commit_is_an_error(origin: Path, patch: Path) -> None:
    recording = clone(origin, "record")
    (recording / "dvc.lock").write_text("third\n", encoding="utf-8")
    git(recording, "commit", "--quiet", "--all", "--message", "Other")
    done = record(recording, patch)
    assert done.returncode == 1
    assert done.stderr.startswith("error: `git apply")
    assert "dvc.lock" in done.stderr
