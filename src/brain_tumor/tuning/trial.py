"""One trial: a training with suggested values, as a child run of the study's run."""

import sys
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from brain_tumor.model import metrics
from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Fitted, fit
from brain_tumor.model.phase import DivergedError, Epoch
from brain_tumor.model.search.interrupted import original_number
from brain_tumor.model.search.space import suggest
from brain_tumor.settings import TrainParams
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.runs import start_run
from brain_tumor.tracking.wording import curves, training_name
from brain_tumor.tuning.plan import Plan

if TYPE_CHECKING:
    from optuna import Trial

RUN_ATTRIBUTE = "mlflow.run_id"
PREDICTIONS_ATTRIBUTE = "out_of_fold"  # probability of each fold's held-out rows


def run_trial(trial: "Trial", plan: Plan, parent: str) -> float:
    """Train with the values of a trial; log it; return the objective on validation images.

    Args:
        trial: of the study.
        plan: what the study is made of.
        parent: id of the study's run.

    Raises:
        optuna.TrialPruned: it is worse than others were at that point, or diverged.
    """
    import optuna

    values = suggest(trial, plan.tune.space, plan.section.tuned)
    params = plan.section.resolve(values)
    logged = plan.trial_params(params)
    number = original_number(trial.study.get_trials(deepcopy=False)[trial.number])
    tags = {**plan.tags, "stage": "tune", "trial": str(number)}
    name = f"trial {number}: {training_name(params.model_dump())}"
    with start_run(name, logged, tags, parent) as run:
        trial.set_user_attr(RUN_ATTRIBUTE, run.run_id)
        run.set_tags({"trial.state": "running"})
        try:
            value = _objective(trial, plan, params, run)
        except (optuna.TrialPruned, DivergedError) as error:
            run.set_tags({"trial.state": "pruned", "trial.note": str(error)})
            run.describe(None, f"Given up: {error}.")
        else:
            run.log_metrics({f"val/{plan.tune.objective}": value})
            run.set_tags({"trial.state": "complete"})
            run.describe(None, f"Complete: {plan.tune.objective.replace('_', ' ')} {value:.4f}.")
            return value
    raise optuna.TrialPruned


def _objective(trial: "Trial", plan: Plan, params: TrainParams, run: Run) -> float:
    """Mean of the objective over the folds; the mean so far is reported after each."""
    import optuna

    scores: list[float] = []
    predictions: list[list[float]] = []
    for number, data in enumerate(plan.data, 1):
        prefix = f"fold{number}/" if len(plan.data) > 1 else ""
        fitted = fit(plan.start, data, params, partial(_log_epoch, run, prefix))
        scores.append(score(fitted, data, plan.tune.objective))
        predictions.append(fitted.val_probability.tolist())
        run.log_epoch(number, {f"fold/{plan.tune.objective}": scores[-1]})
        trial.report(float(np.mean(scores)), number)
        if len(plan.data) > 1:
            place = f"trial {trial.number}, fold {number} of {len(plan.data)}"
            print(f"  {place}: {plan.tune.objective} {scores[-1]:.3g}", file=sys.stderr, flush=True)
        if number < len(plan.data) and trial.should_prune():
            raise optuna.TrialPruned(f"pruned after {number} of {len(plan.data)} folds")
    trial.set_user_attr(PREDICTIONS_ATTRIBUTE, predictions)
    return float(np.mean(scores))


def score(fitted: Fitted, data: TrainingData, objective: str) -> float:
    """Log loss (nats) or AUROC of the float32 network on the validation images."""
    truth = data.labels[data.val].astype(np.int64)
    figure = metrics.log_loss if objective == "log_loss" else metrics.auroc
    return figure(truth, fitted.val_probability)


def _log_epoch(run: Run, prefix: str, epoch: int, row: Epoch) -> None:
    """Add an epoch to the curves of the run, seen in the UI at once."""
    run.log_epoch(epoch, {f"{prefix}{key}": value for key, value in curves(row).items()})
