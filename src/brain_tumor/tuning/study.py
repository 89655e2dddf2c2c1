"""The study of stage tune: its trials, run and logged."""

import itertools
import sys
import tempfile
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import optuna
import pandas as pd
from optuna import Study, Trial
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial

from brain_tumor.errors import UserError
from brain_tumor.machine import repository_root
from brain_tumor.model.recipe import fit_folds
from brain_tumor.model.training import Epoch
from brain_tumor.outputs import Best
from brain_tumor.tracking.runs import (
    Run,
    close_run,
    create_run,
    curves,
    discard_run,
    resume_run,
    shared,
    start_run,
    training_name,
    trials_note,
)
from brain_tumor.tuning import search
from brain_tumor.tuning.figures import importances, save_figures
from brain_tumor.tuning.plan import Plan, prepare_features
from brain_tumor.tuning.search import open_study, progress_line, run, suggest
from brain_tumor.tuning.storage import (
    best_trial,
    claim,
    explaining,
    finished_trials,
    open_present_storage,
    open_storage,
    original_number,
    storage_url,
)

RUN_ATTRIBUTE = "mlflow.run_id"


def run_trial(trial: Trial, plan: Plan, parent: str) -> float:
    """Train with the values of a trial; log it; return the objective on validation images.

    `parent` is the id of the study's run.

    Raises:
        optuna.TrialPruned: it is worse than others were at that point, or diverged.
    """
    values = suggest(trial, plan.tune.space, plan.section.tuned)
    params = plan.section.resolve(values)
    logged = plan.trial_params(params)
    number = original_number(trial.study.get_trials(deepcopy=False)[trial.number])
    tags = {**plan.tags, "stage": "tune", "trial": str(number)}
    objective, folds = plan.tune.objective, len(plan.data)
    name = f"trial {number}: {training_name(params.model_dump())}"
    with start_run(name, logged, tags, parent) as run:
        trial.set_user_attr(RUN_ATTRIBUTE, run.run_id)
        run.set_tags({"trial.state": "running"})

        def on_epoch(fold: int, epoch: int, row: Epoch) -> None:
            prefix = f"fold{fold}/" if folds > 1 else ""
            run.log_epoch(epoch, {f"{prefix}{key}": value for key, value in curves(row).items()})

        def on_fold(fold: int, score: float) -> None:
            run.log_epoch(fold, {f"fold/{objective}": score})
            if folds > 1:
                place = f"trial {trial.number}, fold {fold} of {folds}"
                _tell(f"  {place}: {objective} {score:.3g}")

        try:
            value = fit_folds(trial, plan.start, plan.data, params, objective, on_epoch, on_fold)
        except optuna.TrialPruned as error:
            run.set_tags({"trial.state": "pruned", "trial.note": str(error)})
            run.describe(None, f"Given up: {error}.")
        else:
            run.log_metrics({f"val/{objective}": value})
            run.set_tags({"trial.state": "complete"})
            run.describe(None, f"Complete: {objective.replace('_', ' ')} {value:.4f}.")
            return value
    raise optuna.TrialPruned


@dataclass(frozen=True)
class Outcome:
    """The result of a study when its trials were there; other workers may still add to it."""

    best: Best
    trials: pd.DataFrame
    held_out: list[list[float]]  # probability of the rows that each fold of `best` holds out


def run_study(plan: Plan, figures: Path) -> Outcome:
    """Run the study to its end, or go on where it was interrupted.

    Its figures are written to a folder and attached to its run.

    Raises:
        UserError: the storage cannot be reached, or no trial was completed.
        StoreError: the MLflow server cannot be reached.
    """
    storage = open_storage(storage_url(repository_root()))
    with explaining(storage.engine.url):
        study = open_study(storage, plan.name, plan.tune, create=True)
        return _conclude(study, plan, _parent_run(storage, study, plan), figures)


