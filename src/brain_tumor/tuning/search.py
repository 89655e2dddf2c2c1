"""The search of a study: its space, its trials in turn, their progress and their result."""

import hashlib
import json
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_tumor.errors import UserError
from brain_tumor.model.recipe import OUT_OF_FOLD
from brain_tumor.outputs import Best
from brain_tumor.settings import TUNABLE, FloatRange, Space, TuneParams
from brain_tumor.tuning import trials
from brain_tumor.tuning.trials import (
    best_trial,
    experimental_on_purpose,
    finished_trials,
    folds_of,
    objective_of,
    original_number,
    quiet_log,
    value_of,
)

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study, Trial
    from optuna.pruners import BasePruner
    from optuna.storages import BaseStorage
    from optuna.trial import BaseTrial, FrozenTrial

    Objective = Callable[[Trial], float]
    OnInterrupted = Callable[[FrozenTrial], None]


def study_name(facts: Mapping[str, object]) -> str:
    """`brain-tumor-` and a digest of the facts (JSON values) that comparable trials share."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"brain-tumor-{hashlib.sha256(text.encode()).hexdigest()[:16]}"


def open_study(storage: "BaseStorage", name: str, params: TuneParams, *, create: bool) -> "Study":
    """The study of that name, with sampler and pruner as section `tune` says.

    With `create` it is made when missing; several processes may do so at once.

    Raises:
        UserError: it is missing and not to be made.
    """
    import optuna

    from brain_tumor.tuning.sampler import RepeatableTPESampler

    sampler = RepeatableTPESampler(params.seed, params.startup_trials)
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
                study_name=name, storage=storage, sampler=sampler, pruner=_pruner(params)
            )
        except KeyError as error:
            raise UserError(
                f"study {name} is not in the storage: start `dvc repro tune` first, with the same "
                "data, weights, parameters, recipe and number format (unlike machines: give "
                "train.precision a value), and the same OPTUNA_STORAGE"
            ) from error


def _pruner(params: TuneParams) -> "BasePruner":
    from optuna import pruners

    from brain_tumor.tuning.sampler import RungMedianPruner

    if params.pruner == "median":
        return RungMedianPruner(params.startup_trials)
    return pruners.NopPruner()


_SHORT = {"learning_rate": "lr", "weight_decay": "decay", "fine_tune_blocks": "depth"}


@dataclass(frozen=True)
class Progress:
    """The state of a search when a trial has finished.

    Attributes:
        objective: what is searched for, such as `log_loss`.
        finished: trials complete or pruned, of all workers; `pruned` of them were stopped early.
        n_trials: how many the search wants.
        best_value: None before the first complete trial, whose number is `best_number`.
        number: of the trial that has just finished; so are the others but `left_s`.
        value: None of a pruned trial.
        state: `complete` or `pruned`.
        pruned_at: of a pruned trial, after how many folds, and what it had reached there beside
            what earlier trials had at the same place; None otherwise.
        left_s: mean duration of the finished trials times how many are left; None before the
            first.
    """

    objective: str
    finished: int
    n_trials: int
    pruned: int
    best_value: float | None
    best_number: int | None
    number: int
    value: float | None
    state: str
    pruned_at: str | None
    params: Mapping[str, float | int]
    duration_s: float
    left_s: float | None

    def line(self) -> str:
        """One line with everything."""
        reached = "" if self.value is None else f"{self.objective} {self.value:.3g}"
        result = f"pruned {self.pruned_at}" if self.state == "pruned" else reached
        settings = ", ".join(_setting(name, value) for name, value in self.params.items())
        trial = (
            f"{self.finished}/{self.n_trials}: trial {self.number}, {result} in "
            f"{_duration(self.duration_s)} ({settings})"
        )
        best = "" if self.best_value is None else f"best {self.best_value:.3g} ({self._best()})"
        dropped = f"{self.pruned} pruned" if self.pruned else ""
        left = f"about {_duration(self.left_s)} left" if self.left_s else ""
        return " | ".join(part for part in (trial, best, dropped, left) if part)

    def _best(self) -> str:
        return "this one" if self.best_number == self.number else f"trial {self.best_number}"


def progress_of(study: "Study", last: "FrozenTrial", params: TuneParams) -> Progress:
    """The progress of a study whose trial `last` has just finished."""
    trials, n_trials = finished_trials(study), params.n_trials
    top = best_trial(study)
    durations = [trial.duration.total_seconds() for trial in trials if trial.duration]
    mean_s = sum(durations) / len(durations) if durations else None
    return Progress(
        objective=objective_of(study),
        finished=len(trials),
        n_trials=n_trials,
        pruned=sum(trial.state.name == "PRUNED" for trial in trials),
        best_value=top.value if top else None,
        best_number=original_number(top) if top else None,
        number=original_number(last),
        value=value_of(last),
        state=last.state.name.lower(),
        pruned_at=_pruned_at(study, last, params) if last.state.name == "PRUNED" else None,
        params=dict(last.params),
        duration_s=last.duration.total_seconds() if last.duration else 0.0,
        left_s=None if mean_s is None else mean_s * max(n_trials - len(trials), 0),
    )


def _pruned_at(study: "Study", trial: "FrozenTrial", params: TuneParams) -> str:
    """Where a trial was given up, so that nobody compares a part with a whole."""
    from brain_tumor.tuning.sampler import rung_median

    folds = folds_of(trial)
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


OnTrial = Callable[[Progress], None]
_LOOK_S = 1.0  # between two looks at the trials of other workers


class _Interrupted(BaseException):
    """Ctrl-C in the objective, in a form that Optuna does not take for the trial's failure."""


