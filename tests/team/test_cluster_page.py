"""docs/team.md, "Many machines": its commands, on machines of a network of their own."""

import subprocess
from pathlib import Path

import pytest

from tests.dask_cluster import Machine, machines, project_environment, started, wait_for
from tests.small_project import copy_project
from tests.team.page import Page, blocks, run_block

pytestmark = pytest.mark.slow


def test_a_pipeline_works_over_machines_with_tls(tmp_path: Path) -> None:
    project = copy_project(tmp_path / "project")
    own = project_environment() | project.env | {"HOME": str(tmp_path)}
    with machines(2) as (home, other):
        page = Page({"SCHEDULERHOST": home.address})
        run_block(page.block("cluster-authority"), own, tmp_path)
        run_block(page.block("cluster-certificate"), own, tmp_path)
        secured = page.exported("cluster-tls", own)
        scheduler = tmp_path / "scheduler.log"
        worker = tmp_path / "worker.log"
        with started(on(home, page.block("cluster-scheduler")), secured, scheduler) as process:
            wait_for(lambda: "Scheduler at:" in scheduler.read_text(), process, scheduler)
            with started(on(other, page.block("cluster-worker")), secured, worker) as process:
                wait_for(lambda: "Registered to:" in worker.read_text(), process, worker)
                project.run("brain-tumor", "data", "fetch", "phantom")
                done = run_block(f"exec 2>&1\n{page.block('cluster-use')}", secured, project.folder)
                assert "Run out-of-band function '_install'" in worker.read_text()
                assert "preprocess: 24 done" in done
                refused = without_certificate(page, own | {"HOME": "/nonexistent"}, project.folder)
    assert "error: tls://" in refused
    assert "TLS needs certificates" in refused
    assert "Traceback" not in refused
    assert page.used == {name for name in blocks() if name.startswith("cluster-")}


def on(machine: Machine, block: str) -> list[str]:
    return [*machine.prefix, "bash", "-euc", block]


def without_certificate(page: Page, environment: dict[str, str], folder: Path) -> str:
    use = page.block("cluster-use").replace("dvc repro", "dvc repro --force")
    result = subprocess.run(
        ["bash", "-c", use], env=environment, cwd=folder, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert result.returncode != 0
    return result.stderr
