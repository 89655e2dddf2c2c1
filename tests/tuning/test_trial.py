"""What trials and their study say to MLflow and to the pruner; the training is a stand-in."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Fitted, Start
from brain_tumor.model.phase import DivergedError, OnEpoch
from brain_tumor.model.search.storage import open_storage, storage_url
from brain_tumor.model.search.study import open_study
from brain_tumor.outputs import TuneInputs
from brain_tumor.repository import repository_root
from brain_tumor.settings import AugmentParams, TrainParams, TrainSection, TuneParams, load
from brain_tumor.tracking import store
from brain_tumor.tuning import study as tuning
from brain_tumor.tuning.plan import read_plan

if TYPE_CHECKING:
    from mlflow.entities import Run
    from optuna import Study
    from tests.tuning.conftest import Project

pytestmark = pytest.mark.slow
Training = Callable[[int], list[float]]


@pytest.fixture(scope="module")
def original(
    make_project: Callable[[Path, Path], "Project"], tmp_path_factory: pytest.TempPathFactory
) -> "Project":
    folder = tmp_path_factory.mktemp("trial")
    weights = folder / "some.weights.h5"
    weights.write_bytes(b"weights")
    return make_project(folder / "original", weights)


@pytest.fixture
def project(original: "Project", tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> "Project":
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

    def fit(
        start: Start,
        data: TrainingData,
        params: TrainParams,
        on_epoch: OnEpoch,
    ) -> Fitted:
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
    found = tuning.run_study(plan, Path("outputs") / "tuning" / "figures")
    storage = open_storage(storage_url(repository_root()))
    study = open_study(storage, plan.name, tune, create=False)
    assert (found.best.study, len(found.trials)) == (study.study_name, tune.n_trials)
    return study


def runs(name: str = "") -> "list[Run]":
    client = store.connect()
    found = client.search_runs(
        [store.experiment_id(client)], order_by=["attributes.start_time ASC"]
    )
    return [run for run in found if (run.info.run_name or "").startswith(name)]


def states() -> list[str]:
    return [run.info.status for run in runs("trial")]


def test_better_trial_of_a_study_that_goes_on_replaces_the_best(
    project: "Project", monkeypatch: pytest.MonkeyPatch
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


def test_trial_is_given_up_after_the_folds_in_which_it_was_worse_and_its_run_says_where(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.5, 0.4] if training < 4 else [0.45])
    study = run_study(n_trials=3, startup_trials=2, pruner="median", folds=2)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    last = runs("trial 2")[0]
    assert (last.info.status, last.data.tags["trial.state"]) == ("FINISHED", "pruned")
    assert last.data.tags["trial.note"] == "pruned after 1 of 2 folds"
    assert "val/log_loss" not in last.data.metrics


def test_one_fold_has_no_part_to_be_given_up_by(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.1 * (1 + training)])
    study = run_study(n_trials=4, startup_trials=1, pruner="median", folds=1)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE"] * 4


def test_auroc_is_maximised_and_pruned_by_itself(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda training: [0.3] if training < 4 else [0.9])
    study = run_study(n_trials=3, startup_trials=2, objective="auroc", folds=2)
    assert study.direction.name == "MAXIMIZE"
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "COMPLETE", "PRUNED"]
    assert study.trials[0].intermediate_values == {1: 1.0, 2: 1.0}
    assert study.trials[2].intermediate_values == {1: 0.0}
    assert study.best_value == 1.0


def test_training_that_diverges_counts_as_pruned(
    project: "Project", monkeypatch: pytest.MonkeyPatch
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


def test_study_in_which_every_training_diverges_says_so(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    def training(number: int) -> list[float]:
        raise DivergedError("training diverged")

    train_as(monkeypatch, training)
    with pytest.raises(ValueError, match="no trial has run to its end"):
        run_study(n_trials=2)
    assert [run.info.status for run in runs("study")] == ["FAILED"]
    assert states() == ["FINISHED"] * 2


def test_error_in_a_training_stops_the_study_which_can_go_on(
    project: "Project", monkeypatch: pytest.MonkeyPatch
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


def test_folds_are_averaged_and_reported_one_by_one(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda number: [(0.2, 0.4, 0.9)[number]])
    (trial,) = run_study(n_trials=1, folds=3, pruner="none").trials
    assert trial.value == pytest.approx(0.5)
    assert trial.intermediate_values == pytest.approx({1: 0.2, 2: 0.3, 3: 0.5})


def test_study_whose_run_was_deleted_gets_another(
    project: "Project", monkeypatch: pytest.MonkeyPatch
) -> None:
    train_as(monkeypatch, lambda _: [0.5])
    run_study(n_trials=1)
    (first,) = runs("study")
    store.connect().delete_run(first.info.run_id)
    run_study(n_trials=1)
    (second,) = runs("study")
    assert second.info.run_id != first.info.run_id
    assert second.info.status == "FINISHED"
