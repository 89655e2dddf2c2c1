"""`make evidence` in a temporary project: 75 px phantoms, random weights, the real recipe and DVC.

The tests of this module share one project and run in the order they stand in.
"""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from evidence.pages import headline_page, paper_page
from tests import sections
from tests.evidence.toys import STUDY, write_study
from tests.small_project import Project, copy_trained

pytestmark = [pytest.mark.slow, pytest.mark.first]

REPRO = ("dvc", "repro", "evidence/dvc.yaml:summary")
TRACKS = {"paper_images", "paper", "headline", "summary"}
FOLDS, SEEDS = "docs/evidence/folds", "docs/evidence/paper"
SEEDS_OF_BLOCKS = "docs/evidence/paper_blocks"
FIGURES = "docs/evidence/figures"
THREE = {"no": 3, "yes": 3}
TRAIN = sections.replaced(
    STUDY.paper.train, head_block=3, head_epochs=2, fine_tune_epochs=1, batch_size=8
)
SMALL: dict[str, dict[str, Any]] = {
    "headline": {"repeats": 1, "folds": 2},
    "paper": {
        "seeds": 2,
        "paper_step_px": 50,
        "counts": {"val": THREE, "test": THREE, "train": None},
        "train": TRAIN.model_dump(mode="json"),
        "top_blocks": 1,
    },
    "summary": {"bootstrap_resamples": 20},
}


def ran(output: str) -> set[str]:
    lines = (line for line in output.splitlines() if line.startswith("Running stage"))
    return {line.split("'")[1].removeprefix("evidence/dvc.yaml:") for line in lines}


