"""The storage of a study, SQLite or a server, and the trials that several processes run in it.

Some trials count, others were interrupted and are queued again.
"""

import json
import os
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.exceptions import ExperimentalWarning, StorageInternalError, UpdateFinishedTrialError
from optuna.storages import RDBStorage, fail_stale_trials
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState, create_trial
from sqlalchemy import URL, Engine, column, event, insert, table
from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError, SQLAlchemyError

from brain_tumor import machine
from brain_tumor.errors import UserError
from brain_tumor.tracking.database import (
    DatabaseFileError,
    anchored,
    check_file,
    engine_options,
    file_of,
    make_file,
    of_file,
    parse,
    reach,
    reason,
    remedy,
    shown,
    text_of,
)

OnInterrupted = Callable[[FrozenTrial], None]
STORAGE_VARIABLE = "OPTUNA_STORAGE"
HOST_ATTR, PROCESS_ATTR = "process.host", "process.id"
_ATTEMPTS = 20  # to open a database in which another process makes the tables
_ORIGINAL, _HISTORY = "failed_trial", "retry_history"  # as RetryHeartbeatStaleTrialCallback writes
_MARKING_S = 60.0  # a trial gets its marks at once: without them after this time, nobody runs it
_RETRIES = 5  # a trial that kills its process (memory) must not stop the study for good
_listener: ContextVar[OnInterrupted | None] = ContextVar("listener", default=None)


