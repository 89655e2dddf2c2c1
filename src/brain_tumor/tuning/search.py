"""The search of a study: its space, how trials are drawn and given up, progress and result."""

import math
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any

import numpy as np
import optuna
import pandas as pd
from optuna import Study, Trial
from optuna.distributions import BaseDistribution, IntDistribution
from optuna.pruners import BasePruner, NopPruner
from optuna.samplers import BaseSampler, TPESampler
from optuna.storages import BaseStorage
from optuna.study import StudyDirection
from optuna.trial import BaseTrial, FrozenTrial, TrialState

from brain_tumor.errors import UserError
from brain_tumor.model.recipe import OUT_OF_FOLD
from brain_tumor.outputs import Best
from brain_tumor.settings import TUNABLE, FloatRange, Space, TuneParams
from brain_tumor.tuning.storage import (
    OnInterrupted,
    best_trial,
    experimental_on_purpose,
    finished_trials,
    give_up,
    is_queued_again,
    listening,
    mark,
    objective_of,
    original_number,
    quiet_log,
    reclaim,
    value_of,
)

Objective = Callable[[Trial], float]
IN_TURN = "fine_tune_blocks"
ROUNDS = 3  # trials of each of its values before TPE chooses it


def open_study(storage: BaseStorage, name: str, params: TuneParams, *, create: bool) -> Study:
    """The study of that name, with sampler and pruner as section `tune` says.

    With `create` it is made when missing; several processes may do so at once.

    Raises:
        UserError: it is missing and not to be made.
    """
    sampler = RepeatableTPESampler(params.seed, params.startup_trials)
    median_of_rung = RungMedianPruner(params.startup_trials)
    pruner = median_of_rung if params.pruner == "median" else NopPruner()
    with quiet_log():
        if create:
            study = optuna.create_study(
                storage=storage,
                study_name=name,
                direction="minimize" if params.objective == "log_loss" else "maximize",
                load_if_exists=True,
            )
            with experimental_on_purpose():
                study.set_metric_names([params.objective])
        try:
            return optuna.load_study(
                study_name=name, storage=storage, sampler=sampler, pruner=pruner
            )
        except KeyError as error:
            raise UserError(
                f"study {name} is not in the storage: start `dvc repro tune` first, with the same "
                "data, weights, parameters, recipe and number format (unlike machines: give "
                "train.precision a value), and the same OPTUNA_STORAGE"
            ) from error


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


_SHORT = {"learning_rate": "lr", "weight_decay": "decay", "fine_tune_blocks": "depth"}


def progress_line(study: Study, last: FrozenTrial, params: TuneParams) -> str:
    """How far a study is whose trial `last` has just finished, in a line.

    It names that trial, the best so far, how many were pruned, and how long the rest will take at
    the mean duration. A pruned trial stands with its place among the folds, and what it had reached
    there beside earlier trials.
    """
    finished, best_so_far = finished_trials(study), best_trial(study)
    number = original_number(last)
    is_pruned = last.state == TrialState.PRUNED
    result = (
        f"pruned {_pruned_at(study, last, params)}"
        if is_pruned
        else f"{objective_of(study)} {last.value:.3g}"
    )
    duration_s = last.duration.total_seconds() if last.duration else 0.0
    values = ", ".join(_setting(name, value) for name, value in last.params.items())
    parts = [
        f"{len(finished)}/{params.n_trials}: trial {number}, {result} in "
        f"{_duration(duration_s)} ({values})"
    ]
    if best_so_far is not None:
        best_number = original_number(best_so_far)
        place = "this one" if best_number == number else f"trial {best_number}"
        parts.append(f"best {best_so_far.value:.3g} ({place})")
    pruned = sum(trial.state == TrialState.PRUNED for trial in finished)
    if pruned:
        parts.append(f"{pruned} pruned")
    durations = [trial.duration.total_seconds() for trial in finished if trial.duration]
    missing = max(params.n_trials - len(finished), 0)
    if durations and missing:
        parts.append(f"about {_duration(sum(durations) / len(durations) * missing)} left")
    return " | ".join(parts)


def _pruned_at(study: Study, trial: FrozenTrial, params: TuneParams) -> str:
    """Where a trial was given up, so that nobody compares a part with a whole."""
    folds = len(trial.intermediate_values)
    middle = rung_median(study, trial)
    if not folds or middle is None:
        return f"in fold {folds + 1} of {params.folds}: the training diverged"
    reached = trial.intermediate_values[trial.last_step or 0]
    return (
        f"after {folds} of {params.folds} folds, at {objective_of(study)} {reached:.3g} "
        f"(median of earlier trials there {middle:.3g})"
    )


def _setting(name: str, value: float | int) -> str:
    if name == "head_block":
        return f"mixed{value}"
    return f"{_SHORT.get(name, name)} {_number(value)}"


def _number(value: float | int) -> str:
    if isinstance(value, int) or value == 0 or abs(value) >= 0.01:
        return f"{value:.2g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"


_LOOK_S = 1.0  # between two looks at the trials of other workers


class _Interrupted(BaseException):
    """Ctrl-C in the objective, in a form that Optuna does not take for the trial's failure."""


