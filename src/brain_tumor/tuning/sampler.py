"""How trials are drawn and given up: a sampler that repeats itself, and a pruner by folds."""

import zlib
from collections.abc import Mapping
from statistics import median
from typing import Any

import numpy as np
from optuna import Study
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.pruners import BasePruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from brain_tumor.tuning.trials import finished_trials, original_number

IN_TURN = "fine_tune_blocks"
ROUNDS = 3  # trials of each of its values before TPE chooses it


class RepeatableTPESampler(BaseSampler):
    """TPE that draws from what the study holds and no state of its own.

    The first trials go through the values of `IN_TURN` one after the other, three times, so that
    none is judged by a few trials that other hyperparameters spoiled; then TPE chooses it too.

    A draw depends on the seed, the parameter, how many fresh proposals precede the trial, and the
    results so far. A killed study that one worker takes up again therefore proposes what an
    uninterrupted one would, and workers that share a study never share a stream. The model of TPE
    replaces random draws after `startup_trials` finished trials.
    """

    def __init__(self, seed: int, startup_trials: int) -> None:
        """Keep the settings; a TPE is built anew for every draw."""
        self._seed = seed
        self._startup_trials = startup_trials

    def infer_relative_search_space(
        self, study: Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """The parameters that are drawn together."""
        space = self._tpe(study, trial, "").infer_relative_search_space(study, trial)
        in_turn = space.get(IN_TURN)
        if in_turn is not None and _in_turn(study, trial, in_turn) is not None:
            del space[IN_TURN]
        return space

    def sample_relative(
        self, study: Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw the parameters of `search_space` together."""
        return self._tpe(study, trial, "").sample_relative(study, trial, dict(search_space))

    def sample_independent(
        self,
        study: Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one parameter; its stream is its own, so it does not matter which came before."""
        if param_name == IN_TURN:
            value = _in_turn(study, trial, param_distribution)
            if value is not None:
                return value
        tpe = self._tpe(study, trial, param_name)
        return tpe.sample_independent(study, trial, param_name, param_distribution)

    def _tpe(self, study: Study, trial: FrozenTrial, name: str) -> TPESampler:
        key = [self._seed, _proposal(study, trial), zlib.crc32(name.encode())]
        seed = int(np.random.SeedSequence(key).generate_state(1)[0])
        return TPESampler(seed=seed, n_startup_trials=self._startup_trials)


def _in_turn(study: Study, trial: FrozenTrial, distribution: BaseDistribution) -> int | None:
    """The value whose turn it is; None once each has had its turns."""
    if not isinstance(distribution, IntDistribution):
        return None
    values = range(distribution.low, distribution.high + 1)
    proposal = _proposal(study, trial)
    return values[proposal % len(values)] if proposal < ROUNDS * len(values) else None


def _proposal(study: Study, trial: FrozenTrial) -> int:
    """The trial's place among the fresh proposals of the study; a retry has its original's.

    Failed trials count: their parameters were proposed, and should not be proposed again.
    """
    number = original_number(trial)
    earlier = (other for other in study.get_trials(deepcopy=False) if other.number < number)
    return sum(original_number(other) == other.number for other in earlier)


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
