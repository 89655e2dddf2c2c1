"""Plays a job of a workflow file here: its `run` steps as written, its conditions by hand.

Anything the file has that is not known here is an error: the rehearsal cannot skip it by mistake.
"""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.small_project import ROOT, Project

NO_NEED = {"Install"}  # the tests' own environment has it all
OWN = (
    "github.event_name == 'push' || "
    "github.event.pull_request.head.repo.full_name == github.repository"
)
FOREIGN = (
    "github.event_name != 'push' && "
    "github.event.pull_request.head.repo.full_name != github.repository"
)
PASSIVE = ("actions/checkout@", "actions/setup-python@")
# What `gh` is asked for: the last store that a run on main left behind.
GH = """#!/bin/sh -e
store="{store}"
case "$1 $2" in
  "run list") if [ -d "$store" ]; then echo 1; fi ;;
  "api repos/owner/project/actions/runs/1/artifacts?name=mlflow-store") echo 1 ;;
  "run download")
    test "$*" = "run download 1 --name mlflow-store --dir mlruns"
    cd "$store"
    find . -type f | while read -r file; do test ! -e "$OLDPWD/mlruns/$file"; done  # as gh refuses
    cp -r "$store/." "$OLDPWD/mlruns" ;;
  *) echo "gh $*: not known" >&2; exit 1 ;;
esac
"""


@dataclass
class Run:
    """A run of a workflow and what it left.

    Attributes:
        event: `push` or `pull_request`.
        base: what the commit is compared with.
        branch: that it is on.
        artifacts: folder with one folder for each artifact of this run.
        last_store: the artifact `mlflow-store` of the last run on main, if there was one.
        fork: whether the branch lies in a fork.
        environment: secrets and variables of the repository.
        log: what the steps printed.
        failed: the step that did.
    """

    event: str
    base: str
    branch: str
    artifacts: Path
    last_store: Path
    fork: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    log: str = ""
    failed: str | None = None

    @property
    def summary(self) -> str:
        """The job summary."""
        return (self.artifacts / "summary.md").read_text(encoding="utf-8")

    @property
    def report(self) -> str:
        """The report in its artifact."""
        return (self.artifacts / "report" / "report.md").read_text(encoding="utf-8")


def play(workflow: str, job: str, checkout: Project, run: Run) -> Run:
    """Run the steps of a job in a checkout."""
    steps = jobs(workflow)[job]["steps"]
    environment = jobs(workflow)[job].get("env", {})
    run.artifacts.mkdir(parents=True, exist_ok=True)
    for step in steps:
        name = step.get("name", step.get("uses", ""))
        if name in NO_NEED or not wanted(step.get("if"), run):
            continue
        if "run" in step:
            _execute(step, environment | step.get("env", {}), checkout, run, name)
        else:
            _use(step, checkout, run)
    return run


def jobs(workflow: str) -> dict[str, Any]:
    """Jobs of a workflow file."""
    text = (ROOT / ".github" / "workflows" / workflow).read_text(encoding="utf-8")
    return dict(YAML(typ="safe", pure=True).load(text)["jobs"])


def wanted(condition: str | None, run: Run) -> bool:
    """Whether a step or job with this condition runs."""
    known = {
        None: True,
        "env.MLFLOW_TRACKING_URI == ''": "MLFLOW_TRACKING_URI" not in run.environment,
        OWN: not run.fork,
        FOREIGN: run.fork,
        "github.event_name == 'push'": run.event == "push",
        "success() || failure()": True,
    }
    return known[condition] and (run.failed is None or condition == "success() || failure()")


def _value(text: str, run: Run) -> str:
    """A value of `env` with its expression, if it is one, worked out."""
    known = {
        "github.event.pull_request.base.sha || github.event.before": run.base,
        "github.head_ref || github.ref_name": run.branch,
        "github.token": "token",
        "job.status == 'success' && '--passed' || '--failed'": (
            "--failed" if run.failed else "--passed"
        ),
        "vars.AWS_DEFAULT_REGION || 'us-east-1'": "us-east-1",
    }
    expression = re.fullmatch(r"\$\{\{ (.*) \}\}", text)
    if expression is None:
        return text
    if match := re.fullmatch(r"(secrets|vars)\.(\w+)", expression[1]):
        return run.environment.get(match[2], "")
    return known[expression[1]]


def _execute(
    step: dict[str, Any], environment: dict[str, str], checkout: Project, run: Run, name: str
) -> None:
    programs = run.artifacts.parent / "programs"
    programs.mkdir(exist_ok=True)
    (programs / "gh").write_text(GH.format(store=run.last_store), encoding="utf-8")
    (programs / "gh").chmod(0o755)
    runner = {
        "GITHUB_REPOSITORY": "owner/project",
        "GITHUB_STEP_SUMMARY": str(run.artifacts / "summary.md"),
    }
    given = {key: _value(text, run) for key, text in environment.items()}
    path = f"{programs}{os.pathsep}{checkout.env['PATH']}"
    done = subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=checkout.folder,
        env=checkout.env | given | runner | {"PATH": path},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
    )
    run.log += f"--- {name}\n{done.stdout}"
    if done.returncode and run.failed is None and not step.get("continue-on-error"):
        run.failed = name


def _use(step: dict[str, Any], checkout: Project, run: Run) -> None:
    action, options = step["uses"], step.get("with", {})
    if action.startswith("actions/upload-artifact@"):
        source = checkout.folder / options["path"]
        hidden = shutil.ignore_patterns(".*")  # as the action leaves them out
        shutil.copytree(source, run.artifacts / options["name"], ignore=hidden, dirs_exist_ok=True)
    elif action.startswith("actions/download-artifact@"):
        source = run.artifacts / options["name"]
        shutil.copytree(source, checkout.folder / options["path"], dirs_exist_ok=True)
    elif not action.startswith(PASSIVE):
        raise AssertionError(f"{action}: not known")