def _conclude(study: Study, plan: Plan, run: Run, figures: Path) -> Outcome:
    with shared(run) as parent:
        _run_trials(study, plan, parent)
        best = search.best(study, plan.tune.n_trials)
        trials = search.trials_table(study, plan.tune.n_trials)
        parent.log_metrics({f"val/{plan.tune.objective}": float(best.value or 0.0)})
        chosen = {"trial": best.trial, **best.params}
        parent.set_tags({f"best.{name}": str(value) for name, value in chosen.items()})
        shares = importances(study, plan.tune.n_trials)
        parent.log_metrics({f"importance/{name}": share for name, share in shares.items()})
        save_figures(figures, study, plan.tune.n_trials)
        parent.log_figures(figures)
        with tempfile.TemporaryDirectory() as temporary:
            table = Path(temporary) / "trials.csv"
            trials.to_csv(table, index=False)
            parent.log_file(table, "study")
        note = trials_note(trials, best.trial, plan.tune.objective)
        parent.describe(plan.title(len(trials)), note)
    return Outcome(best, trials, search.held_out(study, plan.tune.n_trials))


def join_study(plan: Plan) -> int:
    """Work on a study that another process opened until it has its trials.

    Returns:
        How many of its trials this worker ended.

    Raises:
        UserError: there is no such study.
    """
    storage = open_present_storage(storage_url(repository_root()))
    with explaining(storage.engine.url):
        study = open_study(storage, plan.name, plan.tune, create=False)
        parent = _run_in_this_store(study)
        if parent is None:
            raise UserError(
                f"study {plan.name} has no run in this MLflow store; is MLFLOW_TRACKING_URI that "
                "of the process that started it?"
            )
        return _run_trials(study, plan, parent)


def _run_trials(study: Study, plan: Plan, parent: Run) -> int:
    earlier = len(finished_trials(study))
    if earlier:
        _tell(
            f"{min(earlier, plan.tune.n_trials)} of {plan.tune.n_trials} trials were finished by "
            f"an earlier run of study {study.study_name}"
        )
    if earlier < plan.tune.n_trials:
        prepare_features(plan)
    objective = partial(run_trial, plan=plan, parent=parent.run_id)
    ended = 0

    def on_trial(trial: FrozenTrial) -> None:
        nonlocal ended
        ended += 1
        best = best_trial(study)
        if best is not None and best.value is not None:
            parent.log_epoch(len(finished_trials(study)), {"best": best.value})
        _tell(progress_line(study, trial, plan.tune))

    run(study, plan.tune, objective, on_trial, _close_interrupted)
    return ended


def _close_interrupted(trial: FrozenTrial) -> None:
    run_id = trial.user_attrs.get(RUN_ATTRIBUTE)
    if run_id:
        close_run(run_id)


def _parent_run(storage: RDBStorage, study: Study, plan: Plan) -> Run:
    """The study's run: the one it has, if the store knows it, or a new one.

    Several processes may start the study at once: the run of the first becomes that of all.
    """
    run = _run_in_this_store(study)
    if run is not None:
        return run
    new_run = create_run(
        plan.title(plan.tune.n_trials), plan.logged, {**plan.tags, "stage": "tune"}
    )
    for place in itertools.count(1):  # runs that only other stores know keep theirs
        key = RUN_ATTRIBUTE if place == 1 else f"{RUN_ATTRIBUTE}.{place}"
        winner = claim(storage, plan.name, key, new_run.run_id)
        if winner == new_run.run_id:
            break
        first = resume_run(winner)
        if first is not None:
            discard_run(new_run)
            return first
    new_run.log_lineage(plan.lineage)
    new_run.log_dataset("brain-mri", plan.lineage.get("data.md5", "unknown"), "tuning")
    return new_run


def _run_in_this_store(study: Study) -> Run | None:
    """The study's run in this store; each store that the study was run with has its own."""
    attributes = study.user_attrs.items()
    runs = (resume_run(run_id) for key, run_id in attributes if key.startswith(RUN_ATTRIBUTE))
    return next((run for run in runs if run is not None), None)


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)
