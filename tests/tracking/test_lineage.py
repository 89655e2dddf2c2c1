"""Lineage names the commit, the data and what was read, as git and DVC do."""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.errors import UserError
from brain_tumor.tracking import lineage
from tests.small_project import ROOT

PARAMS = ROOT / "params.yaml"


def git(folder: Path, *arguments: str) -> str:
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "code.py").write_text("x = 1\n", encoding="utf-8")
    (tmp_path / "params.yaml").write_text("train:\n  seed: 1\n", encoding="utf-8")
    (tmp_path / "dvc.lock").write_text("old\n", encoding="utf-8")
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_clean_checkout_has_its_commit(checkout: Path) -> None:
    tags = lineage.trace({}, checkout)
    assert tags["git.commit"] == git(checkout, "rev-parse", "HEAD")
    assert tags["git.dirty"] == "false"


@pytest.mark.parametrize("changed", ["params.yaml", "src/code.py", "src/new.py"])
def test_what_decides_results_makes_it_dirty(checkout: Path, changed: str) -> None:
    (checkout / changed).write_text("y = 2\n", encoding="utf-8")
    assert lineage.trace({}, checkout)["git.dirty"] == "true"


def test_what_the_pipeline_writes_does_not_make_it_dirty(checkout: Path) -> None:
    (checkout / "dvc.lock").write_text("new\n", encoding="utf-8")
    (checkout / "outputs").mkdir()
    (checkout / "outputs" / "metrics.json").write_text("{}", encoding="utf-8")
    assert lineage.trace({}, checkout)["git.dirty"] == "false"


def test_no_checkout_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    tags = lineage.trace({}, tmp_path)
    assert (tags["git.commit"], tags["git.dirty"]) == ("none", "true")


def no_program(_: Path) -> None:
    os.environ["PATH"] = "/nowhere"


def other_owner(_: Path) -> None:
    os.environ["GIT_TEST_ASSUME_DIFFERENT_OWNER"] = "1"  # git's own


def no_commit(folder: Path) -> None:
    shutil.rmtree(folder / ".git")
    git(folder, "init", "--quiet")


def damaged_head(folder: Path) -> None:
    (folder / ".git" / "HEAD").write_bytes(b"\0" * 41)


def main_repository_gone(folder: Path) -> None:
    shutil.rmtree(folder / ".git")
    (folder / ".git").write_text("gitdir: /gone/.git/worktrees/x\n", encoding="utf-8")


