"""Retraining in CI, rehearsed without GitHub: the steps of retrain.yml in fresh clones.

A bare git remote, a DVC remote in a folder, no MLflow server: the store travels as an artifact.
The tests of this module share one history and run in the order they stand in.
"""

import json
import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brain_tumor.data.phantom.folder import generate
from brain_tumor.settings import PhantomParams, load
from tests.ci.actions import Run, play
from tests.small_project import Project, champion_says, copy_trained

pytestmark = [pytest.mark.slow, pytest.mark.first]

DATA = ("data.dvc",)
BY_HAND = {"head_block": 2, "fine_tune_blocks": 0, "learning_rate": 1e-2}  # no study
BY_HAND |= {"dropout": 0.0, "weight_decay": 1e-3, "head_penalty": 0.1, "head_epochs": 5}
SMALL: dict[str, dict[str, Any]] = {
    "calibrate": {"sensitivity": 0.6},
    # Random weights and a few validation images beat no guess for sure: the first is forced.
    "register": {"min_images_per_class": 2, "force": True},
    "drift": {"min_clusters": 5},
}


class Team:
    """A bare git remote, a DVC remote in a folder, somebody's laptop, and CI."""

    def __init__(self, trained: Project, folder: Path) -> None:
        self.folder = folder
        self.origin, self.storage = folder / "origin.git", folder / "dvc-remote"
        self.laptop = copy_trained(trained, folder / "laptop")
        self.store = folder / "last-store"
        self.runs = 0
        self.laptop.set_params(SMALL)
        self.laptop.run("git", "init", "--quiet", "--bare", "-b", "main", str(self.origin))
        self.laptop.run("git", "remote", "add", "origin", str(self.origin))
        self.laptop.run("dvc", "remote", "add", "--default", "team", str(self.storage))

    def publish(self, message: str, branch: str = "main", pushed: Sequence[str] = DATA) -> str:
        """Commit and push everything, data too, from the laptop; the commit."""
        self.laptop.commit(message)
        self.laptop.run("dvc", "push", "--quiet", *pushed)
        self.laptop.run("git", "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
        return self.laptop.run("git", "rev-parse", "HEAD").strip()

    def ci(
        self, event: str, base: str, branch: str = "main", *, fork: bool = False
    ) -> tuple[Run, Project]:
        """A run of retrain.yml in fresh clones; its jobs' checkouts are thrown away by GitHub."""
        self.runs += 1
        folder = self.folder / f"run-{self.runs}"
        run = Run(event, base, branch, folder / "artifacts", self.store, fork)
        checkout = self.clone(folder / "retrain", branch)
        play("retrain.yml", "retrain", checkout, run)
        if run.failed is None and not fork:
            play("retrain.yml", "record", self.clone(folder / "record", branch), run)
        if run.failed is None and event == "push":
            shutil.rmtree(self.store, ignore_errors=True)
            shutil.copytree(run.artifacts / "mlflow-store", self.store)
        return run, checkout

    def clone(self, folder: Path, branch: str) -> Project:
        """A fresh clone at the head of a branch of origin."""
        project = Project(folder)
        folder.parent.mkdir(parents=True, exist_ok=True)
        self.laptop.run("git", "clone", "--quiet", "-b", branch, str(self.origin), str(folder))
        return project

    def catch_up(self, branch: str = "main") -> str:
        """The laptop takes over what origin has; the commit."""
        self.laptop.run("git", "fetch", "--quiet", "origin")
        self.laptop.run("git", "checkout", "--quiet", "-B", branch, f"origin/{branch}")
        self.laptop.run("dvc", "pull", "--quiet", "--force")
        return self.laptop.run("git", "rev-parse", "HEAD").strip()

    def more(self, seed: int, count: int) -> Path:
        """A folder with class folders of phantoms nobody has seen, in larger pictures."""
        folder = self.folder / f"more-{seed}"
        recorded = load(self.laptop.folder / "params.yaml", "phantom", PhantomParams)
        larger = {"seed": seed, "no": count, "yes": count, "canvas_px": (320, 400)}
        larger |= {"exact_duplicates": 0, "near_duplicates": 0}
        generate(folder, recorded.model_copy(update=larger), "no", "yes")
        for image in [*(folder / "no").iterdir(), *(folder / "yes").iterdir()]:
            image.rename(image.with_name(f"site{seed}-{image.name}"))
        return folder


@pytest.fixture(scope="module")
def team(trained: Project, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """Somebody has trained on a laptop, and wants another threshold."""
    team = Team(trained, tmp_path_factory.mktemp("team"))
    team.publish("Another threshold", pushed=())  # and all outputs
    return team


def champion(store: Path) -> str:
    """Number of the champion in a store."""
    from mlflow import MlflowClient

    assert (store / "mlflow.db").is_file()
    client = MlflowClient(f"sqlite:///{store / 'mlflow.db'}")
    return str(client.get_model_version_by_alias("brain-tumor-inceptionv3", "champion").version)


def split_of(project: Project) -> dict[str, str]:
    """Path to split."""
    table = pd.read_csv(project.folder / "outputs" / "split.csv")
    return dict(zip(table["path"], table["split"], strict=True))


def test_first_run_on_main_registers_a_champion_and_records_its_results(team: Team) -> None:
    trained = team.laptop.json("outputs/train/run.json")
    run, checkout = team.ci("push", base="0" * 40)
    assert run.failed is None, run.log
    for stage in ("augment", "backbone", "tune", "train"):
        assert f"Stage '{stage}' didn't change, skipping" in run.log
    for stage in ("calibrate", "evaluate", "export", "report", "register"):
        assert f"Running stage '{stage}'" in run.log
    assert checkout.json("outputs/train/run.json") == trained
    threshold = checkout.json("outputs/calibrate/calibration.json")["threshold"]
    assert checkout.json("outputs/report/card.json")["model"]["threshold"] == threshold
    assert champion(run.artifacts / "mlflow-store") == "1"
    assert "brain-tumor-inceptionv3 version 1 is @champion" in run.summary
    assert "nothing to compare with" in run.summary
    assert "pushed to team" in run.log
    team.catch_up()
    assert "Record the results of" in team.laptop.run("git", "log", "-1", "--format=%s")
    assert "up to date" in team.laptop.run("dvc", "repro", "--dry")
    assert team.laptop.json("outputs/metrics.json") == checkout.json("outputs/metrics.json")


def test_new_images_in_a_pull_request_are_reported_and_trained_on(team: Team) -> None:
    base = team.catch_up()
    before = split_of(team.laptop)
    folder = team.more(seed=7, count=8)
    for label in ("no", "yes"):
        team.laptop.run("brain-tumor", "data", "add", str(folder / label), "--label", label)
    team.laptop.set_params({"register": {"force": False}, "train": BY_HAND})
    team.publish("Add images of another site", "more-images")
    run, checkout = team.ci("pull_request", base, "more-images")
    assert run.failed is None, run.log
    assert "**16 added**" in run.report
    assert "| `yes/` | 12 | 20 |" in run.report
    assert "`yes/site7-" in run.report
    assert "16 images are new to the champion (models:/brain-tumor-inceptionv3/1)" in run.report
    assert "- **Warning**: images are larger" in run.report
    assert "![drift.png](figures/drift.png)" in run.report
    assert "![" not in run.summary
    assert "| `backbone` | unchanged |" in run.report
    assert "| `train` | new result |" in run.report
    assert "version 2 would" in run.summary.splitlines()[0]
    assert champion(run.artifacts / "mlflow-store") == "1"
    after = split_of(checkout)
    assert {path: after[path] for path in before} == before
    assert set(after.values()) == {"train", "val", "test"}
    keep_example(run)


def test_merging_it_trains_nothing_again_and_applies_the_rule(team: Team) -> None:
    base = team.catch_up()
    team.laptop.run("git", "merge", "--quiet", "--ff-only", "origin/more-images")
    team.laptop.run("git", "push", "--quiet", "origin", "main")
    run, _ = team.ci("push", base)
    assert run.failed is None, run.log
    assert "Running stage" not in run.log
    promotion = json.loads((run.artifacts / "report" / "promotion.json").read_text())
    assert promotion["uri"] == "models:/brain-tumor-inceptionv3/2"
    assert champion(run.artifacts / "mlflow-store") == (
        "2" if promotion["alias"] == "champion" else "1"
    )
    assert promotion["decision"]["reason"] in run.summary
    assert "nothing to record" in run.log


def test_bad_data_stop_before_training_and_are_named(team: Team) -> None:
    base = team.catch_up()
    holds = champion(team.store)
    data = team.laptop.folder / "data"
    [first, *_] = sorted((data / "no").glob("*.png"))
    shutil.copy(first, data / "yes" / "twin.png")
    (data / "no" / "broken.png").write_bytes(first.read_bytes()[:200])
    team.laptop.run("dvc", "add", "--quiet", "data")
    team.publish("Add what nobody looked at", "bad-images")
    run, checkout = team.ci("pull_request", base, "bad-images")
    assert run.failed == "Retrain"
    assert run.summary.startswith("# Stopped before training")
    for name in ("`no/broken.png`: broken image", "`yes/twin.png`: same bytes as no/"):
        assert name in run.summary
    assert "## Metrics" not in run.summary
    assert "Running stage 'split'" not in run.log
    assert not (run.artifacts / "report" / "results.patch").exists()
    assert champion(checkout.folder / "mlruns") == champion(team.store) == holds
    assert "Record" not in team.laptop.run("git", "log", "-1", "--format=%s", "origin/bad-images")


def test_a_lost_class_stops_too(team: Team) -> None:
    base = team.catch_up()
    shutil.rmtree(team.laptop.folder / "data" / "yes")
    team.laptop.run("dvc", "add", "--quiet", "data")
    team.publish("Lose the tumours", "lost-class")
    holds = champion(team.store)
    run, checkout = team.ci("push", base, "lost-class")
    assert run.failed == "Retrain"
    assert "`yes/`: class folder is missing or empty" in run.summary
    assert "20 removed" in run.summary
    assert champion(checkout.folder / "mlruns") == holds


def test_a_fork_cannot_reach_the_data_and_the_report_says_where_it_stopped(team: Team) -> None:
    base = team.catch_up()
    hidden = team.storage.rename(team.folder / "out-of-reach")
    run, _ = team.ci("pull_request", base, fork=True)
    hidden.rename(team.storage)
    assert run.failed == "Restore what can be had without access"
    assert "data is missing" in run.log
    assert run.summary.startswith("# Stopped: stage validate did not finish")


def test_old_data_bring_back_the_old_model(team: Team) -> None:
    team.catch_up()
    laptop = team.laptop
    shutil.rmtree(laptop.folder / "mlruns" / "artifacts", ignore_errors=True)
    shutil.copytree(team.store, laptop.folder / "mlruns", dirs_exist_ok=True)
    laptop.run("brain-tumor", "registry", "promote", "--force")
    assert champion(laptop.folder / "mlruns") == "2"
    [first] = laptop.run("git", "log", "--format=%h", "--grep=Record").split()[-1:]
    laptop.run("git", "checkout", "--quiet", first)
    laptop.run("dvc", "checkout", "--quiet", "--force")
    assert len(list((laptop.folder / "data").glob("*/*.png"))) == 24
    assert "up to date" in laptop.run("dvc", "repro", "--dry")
    assert "models:/brain-tumor-inceptionv3/1 " in laptop.run("brain-tumor", "registry", "sync")
    said = laptop.run("brain-tumor", "registry", "promote", "--force")
    assert said.startswith("models:/brain-tumor-inceptionv3/1 is @champion")
    predictions = pd.read_csv(laptop.folder / "outputs" / "predictions.csv").head(3)
    assert champion_says(laptop, *predictions["path"]) == pytest.approx(
        list(predictions["probability"]), abs=1e-6
    )


def keep_example(run: Run) -> None:
    """Copy the report to where docs/retraining.md shows it, if asked to."""
    if target := os.environ.get("EXAMPLE_REPORT"):
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(run.artifacts / "report", target)
        for name in ("results.patch", "summary.md", "drift.json"):
            (Path(target) / name).unlink()
