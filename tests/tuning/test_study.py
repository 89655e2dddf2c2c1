"""A study by the real commands, with real stores: what it logs, and that it comes out alike."""

import os
import re
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

from brain_tumor.machine import repository_root
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.training import DivergedError, Fitted, OnEpoch, Start
from brain_tumor.outputs import TuneInputs
from brain_tumor.settings import TUNABLE, AugmentParams, TrainParams, TrainSection, TuneParams, load
from brain_tumor.shards import open_images
from brain_tumor.tracking import connection
from brain_tumor.tuning import study as tuning
from brain_tumor.tuning.plan import read_plan
from brain_tumor.tuning.search import open_study
from brain_tumor.tuning.storage import open_storage, storage_url
from tests.stored import spoil
from tests.tuning.project import Project, make_project

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna import Study


TRIALS = 3
TUNED = tuple(name for name in TUNABLE if name != "head_penalty")


class Store:
    """The MLflow store of a project."""

    def __init__(self, project: Project) -> None:
        from mlflow import MlflowClient

        self.client: MlflowClient = MlflowClient(
            f"sqlite:///{project.folder / 'mlruns' / 'mlflow.db'}"
        )

    def runs(self, condition: str = "") -> "list[Run]":
        """Runs that meet a condition, the oldest first."""
        experiment = self.client.get_experiment_by_name("brain-tumor")
        assert experiment is not None
        ids, order = [experiment.experiment_id], ["attributes.start_time ASC"]
        return list(self.client.search_runs(ids, condition, order_by=order))

    def parent(self) -> "Run":
        """The one run of the study."""
        (parent,) = (run for run in self.runs() if str(run.info.run_name).startswith("study: "))
        return parent

    def children(self, status: str = "FINISHED") -> "list[Run]":
        """The runs of the trials."""
        parent = self.parent().info.run_id
        condition = f"tags.`mlflow.parentRunId` = '{parent}' AND attributes.status = '{status}'"
        return self.runs(condition)

    def artifacts(self, run: "Run", folder: str = "") -> set[str]:
        """Paths of what is attached to a run."""
        return {item.path for item in self.client.list_artifacts(run.info.run_id, folder)}


