"""Pruning that compares like with like: trials after the same folds."""

from statistics import median

from optuna import Study
from optuna.pruners import BasePruner
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from brain_tumor.model.search.finished import finished_trials


def rung_median(study: Study, trial: FrozenTrial) -> float | None:
    """The median of what the earlier finished trials had reported where this one is now.

    None where none had.
    """
    step = trial.last_step
    at_rung = [
        other.intermediate_values[step]
        for other in finished_trials(study)
        if other.number < trial.number and step in other.intermediate_values
    ]
    return median(at_rung) if at_rung else None


class RungMedianPruner(BasePruner):
    """Give up a trial that is worse than the median of earlier ones after the same folds.

    Optuna's `MedianPruner` takes the best of all that a trial has reported, so that a lucky first
    fold would save it at the second.
    None is given up before `startup_trials` have finished.
    """

    def __init__(self, startup_trials: int) -> None:
        """Keep the setting."""
        self._startup_trials = startup_trials

    def prune(self, study: Study, trial: FrozenTrial) -> bool:
        """Whether `trial`, which has just reported, is to be given up."""
        earlier = [other for other in finished_trials(study) if other.number < trial.number]
        middle = rung_median(study, trial)
        if len(earlier) < self._startup_trials or middle is None or trial.last_step is None:
            return False
        value = trial.intermediate_values[trial.last_step]
        return value < middle if study.direction == StudyDirection.MAXIMIZE else value > middle
