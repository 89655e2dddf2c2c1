"""The workflow files: who may do what, and that nothing unpinned or injectable is in them."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from brain_tumor.ci.facts import RESULTS
from brain_tumor.ci.record import DECIDES
from tests.ci.actions import NO_NEED, Run, jobs, wanted
from tests.small_project import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
LISTENED = [
    "data.dvc", "params.yaml", "dvc.yaml", "requirements.txt", "src/**", "docs/evidence/**",
]  # fmt: skip


def workflow(name: str) -> dict[str, Any]:
    text = (ROOT / ".github" / "workflows" / name).read_text(encoding="utf-8")
    return dict(YAML(typ="safe", pure=True).load(text))


def steps_of(run: Run) -> list[str]:
    """Names of the commands of retrain.yml that a run comes to."""
    listed = jobs("retrain.yml")["retrain"]["steps"]
    return [
        step["name"]
        for step in listed
        if "run" in step and step["name"] not in NO_NEED and wanted(step.get("if"), run)
    ]


def a_run(event: str, **given: Any) -> Run:
    return Run(event, "base", "branch", Path("artifacts"), Path("store"), **given)


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    done = subprocess.run(
        [zizmor, "--offline", "--no-progress", ROOT / ".github"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_actions_are_pinned_and_commands_take_no_expressions(file: Path) -> None:
    text = file.read_text(encoding="utf-8")
    for reference in re.findall(r"uses: (.*)", text):
        assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", reference)
    for job in workflow(file.name)["jobs"].values():
        assert "timeout-minutes" in job
        for step in job["steps"]:
            assert "${{" not in step.get("run", "")


def test_only_the_job_that_records_may_write_and_it_sees_no_secret() -> None:
    found = workflow("retrain.yml")
    assert found["permissions"] == {}
    allowed = {name: job["permissions"] for name, job in found["jobs"].items()}
    assert allowed == {
        "retrain": {"contents": "read", "actions": "read"},
        "record": {"contents": "write"},
    }
    assert "secrets." not in str(found["jobs"]["record"])


def test_both_events_listen_to_what_decides_a_model() -> None:
    events = workflow("retrain.yml")["on"]
    assert events["push"] == {"branches": ["main"], "paths": LISTENED}
    assert events["pull_request"] == {"paths": LISTENED}


def test_every_dep_of_the_pipeline_is_listened_to_and_decides_results() -> None:
    text = (ROOT / "dvc.yaml").read_text(encoding="utf-8")
    stages = YAML(typ="safe", pure=True).load(text)["stages"].values()
    deps = {dep for stage in stages for dep in stage["deps"]}
    deps = {"data.dvc" if dep == "data" else dep for dep in deps if not dep.startswith("outputs/")}
    folders = [path.removesuffix("**") for path in LISTENED if path.endswith("/**")]
    unheard = {dep for dep in deps - set(LISTENED) if not f"{dep}/".startswith(tuple(folders))}
    assert not unheard
    assert [*(path.removesuffix("/**") for path in LISTENED), *RESULTS] == list(DECIDES)


def test_a_fork_pushes_promotes_and_records_nothing() -> None:
    own, fork = a_run("pull_request"), a_run("pull_request", fork=True)
    assert set(steps_of(own)) - set(steps_of(fork)) == {"Restore", "Push outputs"}
    assert "Restore what can be had without access" in steps_of(fork)
    assert "Restore what can be had without access" not in steps_of(own)
    assert "Promote by rule" not in steps_of(own)
    assert "Promote by rule" in steps_of(a_run("push"))
    assert not wanted(jobs("retrain.yml")["record"]["if"], fork)


def test_with_a_server_no_store_travels() -> None:
    server = a_run("push", environment={"MLFLOW_TRACKING_URI": "http://127.0.0.1:5000"})
    assert "Fetch the store of the last run on main" in steps_of(a_run("push"))
    assert "Fetch the store of the last run on main" not in steps_of(server)


def test_main_is_never_cut_off() -> None:
    concurrency = workflow("retrain.yml")["concurrency"]
    assert concurrency["cancel-in-progress"] == "${{ github.event_name == 'pull_request' }}"
    assert "github.ref" in concurrency["group"]
