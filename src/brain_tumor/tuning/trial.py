"""One trial: a training with suggested values, as a child run of the study's run."""

import sys
from typing import TYPE_CHECKING

from brain_tumor.model.phase import Epoch
from brain_tumor.model.recipe import fit_folds
from brain_tumor.model.search.interrupted import original_number
from brain_tumor.model.search.space import suggest
from brain_tumor.tracking.runs import start_run
from brain_tumor.tracking.wording import curves, training_name
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
                print(f"  {place}: {objective} {score:.3g}", file=sys.stderr, flush=True)

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
