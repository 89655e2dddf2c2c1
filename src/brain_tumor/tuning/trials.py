"""The trials of a study: those that count, those that were interrupted and are queued again."""

import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from brain_tumor import machine

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.trial import FrozenTrial

    OnInterrupted = Callable[[FrozenTrial], None]


@contextmanager
def quiet_log() -> Iterator[None]:
    """Leave reports of trials and studies to the caller, who has more to say."""
    import optuna

    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def experimental_on_purpose() -> Iterator[None]:
    """Silence ExperimentalWarning for one call."""
    from optuna.exceptions import ExperimentalWarning

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield


HOST_ATTR, PROCESS_ATTR = "process.host", "process.id"
_ORIGINAL, _HISTORY = "failed_trial", "retry_history"  # as RetryHeartbeatStaleTrialCallback writes
_MARKING_S = 60.0  # a trial gets its marks at once: without them after this time, nobody runs it
_RETRIES = 5  # a trial that kills its process (memory) must not stop the study for good
_listener: "ContextVar[OnInterrupted | None]" = ContextVar("listener", default=None)


def mark(trial: "Trial") -> None:
    """Note on a trial that starts which process runs it."""
    trial.set_user_attr(HOST_ATTR, machine.host())
    trial.set_user_attr(PROCESS_ATTR, machine.identify(os.getpid()) or "")


@contextmanager
def listening(on_interrupted: "OnInterrupted") -> Iterator[None]:
    """Have `on_interrupted` called for every trial found interrupted in the `with` block.

    Optuna looks for stale heartbeats by itself and calls what the storage was made with, long
    before there is anyone to tell.
    """
    token = _listener.set(on_interrupted)
    try:
        yield
    finally:
        _listener.reset(token)


def reclaim(study: "Study", unmarked_since_s: dict[int, float]) -> None:
    """Give up the running trials that no process runs any more.

    Those of other hosts are known by Optuna's heartbeat, on the clock of the database; Optuna
    itself looks at it only before a trial, and so never after the last. Those of this host are
    known at once by the mark of their process: a killed study that waited for the heartbeat would
    run other trials first, and propose others than one that was not killed. A trial that was
    killed before its first heartbeat has neither: Optuna would leave it running for ever.

    Args:
        study: of the trials.
        unmarked_since_s: when this process first saw each trial that has no mark, by its number,
            on its monotonic clock; clocks of two machines are never compared.
    """
    from optuna.storages import fail_stale_trials
    from optuna.trial import TrialState

    with experimental_on_purpose():
        fail_stale_trials(study)

    now_s = time.monotonic()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get(PROCESS_ATTR)
        if process is None:
            gone = now_s - unmarked_since_s.setdefault(trial.number, now_s) > _MARKING_S
        else:
            here = trial.user_attrs[HOST_ATTR] == machine.host()
            gone = here and not machine.is_alive(process)
        if gone:
            give_up(study, trial.number)


def give_up(study: "Study", number: int) -> None:
    """Fail a running trial and queue it again, unless another worker has done so."""
    from optuna.exceptions import UpdateFinishedTrialError
    from optuna.trial import TrialState

    try:
        trial = study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):  # it is not running any more
        return
    queue_again(study, trial)


def queue_again(study: "Study", trial: "FrozenTrial") -> None:
    """Queue a trial that was interrupted with its parameters, and report it.

    As Optuna's RetryHeartbeatStaleTrialCallback, but nothing else is inherited: user attributes
    name its process and its run, and what a pruner noted speaks of values that are reported afresh.
    """
    from optuna.trial import TrialState, create_trial

    history = [*trial.system_attrs.get(_HISTORY, ()), trial.number]
    if len(history) <= _RETRIES:
        study.add_trial(
            create_trial(
                state=TrialState.WAITING,
                params=trial.params,
                distributions=trial.distributions,
                system_attrs={_ORIGINAL: history[0], _HISTORY: history},
            )
        )
    report = _listener.get()
    if report is not None:
        report(trial)


def original_number(trial: "FrozenTrial") -> int:
    """The number of the trial this one repeats; its own if it is no repetition."""
    return int(trial.system_attrs.get(_ORIGINAL, trial.number))


def is_queued_again(study: "Study", number: int) -> bool:
    """Whether some worker took trial `number` for interrupted."""
    trials = study.get_trials(deepcopy=False)
    return any(number in trial.system_attrs.get(_HISTORY, ()) for trial in trials)


def finished_trials(study: "Study", first: int | None = None) -> list["FrozenTrial"]:
    """Complete and pruned trials by number; failed ones were no trials of their parameters.

    At most the `first` ones, so that what a longer study found later changes nothing.
    """
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=original_number)[:first]


def best_trial(study: "Study", first: int | None = None) -> "FrozenTrial | None":
    """The complete trial with the best value, the earliest of equals; None without any."""
    from optuna.study import StudyDirection

    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    complete = [
        (sign * trial.value, place, trial)
        for place, trial in enumerate(finished_trials(study, first))
        if trial.state.name == "COMPLETE" and trial.value is not None
    ]
    return min(complete, key=lambda entry: entry[:2])[2] if complete else None


def value_of(trial: "FrozenTrial") -> float | None:
    """The objective of a complete trial; a pruned one has none, only parts of it."""
    return trial.value if trial.state.name == "COMPLETE" else None


def folds_of(trial: "FrozenTrial") -> int:
    """How many folds a trial has reported."""
    return len(trial.intermediate_values)


def objective_of(study: "Study") -> str:
    """The name of what is searched for, such as `log_loss`."""
    return (study.metric_names or ["value"])[0]