def lock_before_reading(engine: Engine) -> None:
    """Have SQLite take the write lock when a transaction begins.

    Optuna reads the state of a queued trial and then changes it, under a row lock that SQLite
    does not know: two workers could take the same trial.
    """

    def leave_begin_to_the_next(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", leave_begin_to_the_next)
    event.listen(engine, "begin", begin)


def storage_url(root: Path) -> str:
    """`OPTUNA_STORAGE` if set, else SQLite at `mlruns/optuna.db` under `root`.

    A relative SQLite path is taken from `root`, wherever the process runs.
    """
    given = os.environ.get(STORAGE_VARIABLE)
    url = parse(given, STORAGE_VARIABLE) if given else of_file(Path("mlruns/optuna.db"))
    return given if given and file_of(url) is None else text_of(anchored(url, root))


def open_storage(url: str, *, heartbeat_s: int = 15, grace_s: int = 90) -> RDBStorage:
    """Open a storage, made when missing; any number of processes may do so at once.

    Args:
        url: of a database, as SQLAlchemy writes them.
        heartbeat_s: how often a worker says that its trial is still running.
        grace_s: a trial not heard of for so long is taken for interrupted and queued again.

    Raises:
        UserError: the database cannot be used; the message says why and what to do.
    """
    parsed = parse(url, STORAGE_VARIABLE)
    path = file_of(parsed)
    try:
        with explaining(parsed):
            if path is not None:
                make_file(path, lambda aside: _open_patiently(of_file(aside), heartbeat_s, grace_s))
                check_file(path, "studies", "Optuna")
            reach(parsed)
            storage = _open_patiently(parsed, heartbeat_s, grace_s)
    except ImportError as error:
        raise UserError(
            f"{shown(parsed)}: the driver of this database is not installed ({error}); "
            "for PostgreSQL: uv pip install -e '.[team]'"
        ) from error
    except DatabaseFileError as error:
        raise UserError(f"{error}. {remedy(str(error), _RESTORE)}") from error
    except (RuntimeError, OSError) as error:
        raise _unusable(parsed, error) from error
    if path is not None:
        lock_before_reading(storage.engine)
    return storage


def open_present_storage(url: str) -> RDBStorage:
    """Open a storage that another process has made.

    Raises:
        UserError: there is none, or it cannot be used.
    """
    path = file_of(parse(url, STORAGE_VARIABLE))
    if path is not None and not os.path.lexists(path):
        raise UserError(
            f"{path}: there is no storage of a search: start `dvc repro tune` first, with the same "
            f"{STORAGE_VARIABLE}"
        )
    return open_storage(url)


@contextmanager
def explaining(url: URL) -> Iterator[None]:
    """Turn an error of the database in the `with` block into a `UserError` that names it."""
    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(url, error) from error


def _unusable(url: URL, error: Exception) -> UserError:
    text = reason(error)
    start = f"Start the database or correct {STORAGE_VARIABLE}"
    hint = start if file_of(url) is None else remedy(text, _RESTORE)
    return UserError(
        f"{shown(url)}: the storage of the search cannot be used: {text}. {hint}; without "
        f"{STORAGE_VARIABLE} the search is kept in mlruns/optuna.db"
    )


_RESTORE = (
    "It holds the trials of the search: bring it back from a copy, or move it away and search anew"
)


def _open_patiently(url: URL, heartbeat_s: int, grace_s: int) -> RDBStorage:
    """Open again when another process is making the tables: Optuna's own check is no lock."""
    passing = (IntegrityError, OperationalError, ProgrammingError, StorageInternalError)
    template = text_of(url).replace("{", "{{").replace("}", "}}")  # Optuna fills it in
    attempts = 0
    while True:
        try:
            with experimental_on_purpose():
                return RDBStorage(
                    template,
                    engine_kwargs=engine_options(url),
                    heartbeat_interval=heartbeat_s,
                    grace_period=grace_s,
                    heartbeat_stale_trial_callback=queue_again,
                )
        except (*passing, AssertionError):
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            time.sleep(0.2)


def claim(storage: RDBStorage, study: str, key: str, value: str) -> str:
    """Set a user attribute of a study, unless another process has set it.

    Optuna's own `set_user_attr` lets the last one win, and the first would not know.

    Returns:
        What the attribute is now: `value`, or what the quicker process has set.
    """
    study_id = storage.get_study_id_from_name(study)
    row = {"study_id": study_id, "key": key, "value_json": json.dumps(value)}
    attributes = table("study_user_attributes", *map(column, row))  # of Optuna's schema
    with suppress(IntegrityError), storage.engine.begin() as connection:
        connection.execute(insert(attributes).values(row))  # a key is there once per study
    return str(storage.get_study_user_attrs(study_id)[key])


def mark(trial: Trial) -> None:
    """Note on a trial that starts which process runs it."""
    trial.set_user_attr(HOST_ATTR, machine.host())
    trial.set_user_attr(PROCESS_ATTR, machine.identify(os.getpid()) or "")


@contextmanager
def listening(on_interrupted: OnInterrupted) -> Iterator[None]:
    """Have `on_interrupted` called for every trial found interrupted in the `with` block.

    Optuna looks for stale heartbeats by itself and calls what the storage was made with, long
    before there is anyone to tell.
    """
    token = _listener.set(on_interrupted)
    try:
        yield
    finally:
        _listener.reset(token)


def reclaim(study: Study, unmarked_since_s: dict[int, float]) -> None:
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
    with experimental_on_purpose():
        fail_stale_trials(study)

    now_s = time.monotonic()
    for trial in study.get_trials(deepcopy=False, states=(TrialState.RUNNING,)):
        process = trial.user_attrs.get(PROCESS_ATTR)
        if process is None:
            is_gone = now_s - unmarked_since_s.setdefault(trial.number, now_s) > _MARKING_S
        else:
            here = trial.user_attrs[HOST_ATTR] == machine.host()
            is_gone = here and not machine.is_alive(process)
        if is_gone:
            give_up(study, trial.number)


def give_up(study: Study, number: int) -> None:
    """Fail a running trial and queue it again, unless another worker has done so."""
    try:
        trial = study.tell(number, state=TrialState.FAIL)
    except (ValueError, UpdateFinishedTrialError):  # it is not running any more
        return
    queue_again(study, trial)


def queue_again(study: Study, trial: FrozenTrial) -> None:
    """Queue a trial that was interrupted with its parameters, and report it.

    As Optuna's RetryHeartbeatStaleTrialCallback, but nothing else is inherited: user attributes
    name its process and its run, and what a pruner noted speaks of values that are reported afresh.
    """
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
    on_interrupted = _listener.get()
    if on_interrupted is not None:
        on_interrupted(trial)


def original_number(trial: FrozenTrial) -> int:
    """The number of the trial this one repeats; its own if it is no repetition."""
    return int(trial.system_attrs.get(_ORIGINAL, trial.number))


def is_queued_again(study: Study, number: int) -> bool:
    """Whether some worker took trial `number` for interrupted."""
    trials = study.get_trials(deepcopy=False)
    return any(number in trial.system_attrs.get(_HISTORY, ()) for trial in trials)


def finished_trials(study: Study, first: int | None = None) -> list[FrozenTrial]:
    """Complete and pruned trials by number; failed ones were no trials of their parameters.

    At most the `first` ones, so that what a longer study found later changes nothing.
    """
    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=original_number)[:first]


def best_trial(study: Study, first: int | None = None) -> FrozenTrial | None:
    """The complete trial with the best value, the earliest of equals; None without any."""
    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    complete = [
        (sign * trial.value, place, trial)
        for place, trial in enumerate(finished_trials(study, first))
        if trial.state.name == "COMPLETE" and trial.value is not None
    ]
    return min(complete, key=lambda entry: entry[:2])[2] if complete else None


def value_of(trial: FrozenTrial) -> float | None:
    """The objective of a complete trial; a pruned one has none, only parts of it."""
    return trial.value if trial.state.name == "COMPLETE" else None


def objective_of(study: Study) -> str:
    """The name of what is searched for, such as `log_loss`."""
    return (study.metric_names or ["value"])[0]


@contextmanager
def quiet_log() -> Iterator[None]:
    """Leave reports of trials and studies to the caller, who has more to say."""
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(before)


@contextmanager
def experimental_on_purpose() -> Iterator[None]:
    """Silence ExperimentalWarning for one call."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        yield