def run(
    study: "Study",
    params: TuneParams,
    objective: "Objective",
    on_trial: OnTrial,
    on_interrupted: "OnInterrupted",
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
        on_trial: called after each trial that this process has finished.
        on_interrupted: called with each trial that was found interrupted, so that its caller can
            close what the trial left open; a copy of the trial is queued already.
    """
    end_s = time.monotonic() + (math.inf if params.timeout_s is None else params.timeout_s)
    unmarked_since_s: dict[int, float] = {}
    with quiet_log(), trials.listening(on_interrupted):
        trials.reclaim(study, unmarked_since_s)
        while time.monotonic() < end_s:
            running = _running(study)
            if len(finished_trials(study)) + running < params.n_trials:
                trial = _run_one(study, objective)
                if trial is not None:
                    on_trial(progress_of(study, trial, params))
            elif running:
                time.sleep(_LOOK_S)
            else:
                return
            trials.reclaim(study, unmarked_since_s)


def _running(study: "Study") -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _run_one(study: "Study", objective: "Objective") -> "FrozenTrial | None":
    """Run the next trial; None when another worker has taken it over meanwhile."""
    numbers: list[int] = []

    def marked(trial: "Trial") -> float:
        numbers.append(trial.number)
        trials.mark(trial)
        return _value(trial, objective)

    try:
        study.optimize(marked, n_trials=1)
    except (_Interrupted, KeyboardInterrupt, SystemExit) as error:
        for number in numbers:
            trials.give_up(study, number)
        if isinstance(error, _Interrupted):
            raise KeyboardInterrupt from error
        raise
    except Exception:
        # This process was not heard of for long (a suspended machine): its trial runs elsewhere.
        if numbers and trials.is_queued_again(study, numbers[0]):
            return None
        raise
    return study.get_trials(deepcopy=False)[numbers[0]]


def _value(trial: "Trial", objective: "Objective") -> float:
    try:
        value = float(objective(trial))
    except KeyboardInterrupt as error:
        raise _Interrupted from error
    if math.isnan(value):  # Optuna would fail the trial without a word and go on
        raise UserError(f"trial {trial.number} {trial.params}: the objective is not a number")
    return value


Drawn = Mapping[str, float | int]


def suggest(
    trial: "BaseTrial", space: Space, tuned: Callable[[Drawn], Sequence[str]]
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
    while left := [name for name in tuned(drawn) if name not in drawn]:
        drawn[left[0]] = _suggest_one(trial, left[0], space)
    return drawn


def _suggest_one(trial: "BaseTrial", name: str, space: Space) -> float | int:
    span = getattr(space, name)
    if isinstance(span, FloatRange):
        return trial.suggest_float(name, span.low, span.high, log=span.log)
    return trial.suggest_int(name, span.low, span.high)


def best(study: "Study", n_trials: int) -> Best:
    """The best of the first `n_trials` finished trials.

    Raises:
        UserError: no trial has run to its end.
    """
    trial = best_trial(study, n_trials)
    trials = finished_trials(study, n_trials)
    if trial is None or trial.value is None:
        raise UserError(
            f"study {study.study_name}: no trial has run to its end ({len(trials)} pruned): raise "
            "tune.timeout_s or tune.n_trials, or set tune.pruner to none"
        )
    complete = sum(other.state.name == "COMPLETE" for other in trials)
    return Best(
        study=study.study_name,
        trial=original_number(trial),
        objective=objective_of(study),
        value=trial.value,
        params=dict(trial.params),
        complete=complete,
        pruned=len(trials) - complete,
    )


def held_out(study: "Study", n_trials: int) -> list[list[float]]:
    """Probability of the rows that each fold of the best trial holds out; nothing without one."""
    trial = best_trial(study, n_trials)
    return list(trial.user_attrs[OUT_OF_FOLD]) if trial else []


def trials_table(study: "Study", n_trials: int) -> "pd.DataFrame":
    """One row for each of the first `n_trials` finished trials, by number.

    Returns:
        Columns number, state (`complete` or `pruned`), value (of complete trials), folds (how many
        were trained), value_so_far (the mean over these folds; not to be compared with a mean over
        more), duration_s and the hyperparameters (empty where one would not have acted).
    """
    import pandas as pd

    trials = finished_trials(study, n_trials)
    names = [name for name in TUNABLE if any(name in trial.params for trial in trials)]
    rows = [
        {
            "number": original_number(trial),
            "state": trial.state.name.lower(),
            "value": value_of(trial),
            "folds": folds_of(trial),
            "value_so_far": trial.intermediate_values.get(trial.last_step or 0),
            "duration_s": trial.duration.total_seconds() if trial.duration else None,
            **{name: trial.params.get(name) for name in names},
        }
        for trial in trials
    ]
    columns = ["number", "state", "value", "folds", "value_so_far", "duration_s"]
    return pd.DataFrame(rows, columns=[*columns, *names])