def project_of_another_repository(folder: Path) -> None:
    """A home folder under git, with a project in it that it does not take."""
    git(folder, "rm", "--quiet", "--cached", "-r", ".")
    (folder / ".gitignore").write_text("*\n", encoding="utf-8")
    git(folder, "commit", "--quiet", "--message", "second")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (no_program, "git is not installed, or not on the PATH"),
        (other_owner, "detected dubious ownership .* safe.directory"),
        (no_commit, "ambiguous argument 'HEAD'"),
        (damaged_head, "not a git repository"),
        (main_repository_gone, "not a git repository: /gone/"),
        (project_of_another_repository, "holds no file of this project"),
    ],
)
def test_a_commit_that_git_does_not_tell_is_none_and_why_in_its_words(
    checkout: Path,
    change: Callable[[Path], None],
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(checkout.parent))
    lineage._warn.cache_clear()
    with monkeypatch.context() as patch:
        patch.setattr(os, "environ", os.environ.copy())
        change(checkout)
        facts = lineage.trace({}, checkout)
        assert lineage.trace({}, checkout) == facts
    assert (facts["git.commit"], facts["git.dirty"]) == ("none", "true")
    assert re.search(words, facts["git.error"])
    assert "\n" not in facts["git.error"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line == f"WARNING: its commit is not recorded: {facts['git.error']}"
    tags = lineage.tags(facts)
    assert (tags["commit"], tags["git.error"]) == ("none", facts["git.error"])
    assert "mlflow.source.git.commit" not in tags


def damaged_index(folder: Path) -> None:
    (folder / ".git" / "index").write_bytes(b"DIRC" + b"\0" * 40)


def objects_gone(folder: Path) -> None:
    for name in (folder / ".git" / "objects").iterdir():
        if len(name.name) == 2:
            shutil.rmtree(name)


@pytest.mark.parametrize("change", [damaged_index, objects_gone])
def test_differences_that_git_does_not_tell_are_unknown_and_the_commit_stays(
    checkout: Path, change: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    commit = git(checkout, "rev-parse", "HEAD")
    change(checkout)
    facts = lineage.trace({}, checkout)
    assert (facts["git.commit"], facts["git.dirty"]) == (commit, "unknown")
    assert "fatal: " in facts["git.error"]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"WARNING: whether it differs from commit {commit[:7]} is not recorded")
    assert lineage.tags(facts)["commit"] == f"{commit}-unknown"
    assert lineage.commit(facts, 7) == f"{commit[:7]}-unknown"


def test_a_shallow_clone_and_a_name_of_any_bytes_are_told(
    checkout: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clone = tmp_path / "clone"
    git(tmp_path, "clone", "--quiet", "--depth", "1", checkout.as_uri(), str(clone))
    facts = lineage.trace({}, clone)
    assert facts["git.commit"] == git(checkout, "rev-parse", "HEAD")
    assert (facts["git.dirty"], "git.error" in facts) == ("false", False)
    git(clone, "config", "core.quotePath", "false")
    Path(os.fsdecode(os.fsencode(clone / "src") + b"/\xff.py")).write_bytes(b"")
    assert lineage.trace({}, clone)["git.dirty"] == "true"
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "content",
    ["<<<<<<< HEAD\nouts:\n=======\n>>>>>>> other\n", "", "- a\n", "outs: 3\n", "a: [\n", "\0"],
)
def test_an_unreadable_data_dvc_is_named_and_not_passed_over(tmp_path: Path, content: str) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data.dvc").write_text(content, encoding="utf-8")
    for read in (lineage.data_md5, lineage.is_phantom):
        with pytest.raises(UserError, match=r"data\.dvc: not readable; `git checkout") as caught:
            read(tmp_path)
        assert "\n" not in str(caught.value)


def test_folder_md5_is_that_of_dvc(tmp_path: Path) -> None:
    data = tmp_path / "data"
    for name in ("yes/Y1.jpg", "yes.d/x", "no/Ü 2.png", "no/1.png"):
        (data / name).parent.mkdir(parents=True, exist_ok=True)
        (data / name).write_bytes(name.encode())
    for arguments in (["init", "--no-scm", "--quiet"], ["add", "--quiet", "data"]):
        command = [sys.executable, "-m", "dvc", *arguments]
        subprocess.run(command, check=True, cwd=tmp_path)
    recorded = lineage.data_md5(tmp_path)
    assert recorded is not None
    assert recorded.endswith(".dir")
    assert lineage.md5(data) == recorded


def test_three_tags_say_what_a_run_was_made_from(checkout: Path) -> None:
    read = checkout / "split.csv"
    read.write_bytes(b"path,split\n")
    facts = lineage.trace({"split": read}, checkout)
    tags = lineage.tags(facts)
    commit = git(checkout, "rev-parse", "HEAD")
    assert set(tags) == {"data", "commit", "lock", "mlflow.source.git.commit"}
    assert (tags["data"], tags["commit"]) == ("none", commit)
    assert lineage.tags(lineage.trace({"split": read}, checkout)) == tags
    for changed in ({"md5.split": "0"}, {"md5.code": "0"}, {"data.md5": "d.dir"}):
        assert lineage.tags(facts | changed)["lock"] != tags["lock"]
    assert lineage.tags(facts | {"git.commit": "c" * 40})["lock"] == tags["lock"]
    dirty = lineage.tags(facts | {"git.dirty": "true"})
    assert (dirty["commit"], dirty["mlflow.source.git.commit"]) == (f"{commit}-dirty", commit)


def test_inputs_that_are_missing_are_left_out(tmp_path: Path) -> None:
    there = tmp_path / "split.csv"
    there.write_bytes(b"path,split\n")
    tags = lineage.trace({"split": there, "augment": tmp_path / "none"}, tmp_path)
    assert tags["md5.split"] == hashlib.md5(b"path,split\n", usedforsecurity=False).hexdigest()
    assert "md5.augment" not in tags


def test_params_are_flattened_as_dvc_names_them(tmp_path: Path) -> None:
    path = tmp_path / "params.yaml"
    long = "x" * 7000
    path.write_text(
        f"train:\n  rate: 1e-4\n  blocks: [1, 2]\n  nested: {{a: no, b: null}}\n  note: {long}\n",
        encoding="utf-8",
    )
    flat = lineage.flat_params(path)
    assert float(flat["train.rate"]) == 1e-4
    assert json.loads(flat["train.blocks"]) == [1, 2]
    assert flat["train.nested.a"] == "no"
    assert flat["train.nested.b"] == "null"
    assert len(flat["train.note"]) == 6000


def test_parameters_that_act_on_nothing_are_left_out(train: dict[str, Any]) -> None:
    solved = lineage.acted_params(PARAMS, train | {"fine_tune_blocks": 0})
    assert solved["train.head_penalty"] == "0.0312"
    idle = ("learning_rate", "batch_size", "weight_decay", "fine_tune_epochs", "dropout")
    assert not {f"train.{name}" for name in (*idle, "head_epochs", "patience")} & set(solved)
    tuned = lineage.acted_params(PARAMS, train)
    assert tuned["train.learning_rate"] == "0.00012345"
    assert "train.dropout" not in tuned
    by_epochs = lineage.acted_params(PARAMS, train | {"head_penalty": None})
    assert {"train.dropout", "train.head_epochs", "train.patience"} <= set(by_epochs)
    assert "train.head_penalty" not in by_epochs


def test_parameters_are_of_the_sections_that_decided_the_run(train: dict[str, Any]) -> None:
    sections = {name.partition(".")[0] for name in lineage.acted_params(PARAMS, train)}
    assert sections == set(lineage.DECIDING)
    of_phantom = lineage.acted_params(PARAMS, train, ["tune"], phantom=True)
    assert {name.partition(".")[0] for name in of_phantom} == {*sections, "tune", "phantom"}
    assert not [name for name in of_phantom if name.startswith(("tune.space.", "split.counts."))]
    searched = lineage.acted_params(PARAMS, train | {"learning_rate": "tuned"}, ["tune"])
    assert {name.split(".")[2] for name in searched if name.startswith("tune.space.")} == {
        "learning_rate"
    }