def run(
    study: Study,
    params: TuneParams,
    objective: Objective,
    on_trial: Callable[[FrozenTrial], None],
    on_interrupted: OnInterrupted,
) -> None:
    """Run trials until `n_trials` of the study are finished or `timeout_s` is over.

    Any number of processes may do so at once. Where all missing trials run already, a process
    waits for those of the others, so that in the end all have seen the same study (n of them that
    start a trial in the same instant finish at most n - 1 too many). Trials of workers that are
    gone are run again. One that is interrupted by Ctrl-C or SystemExit is left for the next run;
    one that raises has failed and its exception goes up.

    Args:
        study: the one of `open_study`.
        params: section `tune`; no trial starts more than `timeout_s` after the call.
        objective: value of a trial; may raise `TrialPruned`.
        on_trial: called with each trial that this process has finished.
        on_interrupted: called with each trial that was found interrupted, so that its caller can
            close what the trial left open; a copy of the trial is queued already.
    """
    end_s = time.monotonic() + (math.inf if params.timeout_s is None else params.timeout_s)
    unmarked_since_s: dict[int, float] = {}
    with quiet_log(), listening(on_interrupted):
        reclaim(study, unmarked_since_s)
        while time.monotonic() < end_s:
            running = len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))
            if len(finished_trials(study)) + running < params.n_trials:
                trial = _run_trial(study, objective)
                if trial is not None:
                    on_trial(trial)
            elif running:
                time.sleep(_LOOK_S)
            else:
                return
            reclaim(study, unmarked_since_s)


def _run_trial(study: Study, objective: Objective) -> FrozenTrial | None:
    """Run the next trial; None when another worker has taken it over meanwhile."""
    numbers: list[int] = []

    def marked(trial: Trial) -> float:
        numbers.append(trial.number)
        mark(trial)
        return _value(trial, objective)

    try:
        study.optimize(marked, n_trials=1)
    except (_Interrupted, KeyboardInterrupt, SystemExit) as error:
        for number in numbers:
            give_up(study, number)
        if isinstance(error, _Interrupted):
            raise KeyboardInterrupt from error
        raise
    except Exception:
        # This process was not heard of for long (a suspended machine): its trial runs elsewhere.
        if numbers and is_queued_again(study, numbers[0]):
            return None
        raise
    return study.get_trials(deepcopy=False)[numbers[0]]


def _value(trial: Trial, objective: Objective) -> float:
    try:
        value = float(objective(trial))
    except KeyboardInterrupt as error:
        raise _Interrupted from error
    if math.isnan(value):  # Optuna would fail the trial without a word and go on
        raise UserError(f"trial {trial.number} {trial.params}: the objective is not a number")
    return value


Drawn = Mapping[str, float | int]


def suggest(
    trial: BaseTrial, space: Space, tuned: Callable[[Drawn], Sequence[str]]
) -> dict[str, float | int]:
    """Draw hyperparameters one after the other, but for those that would not act.

    A trial of depth 0, for example, has no learning rate.

    Args:
        trial: of a study of this space.
        space: the range of each.
        tuned: from what is drawn already to the names of all that are to be drawn, in order (see
            `TrainSection.tuned`).
    """
    drawn: dict[str, float | int] = {}
    while missing := [name for name in tuned(drawn) if name not in drawn]:
        name = missing[0]
        span = getattr(space, name)
        drawn[name] = (
            trial.suggest_float(name, span.low, span.high, log=span.log)
            if isinstance(span, FloatRange)
            else trial.suggest_int(name, span.low, span.high)
        )
    return drawn


def best(study: Study, n_trials: int) -> Best:
    """The best of the first `n_trials` finished trials.

    Raises:
        UserError: no trial has run to its end.
    """
    trial = best_trial(study, n_trials)
    finished = finished_trials(study, n_trials)
    if trial is None or trial.value is None:
        raise UserError(
            f"study {study.study_name}: no trial has run to its end ({len(finished)} pruned): "
            "raise tune.timeout_s or tune.n_trials, or set tune.pruner to none"
        )
    complete = sum(other.state.name == "COMPLETE" for other in finished)
    return Best(
        study=study.study_name,
        trial=original_number(trial),
        objective=objective_of(study),
        value=trial.value,
        params=dict(trial.params),
        complete=complete,
        pruned=len(finished) - complete,
    )


def held_out(study: Study, n_trials: int) -> list[list[float]]:
    """Probability of the rows that each fold of the best trial holds out; nothing without one."""
    trial = best_trial(study, n_trials)
    return list(trial.user_attrs[OUT_OF_FOLD]) if trial else []


def trials_table(study: Study, n_trials: int) -> pd.DataFrame:
    """One row for each of the first `n_trials` finished trials, by number.

    Returns:
        Columns number, state (`complete` or `pruned`), value (of complete trials), folds (how many
        were trained), value_so_far (the mean over these folds; not to be compared with a mean over
        more), duration_s and the hyperparameters (empty where one would not have acted).
    """
    finished = finished_trials(study, n_trials)
    names = [name for name in TUNABLE if any(name in trial.params for trial in finished)]
    rows = [
        {
            "number": original_number(trial),
            "state": trial.state.name.lower(),
            "value": value_of(trial),
            "folds": len(trial.intermediate_values),
            "value_so_far": trial.intermediate_values.get(trial.last_step or 0),
            "duration_s": trial.duration.total_seconds() if trial.duration else None,
            **{name: trial.params.get(name) for name in names},
        }
        for trial in finished
    ]
    columns = ["number", "state", "value", "folds", "value_so_far", "duration_s"]
    return pd.DataFrame(rows, columns=[*columns, *names])