@pytest.fixture(scope="module")
def project(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A small copy of the project without evidence, with data and what stage backbone leaves."""
    project = copy_trained(trained, tmp_path_factory.mktemp("clone") / "project", "backbone")
    for folder in (FOLDS, SEEDS, SEEDS_OF_BLOCKS, FIGURES):
        shutil.rmtree(project.folder / folder, ignore_errors=True)
    (project.folder / "evidence" / "dvc.lock").unlink(missing_ok=True)
    write_study(project.folder, **SMALL)
    project.commit("Nothing of the evidence")
    return project


def test_it_makes_every_fold_seed_page_and_drawing(project: Project) -> None:
    output = project.run(*REPRO)
    assert ran(output) == TRACKS  # none of the product's later stages, which have not run either
    for stage in ("validate", "split", "preprocess", "augment", "backbone"):
        assert f"Stage '{stage}' didn't change, skipping" in output
    folder = project.folder / "docs" / "evidence"
    names = sorted(path.name for path in (folder / "folds").iterdir())
    assert names == [f"headline-r0-f{n}.{kind}" for n in (0, 1) for kind in ("csv", "json")]
    for seeds in ("paper", "paper_blocks"):
        assert len(list((folder / seeds).glob("seed-*.csv"))) == 2
    summary = project.json("docs/evidence/summary.json")
    assert summary["headline"]["images"] == 24
    assert summary["paper"]["seeds"] == 2
    assert (summary["paper_blocks"]["blocks"], summary["paper_blocks"]["seeds"]) == (1, 2)
    assert "With the top 1 blocks trained" in (folder / "paper.md").read_text()
    assert summary["headline"]["former"] is None  # none is of these images
    assert summary["made"]["headline"]["weights"] == ["random"]
    assert summary["made"]["paper"]["commits"]
    assert (folder / "headline.md").read_text() == headline_page(summary)
    assert (folder / "paper.md").read_text() == paper_page(summary)
    assert (folder / "confident_errors.csv").stat().st_size > 50
    for drawing in ("reliability", "baselines", "paper"):
        assert (
            f"figures/{drawing}.svg"
            in (folder / "headline.md").read_text() + (folder / "paper.md").read_text()
        )
        assert (folder / "figures" / f"{drawing}.svg").read_text().startswith("<svg")


def test_no_picture_of_the_data_comes_under_git(project: Project) -> None:
    project.commit("Evidence")
    tracked = project.run("git", "ls-files", "docs/evidence", "outputs").splitlines()
    assert not [name for name in tracked if name.endswith(".png") and "evidence" in name]
    assert (project.folder / "outputs" / "evidence" / "confident_errors.png").is_file()


def test_every_image_is_predicted_once_by_a_recipe_that_never_saw_its_cluster(
    project: Project,
) -> None:
    folder = project.folder / FOLDS
    table = pd.concat(
        [pd.read_csv(path).assign(fold=path.stem) for path in folder.glob("*.csv")],
        ignore_index=True,
    )
    manifest = pd.read_csv(project.folder / "outputs" / "manifest.csv")
    assert sorted(table["path"]) == sorted(manifest["path"])
    assert table.groupby("cluster")["fold"].nunique().eq(1).all()
    assert table["probability"].between(0, 1).all()


def test_folds_are_runs_under_one_parent(project: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.folder / 'mlruns' / 'mlflow.db'}")
    facts = [json.loads(path.read_text()) for path in (project.folder / FOLDS).glob("*.json")]
    parents = {fold["parent_run_id"] for fold in facts}
    assert len(parents) == 1
    assert client.get_run(parents.pop()).info.status == "FINISHED"
    for fold in facts:
        run = client.get_run(fold["run_id"])
        assert run.info.status == "FINISHED"
        assert run.data.tags["mlflow.parentRunId"] == fold["parent_run_id"]
        assert "headline/log_loss" in run.data.metrics


def test_a_second_run_does_nothing(project: Project) -> None:
    assert ran(project.run(*REPRO)) == set()
    assert project.run("git", "status", "--porcelain") == ""


def test_a_fold_that_is_missing_is_made_again_to_the_bit_and_no_other_is(
    project: Project,
) -> None:
    lost = project.folder / FOLDS / "headline-r0-f0.csv"
    kept = project.folder / FOLDS / "headline-r0-f1.json"
    before, time_ns = lost.read_bytes(), kept.stat().st_mtime_ns
    lost.unlink()
    assert "headline" in ran(project.run(*REPRO))
    assert lost.read_bytes() == before
    assert kept.stat().st_mtime_ns == time_ns
    parents = {
        json.loads(path.read_text())["parent_run_id"]
        for path in (project.folder / FOLDS).glob("*.json")
    }
    assert len(parents) == 1
    project.commit("A fold again")


def test_elsewhere_finished_folds_are_runs_of_a_new_parent(
    project: Project, tmp_path: Path
) -> None:
    from mlflow import MlflowClient

    store = tmp_path / "mlflow.db"
    (project.folder / FOLDS / "headline-r0-f0.json").unlink()
    project.env["MLFLOW_TRACKING_URI"] = f"sqlite:///{store}"
    project.run(*REPRO)
    del project.env["MLFLOW_TRACKING_URI"]
    client = MlflowClient(f"sqlite:///{store}")
    experiment = client.get_experiment_by_name("brain-tumor")
    assert experiment is not None
    children = [
        run
        for run in client.search_runs([experiment.experiment_id])
        if "mlflow.parentRunId" in run.data.tags
    ]
    assert len({run.data.tags["mlflow.parentRunId"] for run in children}) == 1
    assert sorted(run.data.tags.get("restored", "") for run in children) == ["", "true"]
    project.commit("Elsewhere")


def test_changed_parameters_keep_old_folds_whole_and_never_mix_them(project: Project) -> None:
    project.set_params({"calibrate": {"sensitivity": 0.9}})
    output = project.run(*REPRO)
    assert "the 2 parts in docs/evidence/folds were made from other params" in output
    (project.folder / FOLDS / "headline-r0-f1.json").unlink()
    project.set_params({"calibrate": {"sensitivity": 0.8}})
    output = project.run(*REPRO, check=False)
    assert "headline-r0-f0.json: made from other params than there is now; delete" in output
    assert "Traceback" not in output
    project.run("git", "checkout", "--quiet", ".")
