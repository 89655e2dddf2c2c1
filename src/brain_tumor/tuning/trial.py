"""One trial: a training with suggested values, as a child run of the study's run."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from brain_tumor.model import metrics
from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Fitted, fit
from brain_tumor.model.phase import DivergedError, Epoch
from brain_tumor.model.search.space import suggest
from brain_tumor.model.train_params import TrainParams
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.runs import start_run
from brain_tumor.tracking.wording import training_name
from brain_tumor.tuning.plan import Plan

if TYPE_CHECKING:
    from optuna import Trial

RUN_ATTRIBUTE = "mlflow.run_id"


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

    values = suggest(trial, plan.tune.space, plan.names)
    params = plan.section.resolve(values)
    logged = plan.trial_params(params)
    tags = {**plan.tags, "stage": "tune", "trial": str(trial.number)}
    with start_run(
        f"trial {trial.number}: {training_name(params.model_dump())}", logged, tags, parent
    ) as run:
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
    """Mean of the objective over the folds; one fold reports after every epoch of fine-tuning."""
    scores: list[float] = []
    for number, data in enumerate(plan.data):
        progress = _Progress(trial, plan, run, number if len(plan.data) > 1 else None)
        fitted = fit(plan.start, data, params, progress.on_epoch, progress.on_head)
        scores.append(score(fitted, data, plan.tune.objective))
        if len(plan.data) > 1:
            run.log_epoch(number, {f"fold/{plan.tune.objective}": scores[-1]})
            _report(trial, float(np.mean(scores)), number + 1)
    return float(np.mean(scores))


def score(fitted: Fitted, data: TrainingData, objective: str) -> float:
    """Log loss (nats) or AUROC of the float32 network on the validation images."""
    truth = data.labels[data.val].astype(np.int64)
    figure = metrics.log_loss if objective == "log_loss" else metrics.auroc
    return figure(truth, fitted.val_probability)


@dataclass
class _Progress:
    """Curves of one training to MLflow and, without folds, its losses to the pruner."""

    trial: "Trial"
    plan: Plan
    run: Run
    fold: int | None
    losses: list[float] = field(default_factory=list)

    def on_epoch(self, epoch: int, row: Epoch) -> None:
        prefix = "" if self.fold is None else f"fold{self.fold}/"
        self.run.log_epoch(epoch, {f"{prefix}{key}": row[key] for key in row if key != "epoch"})
        if row["fine_tuning"]:
            self._step(row["val_loss"])

    def on_head(self, loss: float) -> None:
        self._step(loss)

    def _step(self, loss: float) -> None:
        self.losses.append(loss)
        if self.fold is None:
            sign = 1.0 if self.plan.tune.objective == "log_loss" else -1.0
            _report(self.trial, sign * min(self.losses), len(self.losses))


def _report(trial: "Trial", value: float, step: int) -> None:
    """Tell the pruner how good the trial is by now, in the direction of the study."""
    import optuna

    trial.report(value, step)
    if trial.should_prune():
        raise optuna.TrialPruned(f"pruned at step {step}, value {value:.4g}")