@pytest.fixture(scope="module")
def untouched(random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project to copy; nothing runs in it. Its heads are trained: a trial can be killed in it."""
    project = make_project(tmp_path_factory.mktemp("study") / "untouched", random_weights)
    # Enough epochs to be met in, also by a slow observer.
    project.set_params("train", head_penalty=None, head_epochs=40, patience=40)
    return project


@pytest.fixture(scope="module")
def finished(untouched: Project) -> Project:
    """A project after a study that nobody interrupted."""
    project = untouched.copy(untouched.folder.with_name("finished"))
    (project.folder / "log.txt").write_text(project.run(project.command("tune")), "utf-8")
    return project


def outcomes(project: Project) -> pd.DataFrame:
    """trials.csv without numbers: a repeated trial has another."""
    return project.trials().drop(columns="number")


@pytest.mark.slow
@pytest.mark.first
def test_one_run_holds_a_run_for_each_trial(finished: Project) -> None:
    store = Store(finished)
    assert len(store.runs()) == 1 + TRIALS
    assert [run.data.tags["trial"] for run in store.children()] == [*map(str, range(TRIALS))]
    assert {run.info.status for run in store.runs()} == {"FINISHED"}


@pytest.mark.slow
@pytest.mark.first
def test_table_has_a_row_for_each_trial(finished: Project) -> None:
    table = finished.trials()
    assert list(table["number"]) == list(range(TRIALS))
    assert list(table.columns) == ["number", "state", "value", "folds", "value_so_far", *TUNED]
    assert set(table["state"]) <= {"complete", "pruned"}
    assert table.loc[table["state"] == "complete", "value"].notna().all()


@pytest.mark.slow
@pytest.mark.first
def test_runs_of_trials_hold_what_was_tried_and_how_it_went(finished: Project) -> None:
    table, store = finished.trials(), Store(finished)
    for run, row in zip(store.children(), table.itertuples(), strict=True):
        params, tags = run.data.params, run.data.tags
        assert "tuned" not in params.values()
        tried = {name: float(params[f"train.{name}"]) for name in TUNED}
        assert tried == pytest.approx({name: getattr(row, name) for name in TUNED})
        assert not [name for name in params if name.startswith(("tune.", "register.", "drift."))]
        assert tags["trial.state"] == row.state
        curve = store.client.get_metric_history(run.info.run_id, "val_loss")
        assert [point.step for point in curve] == list(range(1, len(curve) + 1))
        assert len(curve) >= 1
        if row.state == "complete":
            assert run.data.metrics["val/log_loss"] == row.value
        else:
            assert "val/log_loss" not in run.data.metrics
            assert tags["trial.note"].startswith("pruned after ")


@pytest.mark.slow
@pytest.mark.first
def test_runs_of_trials_lead_to_what_made_them(finished: Project) -> None:
    store = Store(finished)
    assert "lineage.json" in store.artifacts(store.parent())
    locks = set()
    for run in [store.parent(), *store.children()]:
        tags = run.data.tags
        locks.add(tags["lock"])
        assert {"data", "commit", "initial_weights"} <= set(tags)
        assert (tags["stage"], tags["study"]) == ("tune", finished.best()["study"])
        assert run.info.end_time > run.info.start_time
    assert len(locks) == 1


@pytest.mark.slow
@pytest.mark.first
def test_trials_leave_no_model_or_other_file(finished: Project) -> None:
    store = Store(finished)
    assert [store.artifacts(run) for run in store.children()] == [set()] * TRIALS
    assert not list(finished.folder.rglob("*.keras"))


@pytest.mark.slow
@pytest.mark.first
def test_run_of_the_study_holds_result_and_figures(finished: Project) -> None:
    store, best = Store(finished), finished.best()
    parent = store.parent()
    assert parent.data.metrics["val/log_loss"] == best["value"]
    assert parent.data.tags["best.trial"] == str(best["trial"])
    chosen = {name: float(parent.data.tags[f"best.{name}"]) for name in best["params"]}
    assert chosen == pytest.approx(best["params"])
    assert {"figures/history.png", "figures/learning_rate.png"} <= store.artifacts(
        parent, "figures"
    )
    assert store.artifacts(parent, "study") == {"study/trials.csv"}
    shares = [v for key, v in parent.data.metrics.items() if key.startswith("importance/")]
    assert bool(shares) == ("figures/importances.png" in store.artifacts(parent, "figures"))
    if shares:
        assert sum(shares) == pytest.approx(1.0)
    curve = store.client.get_metric_history(parent.info.run_id, "best")
    assert curve[-1].value == best["value"]
    assert parent.inputs is not None
    assert [given.dataset.name for given in parent.inputs.dataset_inputs] == ["brain-mri"]


@pytest.mark.slow
@pytest.mark.first
def test_best_is_the_lowest_of_the_completed_trials(finished: Project) -> None:
    best, table = finished.best(), finished.trials()
    complete = table[table["state"] == "complete"]
    winner = complete.iloc[int(complete["value"].argmin())]
    assert (best["trial"], best["value"]) == (winner["number"], winner["value"])
    assert best["params"] == pytest.approx({name: winner[name] for name in TUNED})
    assert (best["objective"], best["complete"]) == ("log_loss", len(complete))
    assert best["complete"] + best["pruned"] == TRIALS


@pytest.mark.slow
@pytest.mark.first
def test_progress_is_told_in_a_line_per_trial(finished: Project) -> None:
    log = (finished.folder / "log.txt").read_text("utf-8")
    lines = [line for line in log.splitlines() if re.match(rf"\d+/{TRIALS}: trial ", line)]
    assert [line.partition("/")[0] for line in lines] == ["1", "2", "3"]
    assert "best" in lines[-1]


@pytest.mark.slow
@pytest.mark.first
def test_training_with_what_was_chosen_gives_the_value_of_the_trial(finished: Project) -> None:
    from brain_tumor.model import metrics, saved

    finished.run_here("train")
    outputs = finished.folder / "outputs"
    table = pd.read_csv(outputs / "split.csv")
    val = table[table["split"] == "val"]
    images = open_images(outputs / "preprocess" / "images", list(val["path"]))
    network = saved.load_network(outputs / "train" / "model.keras")
    truth = (val["label"] == "yes").to_numpy().astype(np.int64)
    loss = metrics.log_loss(truth, saved.predict_proba(network, images))
    best = finished.best()
    assert loss == pytest.approx(best["value"], rel=1e-6, abs=1e-6)
    held_out = pd.read_csv(outputs / "tuning" / "out_of_fold.csv")
    assert list(held_out["path"]) == list(val["path"])
    loss_out_of_fold = metrics.log_loss(
        held_out["y"].to_numpy(), held_out["probability"].to_numpy()
    )
    assert loss_out_of_fold == pytest.approx(best["value"], rel=1e-6, abs=1e-6)

    (run,) = Store(finished).runs("tags.stage = 'train'")
    assert run.info.status == "FINISHED"
    assert run.data.tags["study"] == best["study"]
    assert run.data.tags["study.trial"] == str(best["trial"])
    assert "tuned" not in run.data.params.values()
    filled = {name: float(run.data.params[f"train.{name}"]) for name in best["params"]}
    assert filled == pytest.approx(best["params"])


@pytest.mark.slow
@pytest.mark.first
def test_test_images_decide_nothing(finished: Project, untouched: Project) -> None:
    blind = untouched.copy(untouched.folder.with_name("blind"))
    outputs = blind.folder / "outputs"
    table = pd.read_csv(outputs / "split.csv")
    of_test = table["split"] == "test"
    spoil(outputs / "preprocess" / "images", list(table.loc[of_test, "path"]))
    table.loc[of_test, "label"] = table.loc[of_test, "label"].map({"no": "yes", "yes": "no"})
    table.to_csv(outputs / "split.csv", index=False)

    blind.run_here("tune")
    assert blind.best() == finished.best()
    assert blind.output("trials.csv") == finished.output("trials.csv")


@pytest.mark.slow
@pytest.mark.first
def test_study_killed_in_a_trial_goes_on_as_if_it_had_not_been(
    finished: Project, untouched: Project
) -> None:
    project = untouched.copy(untouched.folder.with_name("killed"))
    kill_in_trial(project, 2)
    store = Store(project)
    parent = store.parent().info.run_id
    project.run_here("tune")

    assert outcomes(project).equals(outcomes(finished))
    for key in ("study", "value", "params", "complete", "pruned"):
        assert project.best()[key] == finished.best()[key]
    assert (store.parent().info.run_id, store.parent().info.status) == (parent, "FINISHED")
    assert len(store.children()) == len(project.trials()) == TRIALS
    assert [run.data.tags["trial"] for run in store.children("KILLED")] == ["2"]
    assert store.runs("attributes.status = 'RUNNING'") == []


def kill_in_trial(project: Project, number: int) -> None:
    """Start the stage and kill it while that trial trains."""
    process = project.start(project.command("tune"))
    assert process.stdout is not None
    try:
        # Until then the stage makes its stores, in which nobody else should have a hand.
        assert any(line.startswith(f"{number}/{TRIALS}: ") for line in process.stdout)
        while not is_training(Store(project), number):
            assert process.poll() is None
            time.sleep(0.05)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()


def is_training(store: Store, number: int) -> bool:
    """Whether that trial has a run that is open and has seen an epoch."""
    condition = f"tags.trial = '{number}' AND attributes.status = 'RUNNING'"
    return any("val_loss" in run.data.metrics for run in store.runs(condition))


@pytest.mark.slow
@pytest.mark.first
def test_finished_study_is_left_as_it_is(finished: Project) -> None:
    store = Store(finished)
    runs = {run.info.run_id for run in store.runs()}
    names = ("best.json", "trials.csv", "figures/history.png", "figures/learning_rate.png")
    before = {name: finished.output(name) for name in names}
    output = finished.run_here("tune")
    assert {name: finished.output(name) for name in names} == before
    assert {run.info.run_id for run in store.runs()} == runs
    assert store.parent().info.status == "FINISHED"
    assert "trial " not in output


@pytest.mark.slow
@pytest.mark.first
def test_more_trials_are_added_to_those_that_are_there(finished: Project) -> None:
    before = finished.trials()
    finished.set_params("tune", n_trials=TRIALS + 1)
    finished.run_here("tune")
    after = finished.trials()
    assert len(after) == TRIALS + 1
    pd.testing.assert_frame_equal(after.head(TRIALS), before)
    store, best = Store(finished), finished.best()
    assert len(store.children()) == TRIALS + 1
    complete = after[after["state"] == "complete"]
    assert best["value"] == complete["value"].min() == store.parent().data.metrics["val/log_loss"]
    assert store.parent().data.tags["best.trial"] == str(best["trial"])


@pytest.mark.slow
@pytest.mark.first
def test_second_worker_shares_the_study(finished: Project) -> None:
    wanted = len(finished.trials()) + 4
    finished.set_params("tune", n_trials=wanted)
    stage = finished.start(finished.command("tune"))
    worker = finished.start(finished.worker())
    output, _ = stage.communicate(timeout=400)
    text, _ = worker.communicate(timeout=400)
    assert stage.returncode == 0, output
    assert worker.returncode == 0, text

    store = Store(finished)
    assert wanted <= len(store.children()) <= wanted + 1
    assert len({run.data.tags["trial"] for run in store.children()}) == len(store.children())
    assert len({run.data.tags["process.id"] for run in store.children()[-4:]}) == 2
    assert store.runs("attributes.status = 'RUNNING'") == []
    assert store.parent().info.status == "FINISHED"
    ended = re.search(rf"{finished.best()['study']}: this worker ended (\d+) trials", text)
    assert ended is not None
    assert 1 <= int(ended[1]) <= 4


@pytest.mark.slow
@pytest.mark.first
def test_worker_without_a_study_says_what_to_do(untouched: Project) -> None:
    project = untouched.copy(untouched.folder.with_name("alone"))
    output = project.run(project.worker(), code=1)
    (error,) = (line for line in output.splitlines() if line.startswith("error: "))
    assert re.search(r"optuna\.db: there is no storage of a search: .*`dvc repro tune`", error)
    assert "Traceback" not in output


@pytest.mark.slow
@pytest.mark.first
def test_folds_and_auroc_work_from_end_to_end(untouched: Project) -> None:
    project = untouched.copy(untouched.folder.with_name("folds"))
    project.set_params("tune", folds=2, objective="auroc", n_trials=1)
    project.run_here("tune")
    best, store = project.best(), Store(project)
    table = project.trials()
    assert list(table["state"]) == ["complete"]
    assert (best["objective"], best["value"]) == ("auroc", table["value"][0])
    assert store.parent().data.metrics["val/auroc"] == best["value"]
    for run, value in zip(store.children(), table["value"], strict=True):
        history = store.client.get_metric_history(run.info.run_id, "fold/auroc")
        assert len(history) == 2
        assert np.mean([point.value for point in history]) == pytest.approx(value)
        assert {"fold1/val_loss", "fold2/val_loss"} <= set(run.data.metrics)
        assert 0.0 <= value <= 1.0


Training = Callable[[int], list[float]]


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return make_project(tmp_path_factory.mktemp("trial") / "original")


@pytest.fixture
def project(original: Project, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    """A copy with a store of its own, in which the tests work as a stage does."""
    copied = original.copy(tmp_path / "project")
    monkeypatch.chdir(copied.folder)
    monkeypatch.setenv("DVC_ROOT", str(copied.folder))
    monkeypatch.setattr(tuning, "prepare_features", lambda _: None)
    monkeypatch.setattr(tuning, "save_figures", lambda *_: [])
    return copied


def train_as(monkeypatch: pytest.MonkeyPatch, training: Training) -> None:
    """Have the training number n (from 0) go through these losses: the head's, then fine-tuning."""
    count = -1

    def fit(start: Start, data: TrainingData, params: TrainParams, on_epoch: OnEpoch) -> Fitted:
        nonlocal count
        count += 1
        losses = training(count)
        for epoch, loss in enumerate(losses, 1):
            on_epoch(epoch, {"epoch": epoch, "fine_tuning": float(epoch > 1), "val_loss": loss})
        truth = data.labels[data.val]
        probability = np.abs(truth - 1 + np.exp(-min(losses))).astype(np.float64)
        return Fitted([], None, [], probability)

    monkeypatch.setattr("brain_tumor.model.recipe.fit", fit)


def run_study(**changes: Any) -> "Study":
    path = Path("params.yaml")
    tune = load(path, "tune", TuneParams).model_copy(update=changes)
    section, augment = load(path, "train", TrainSection), load(path, "augment", AugmentParams)
    plan = read_plan(TuneInputs(), section, tune, augment)
    outcome = tuning.run_study(plan, Path("outputs") / "tuning" / "figures")
    storage = open_storage(storage_url(repository_root()))
    study = open_study(storage, plan.name, tune, create=False)
    assert (outcome.best.study, len(outcome.trials)) == (study.study_name, tune.n_trials)
    return study


def runs(name: str = "") -> "list[Run]":
    client = connection.connect()
    of_experiment = client.search_runs(
        [connection.experiment_id(client)], order_by=["attributes.start_time ASC"]
    )
    return [run for run in of_experiment if (run.info.run_name or "").startswith(name)]


def states() -> list[str]:
    return [run.info.status for run in runs("trial")]


@pytest.mark.slow
def test_better_trial_of_a_study_that_goes_on_replaces_the_best(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda number: [1.0 / (1 + number)])
    run_study(n_trials=2, pruner="none")
    (before,) = runs("study")
    study = run_study(n_trials=3, pruner="none")
    (after,) = runs("study")
    assert after.info.run_id == before.info.run_id
    assert (before.data.tags["best.trial"], after.data.tags["best.trial"]) == ("1", "2")
    best = study.best_trial
    penalty = after.data.tags["best.head_penalty"]
    assert penalty == str(best.params["head_penalty"]) != before.data.tags["best.head_penalty"]
    assert after.data.metrics["val/log_loss"] == best.value == pytest.approx(1 / 3)


@pytest.mark.slow
def test_trial_is_given_up_after_the_folds_in_which_it_was_worse_and_its_run_says_where(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.5, 0.4] if training < 4 else [0.45])
    study = run_study(n_trials=3, startup_trials=2, pruner="median", folds=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    last = runs("trial 2")[0]
    assert (last.info.status, last.data.tags["trial.state"]) == ("FINISHED", "pruned")
    assert last.data.tags["trial.note"] == "pruned after 1 of 2 folds"
    assert "val/log_loss" not in last.data.metrics


@pytest.mark.slow
def test_one_fold_has_no_part_to_be_given_up_by(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.1 * (1 + training)])
    study = run_study(n_trials=4, startup_trials=1, pruner="median", folds=1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4


@pytest.mark.slow
def test_auroc_is_maximised_and_pruned_by_itself(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.3] if training < 4 else [0.9])
    study = run_study(n_trials=3, startup_trials=2, objective="auroc", folds=2)
    assert study.direction.name == "MAXIMIZE"
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert study.trials[0].intermediate_values == {1: 1.0, 2: 1.0}
    assert study.trials[2].intermediate_values == {1: 0.0}
    assert study.best_value == 1.0


