"""The trials of a search, run until there are enough of them."""

import math
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from brain_tumor.model.search import interrupted
from brain_tumor.model.search.finished import finished_trials
from brain_tumor.model.search.progress import Progress, progress_of
from brain_tumor.model.search.quiet import quiet_log
from brain_tumor.settings import TuneParams

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    Objective = Callable[[Trial], float]
    OnInterrupted = Callable[[FrozenTrial], None]

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
    with quiet_log(), interrupted.listening(on_interrupted):
        interrupted.reclaim(study, unmarked_since_s)
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
            interrupted.reclaim(study, unmarked_since_s)


def _running(study: "Study") -> int:
    from optuna.trial import TrialState

    return len(study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)))


def _run_one(study: "Study", objective: "Objective") -> "FrozenTrial | None":
    """Run the next trial; None when another worker has taken it over meanwhile."""
    numbers: list[int] = []

    def marked(trial: "Trial") -> float:
        numbers.append(trial.number)
        interrupted.mark(trial)
        return _value(trial, objective)

    try:
        study.optimize(marked, n_trials=1)
    except (_Interrupted, KeyboardInterrupt, SystemExit) as error:
        for number in numbers:
            interrupted.give_up(study, number)
        if isinstance(error, _Interrupted):
            raise KeyboardInterrupt from error
        raise
    except Exception:
        # This process was not heard of for long (a suspended machine): its trial runs elsewhere.
        if numbers and interrupted.is_queued_again(study, numbers[0]):
            return None
        raise
    return study.get_trials(deepcopy=False)[numbers[0]]


def _value(trial: "Trial", objective: "Objective") -> float:
    try:
        value = float(objective(trial))
    except KeyboardInterrupt as error:
        raise _Interrupted from error
    if math.isnan(value):  # Optuna would fail the trial without a word and go on
        raise ValueError(f"trial {trial.number} {trial.params}: the objective is not a number")
    return value
