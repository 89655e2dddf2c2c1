"""Facts of a run, from git and DVC as they are."""

import json
from pathlib import Path

import pytest

from brain_tumor.ci.facts import gather
from tests.small_project import Project

PIPELINE = """\
stages:
  evaluate:
    cmd: python -c pass
    deps: [params.yaml]
    outs: [outputs/evaluate/figures.json, outputs/validate/report.json]
"""


def write(project: Project, accuracy: float, warned: list[str]) -> None:
    """What the stages leave that a report compares."""
    figures = {"test": {"accuracy": {"value": accuracy, "low": 0.1, "high": 0.9}}}
    warnings = [{"path": path, "reason": "small"} for path in warned]
    for name, content in (
        ("evaluate/figures", figures),
        ("validate/report", {"warnings": warnings}),
    ):
        path = project.folder / "outputs" / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A repository in which DVC keeps the files that a report compares."""
    project = Project(tmp_path)
    (tmp_path / "dvc.yaml").write_text(PIPELINE, encoding="utf-8")
    (tmp_path / "params.yaml").write_text("a: {b: 1}\n", encoding="utf-8")
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    project.run("dvc", "init", "--quiet")
    write(project, 0.5, ["no/1.png"])
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit("Base")
    monkeypatch.chdir(tmp_path)
    return project


def test_outputs_of_the_base_come_from_dvc(project: Project) -> None:
    base = project.run("git", "rev-parse", "HEAD").strip()
    write(project, 0.75, ["no/1.png", "no/2.png"])
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit("Now")
    facts = gather(base, Path("data"), ("no", "yes"), Path("report"))
    assert facts.metrics["test.accuracy"] == (0.5, 0.75)
    assert facts.metrics["test.accuracy.low"] == (0.1, 0.1)
    assert facts.known_warnings == {("no/1.png", "small")}
    assert facts.rerun == {"evaluate"}


def test_outputs_of_the_base_that_are_lost_are_not_compared(project: Project) -> None:
    base = project.run("git", "rev-parse", "HEAD").strip()
    write(project, 0.75, [])
    project.run("dvc", "commit", "--force", "--quiet")
    project.commit("Now")
    project.run("dvc", "gc", "--workspace", "--force", "--quiet")
    facts = gather(base, Path("data"), ("no", "yes"), Path("report"))
    assert facts.metrics["test.accuracy"] == (None, 0.75)
    assert facts.known_warnings == frozenset()