@pytest.mark.slow
def test_training_that_diverges_counts_as_pruned(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(number: int) -> list[float]:
        if number == 1:
            raise DivergedError("training diverged in epoch 3")
        return [0.5]

    train_as(monkeypatch, training)
    study = run_study(n_trials=3, pruner="none")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert states() == ["FINISHED"] * 3
    assert runs("trial 1")[0].data.tags["trial.note"] == "training diverged in epoch 3"


@pytest.mark.slow
def test_study_in_which_every_training_diverges_says_so(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(number: int) -> list[float]:
        raise DivergedError("training diverged")

    train_as(monkeypatch, training)
    with pytest.raises(ValueError, match="no trial has run to its end"):
        run_study(n_trials=2)
    assert [run.info.status for run in runs("study")] == ["FAILED"]
    assert states() == ["FINISHED"] * 2


@pytest.mark.slow
def test_error_in_a_training_stops_the_study_which_can_go_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(number: int) -> list[float]:
        if number == 1:
            raise MemoryError("no memory")
        return [0.5]

    train_as(monkeypatch, training)
    with pytest.raises(MemoryError):
        run_study(n_trials=3, pruner="none")
    assert states() == ["FINISHED", "FAILED"]
    assert [run.info.status for run in runs("study")] == ["FAILED"]
    study = run_study(n_trials=3, pruner="none")
    assert sum(trial.state.name == "COMPLETE" for trial in study.trials) == 3
    assert states() == ["FINISHED", "FAILED", "FINISHED", "FINISHED"]
    assert [run.info.status for run in runs("study")] == ["FINISHED"]


@pytest.mark.slow
def test_folds_are_averaged_and_reported_one_by_one(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda number: [(0.2, 0.4, 0.9)[number]])
    (trial,) = run_study(n_trials=1, folds=3, pruner="none").trials
    assert trial.value == pytest.approx(0.5)
    assert trial.intermediate_values == pytest.approx({1: 0.2, 2: 0.3, 3: 0.5})


@pytest.mark.slow
def test_study_whose_run_was_deleted_gets_another(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda _: [0.5])
    run_study(n_trials=1)
    (first,) = runs("study")
    connection.connect().delete_run(first.info.run_id)
    run_study(n_trials=1)
    (second,) = runs("study")
    assert second.info.run_id != first.info.run_id
    assert second.info.status == "FINISHED"
