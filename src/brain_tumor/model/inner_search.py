"""The study of `tune` over inner folds, in memory: what a recipe's cross-validation repeats."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from brain_tumor.model import metrics
from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Start, fit
from brain_tumor.model.phase import DivergedError
from brain_tumor.settings import TrainSection, TuneParams

if TYPE_CHECKING:
    from optuna import Trial


def search(
    start: Start, folds: Sequence[TrainingData], section: TrainSection, tune: TuneParams
) -> dict[str, float | int]:
    """Choose what `section` leaves `tuned` by held-out images of the folds.

    Args:
        start: initial weights and feature cache.
        folds: inner folds; with `tune.folds` 1 only the first is used.
        section: section `train`.
        tune: section `tune`; sampler, pruner and number of trials are those of the product.

    Returns:
        The values of the best trial; nothing where nothing is tuned.
    """
    if not section.tuned():
        return {}
    from optuna.storages import InMemoryStorage

    from brain_tumor.model.search import result
    from brain_tumor.model.search.run import run
    from brain_tumor.model.search.study import open_study

    used = folds[:1] if tune.folds == 1 else folds
    study = open_study(InMemoryStorage(), "inner", tune, create=True)

    def objective(trial: "Trial") -> float:
        return _objective(trial, start, used, section, tune)

    run(study, tune, objective, lambda _: None, lambda _: None)
    return result.best(study, tune.n_trials).params


def _objective(
    trial: "Trial",
    start: Start,
    folds: Sequence[TrainingData],
    section: TrainSection,
    tune: TuneParams,
) -> float:
    """Mean of the objective over the folds; reported, and pruned, fold by fold."""
    import optuna

    from brain_tumor.model.search.space import suggest

    params = section.resolve(suggest(trial, tune.space, section.tuned))
    scores: list[float] = []
    for step, data in enumerate(folds):
        try:
            fitted = fit(start, data, params, lambda *_: None)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        truth = data.labels[data.val].astype(np.int64)
        figure = metrics.log_loss if tune.objective == "log_loss" else metrics.auroc
        scores.append(figure(truth, fitted.val_probability))
        trial.report(float(np.mean(scores)), step + 1)
        if step + 1 < len(folds) and trial.should_prune():
            raise optuna.TrialPruned
    return float(np.mean(scores))
