"""The whole pipeline in a temporary project: 75 px phantoms, random weights, real DVC and MLflow.

The tests of this module share one project and run in the order they stand in.
"""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.tracking.runs import NOTE_TAG
from tests.small_project import LOG, Project, champion_says, cold_path, copy_trained
from tests.stage_here import run_here
from tests.stored import spoil

pytestmark = [pytest.mark.slow, pytest.mark.first]
WIDTH = 120  # of a terminal, characters


@pytest.fixture(scope="module")
def project(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A copy of the small project after the whole run."""
    return copy_trained(trained, tmp_path_factory.mktemp("clone") / "project")


def test_stages_say_where_they_are_and_tensorflow_says_nothing(trained: Project) -> None:
    said = (trained.folder.parent / LOG).read_text("utf-8")
    stages = list(YAML(typ="safe").load((trained.folder / "dvc.yaml").read_text())["stages"])
    for number, stage in enumerate(stages, 1):
        assert f"\nstage {number} of {len(stages)}, {stage}: " in said
    for stage in ("evaluate", "export", "report", "register"):
        assert " ...\n" in said.partition(f", {stage}: ")[2].partition("Running stage")[0]
    assert not [line for line in said.splitlines() if "oneDNN" in line or "absl::" in line]


def test_summary_tells_what_the_run_came_to(project: Project) -> None:
    said = project.run("brain-tumor", "summary")
    registered = project.json("outputs/registered.json")
    assert f"{registered['name']} version 1\nInceptionV3 (random) to mixed" in said
    assert f"@champion: {registered['decision']['reason']}" in said


def test_outputs_have_the_names_others_rely_on(project: Project) -> None:
    folder = project.folder / "outputs"
    manifest = pd.read_csv(folder / "manifest.csv")
    split = pd.read_csv(folder / "split.csv")
    predictions = pd.read_csv(folder / "predictions.csv")
    assert len(manifest) == 24
    assert {"path", "label", "split", "group"} <= set(split.columns)
    assert list(predictions.columns) == ["path", "label", "split", "probability"]
    assert sorted(predictions["path"]) == sorted(split["path"])
    figures = project.json("outputs/evaluate/figures.json")
    assert set(figures) == {"train", "val", "test"}
    assert set(figures["test"]["accuracy"]) == {"value", "low", "high"}
    assert set(figures["train"]["accuracy"]) == {"value"}
    headline = project.json("outputs/metrics.json")
    assert set(headline) == {"val", "test"}
    assert headline["test"]["auroc"] == round(figures["test"]["auroc"]["value"], 4)
    registered = project.json("outputs/registered.json")
    assert {"name", "version", "alias", "run_id", "digest"} <= set(registered)
    assert registered["name"] == "brain-tumor-inceptionv3"
    assert registered["alias"] == "champion"


def test_registered_champion_predicts_from_raw_bytes_what_the_pipeline_did(
    project: Project,
) -> None:
    predictions = pd.read_csv(project.folder / "outputs" / "predictions.csv")
    test = predictions[predictions["split"] == "test"].head(4)
    assert champion_says(project, *test["path"]) == pytest.approx(
        list(test["probability"]), abs=1e-6
    )


def test_run_holds_its_lineage_curves_and_figures(project: Project) -> None:
    from mlflow import MlflowClient

    client = MlflowClient(f"sqlite:///{project.folder / 'mlruns' / 'mlflow.db'}")
    run = client.get_run(project.json("outputs/registered.json")["run_id"])
    assert run.info.status == "FINISHED"
    chosen = project.json("outputs/tuning/best.json")["params"]
    assert float(run.data.params["train.learning_rate"]) == chosen["learning_rate"]
    first = project.run("git", "log", "--format=%H", "--reverse").splitlines()[0]
    assert run.data.tags["commit"] == first
    assert run.data.tags["initial_weights"] == "random"
    data_dvc = YAML(typ="safe").load((project.folder / "data.dvc").read_text())
    assert run.data.tags["data"] == data_dvc["outs"][0]["md5"]
    curve = client.get_metric_history(run.info.run_id, "val_loss")
    assert len(curve) == len(pd.read_csv(project.folder / "outputs" / "train" / "history.csv"))
    assert "test/auroc" in run.data.metrics
    figures = {item.path for item in client.list_artifacts(run.info.run_id, "figures")}
    assert not [name for name in run.data.metrics if name.endswith(("_low", "_high"))]
    kept = {item.path for item in client.list_artifacts(run.info.run_id)}
    assert {"lineage.json", "report.html"} <= kept
    assert "Registered as [brain-tumor-inceptionv3 version 1]" in run.data.tags[NOTE_TAG]
    assert "| Log loss |" in run.data.tags[NOTE_TAG]
    assert {"figures/loss.png", "figures/accuracy.png", "figures/confusion_test.png"} <= figures


def test_second_repro_does_nothing(project: Project) -> None:
    before = project.run("git", "status", "--porcelain")
    assert "Data and pipelines are up to date" in project.run("dvc", "repro")
    assert project.run("git", "status", "--porcelain") == before == ""


def test_dvc_shows_metrics_and_plots(project: Project) -> None:
    shown = project.run("dvc", "metrics", "show")
    assert "test.accuracy" in shown
    assert max(len(line) for line in shown.splitlines()) <= WIDTH
    page = project.run("dvc", "plots", "show", "--out", "outputs/plots_page")
    assert "index.html" in page
    folder = project.folder / "outputs" / "plots_page"
    html = (folder / "index.html").read_text("utf-8")
    assert "http" not in html.replace("http-equiv", "")
    for figure in ("confusion_test", "roc", "reliability", "loss"):
        assert re.search(rf'<img src="static/[^"]*{figure}\.png"', html), figure
    shutil.rmtree(project.folder / "outputs" / "plots_page")


def digest_of_network(folder: Path) -> str:
    """Of its weights: the bytes of `.keras` files differ at every save."""
    from brain_tumor.model import saved

    sha = hashlib.sha256((folder / "network.json").read_bytes())
    for weight in saved.load_network(folder / "model.keras").get_weights():
        sha.update(weight.tobytes())
    return sha.hexdigest()


def test_training_never_sees_the_test_images(project: Project) -> None:
    outputs = project.folder / "outputs"
    before = digest_of_network(outputs / "train")
    split = pd.read_csv(outputs / "split.csv")
    spoil(outputs / "preprocess" / "images", list(split.loc[split["split"] == "test", "path"]))
    written = (outputs / "train" / "model.keras").stat().st_mtime_ns
    pipeline = YAML(typ="safe").load((project.folder / "dvc.yaml").read_text())
    done = run_here(pipeline["stages"]["train"]["cmd"], project.folder)
    assert done.returncode == 0, done.stderr
    assert (outputs / "train" / "model.keras").stat().st_mtime_ns > written
    assert digest_of_network(outputs / "train") == before
    project.run("dvc", "checkout", "--force")


def test_experiment_with_other_augmentation_reruns_it_and_what_follows_only(
    project: Project,
) -> None:
    output = project.run("dvc", "exp", "run", "--name", "turned", "-S", "augment.rotation_deg=3.25")
    for stage in ("validate", "split", "preprocess", "backbone"):
        assert f"Stage '{stage}' didn't change, skipping" in output
    for stage in ("augment", "tune", "train", "evaluate", "register"):
        assert f"Running stage '{stage}'" in output
    registered = project.json("outputs/registered.json")
    assert registered["version"] == "2"
    assert registered["alias"] in ("champion", "challenger")
    shown = project.run("dvc", "exp", "show", "--csv")
    assert "turned" in shown
    assert "3.25" in shown
    assert "augment.rotation_deg" in project.run("dvc", "params", "diff", "--md")
    diff = project.run("dvc", "metrics", "diff", "--all")
    assert "val.log_loss" in diff
    assert max(len(line) for line in diff.splitlines()) <= WIDTH
    project.run("dvc", "plots", "diff", "--out", "outputs/plots_page")
    shutil.rmtree(project.folder / "outputs" / "plots_page")
    project.run("git", "checkout", "--quiet", ".")
    project.run("dvc", "checkout", "--force")


def test_a_value_given_instead_of_a_tuned_one_reruns_the_study(project: Project) -> None:
    project.set_params({"train": {"learning_rate": 3e-4}})
    output = project.run("dvc", "repro", "--dry", "tune")
    assert "Stage 'augment' didn't change, skipping" in output
    assert "Running stage 'tune'" in output
    project.run("git", "checkout", "--quiet", ".")


def test_value_that_acts_on_nothing_is_refused_before_anything_trains(project: Project) -> None:
    output = project.run("dvc", "exp", "run", "-S", "train.patience=9", check=False)
    assert "error: train.patience is 9, but acts on nothing: the head is solved" in output
    assert "Running stage 'train'" not in output
    project.run("git", "checkout", "--quiet", ".")
    project.run("dvc", "checkout", "--force")


def test_killed_training_is_resumed_by_running_again(project: Project) -> None:
    from mlflow import MlflowClient

    by_hand: dict[str, float | None] = {
        "head_block": 2,
        "fine_tune_blocks": 1,
        "learning_rate": 1e-3,
    }  # no study
    by_hand |= {"dropout": 0.2, "weight_decay": 1e-2, "head_penalty": None}
    project.set_params({"train": by_hand | {"seed": 7, "head_epochs": 40, "patience": 40}})
    running = subprocess.Popen(
        ["dvc", "repro", "train"],
        cwd=project.folder,
        env=project.env | {"PATH": cold_path()},  # all of it is in the group that is killed
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    client = MlflowClient(f"sqlite:///{project.folder / 'mlruns' / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("brain-tumor")
    assert experiment is not None

    def open_runs() -> list[Any]:
        return list(client.search_runs([experiment.experiment_id], "status = 'RUNNING'"))

    deadline = time.monotonic() + 400
    while not any("val_loss" in run.data.metrics for run in open_runs()):
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.1)
    killed = open_runs()[0].info.run_id
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    output = project.run("dvc", "repro", "train")
    assert "Stage 'preprocess' didn't change, skipping" in output
    assert client.get_run(killed).info.status == "KILLED"
    assert open_runs() == []
    assert project.json("outputs/train/run.json")["run_id"] != killed
    project.run("git", "checkout", "--quiet", ".")
    project.run("dvc", "checkout", "--force")


def test_fresh_clone_pulls_syncs_and_predicts(project: Project, tmp_path: Path) -> None:
    remote = tmp_path / "remote"
    project.run("dvc", "remote", "add", "--default", "--force", "team", str(remote))
    project.commit("Add a remote")
    project.run("dvc", "push")
    clone = Project(tmp_path / "elsewhere" / "project")
    clone.folder.parent.mkdir()
    subprocess.run(
        ["git", "clone", "--quiet", project.folder, clone.folder], check=True, env=clone.env
    )
    clone.run("dvc", "pull")
    assert not (clone.folder / "mlruns" / "mlflow.db").exists()
    clone.run("brain-tumor", "registry", "sync")
    predictions = pd.read_csv(clone.folder / "outputs" / "predictions.csv").head(3)
    assert champion_says(clone, *predictions["path"]) == pytest.approx(
        list(predictions["probability"]), abs=1e-6
    )
    assert clone.run("git", "status", "--porcelain") == ""
    assert "up to date" in clone.run("dvc", "repro")
