"""Trials are run until there are enough, whatever ends them."""

import sys
import time
import warnings
from collections.abc import Callable
from threading import Timer
from types import ModuleType, SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from brain_tumor.model.search import interrupted
from brain_tumor.model.search.params import TuneParams
from brain_tumor.model.search.progress import Progress
from brain_tumor.model.search.run import run
from brain_tumor.model.search.storage import open_storage
from brain_tumor.model.search.study import open_study

Section = Callable[..., TuneParams]
FreshUrl = Callable[[], str]


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def left_running(study: Study, host: str | None, process: str = "1:1") -> FrozenTrial:
    """A trial as a worker leaves it that is gone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ask() goes without a heartbeat
        trial = study.ask()
    trial.set_user_attr("mlflow.run", "abc")
    if host is not None:
        trial.set_user_attr(interrupted.HOST_ATTR, host)
        trial.set_user_attr(interrupted.PROCESS_ATTR, process)
    trial.suggest_float("dropout", 0.0, 0.6)
    return study.trials[trial.number]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_trial_is_run_again_next_time(
    fresh_url: FreshUrl, error: type[BaseException], worker: ModuleType, section: Section
) -> None:
    params, seen = section(), list[int]()

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 5:
            raise error
        return float(worker.formula(trial, params.space))

    study = open_study(open_storage(fresh_url()), "search", params, create=True)
    with pytest.raises(error):
        run(study, params, objective, lambda _: None, lambda trial: seen.append(trial.number))
    assert states(study)[5:] == ["FAIL", "WAITING"]
    run(study, params, objective, lambda _: None, lambda trial: seen.append(trial.number))

    assert seen == [5]
    assert worker.outcomes(study) == worker.outcomes(worker.search(fresh_url(), params))


def test_nothing_is_run_when_enough_trials_are_finished(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    study = worker.search(fresh_url(), section(n_trials=3))
    never = pytest.fail
    run(study, section(n_trials=3), lambda _: never("run"), lambda _: never(""), lambda _: None)
    assert len(study.trials) == 3


def test_no_trial_starts_after_the_timeout(
    fresh_url: FreshUrl,
    worker: ModuleType,
    section: Section,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0

    def objective(trial: optuna.Trial) -> float:
        nonlocal now_s
        now_s += 2.0
        return 1.0

    clock = SimpleNamespace(monotonic=lambda: now_s, sleep=time.sleep)
    monkeypatch.setattr(sys.modules[run.__module__], "time", clock)
    study = worker.search(fresh_url(), section(timeout_s=3.0), objective)
    assert states(study) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("value", [ZeroDivisionError("broken"), float("nan"), "text"])
def test_failing_objective_stops_the_search_and_the_next_one_tries_something_else(
    fresh_url: FreshUrl, value: Any, worker: ModuleType, section: Section
) -> None:
    params = section(n_trials=4)

    def objective(trial: optuna.Trial) -> Any:
        good = worker.formula(trial, params.space)
        if trial.number == 2 and isinstance(value, Exception):
            raise value
        return value if trial.number == 2 else good

    study = open_study(open_storage(fresh_url()), "search", params, create=True)
    with pytest.raises((ZeroDivisionError, ValueError)):
        run(study, params, objective, lambda _: None, lambda _: pytest.fail("reported"))
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL"]
    run(study, params, objective, lambda _: None, lambda _: pytest.fail("reported"))
    assert states(study) == ["COMPLETE", "COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert len({trial.params["dropout"] for trial in study.trials}) == 5


def test_stale_trial_of_another_host_is_run_again(
    worker: ModuleType, section: Section, sqlite_url: str
) -> None:
    seen: list[FrozenTrial] = []
    storage = open_storage(sqlite_url, heartbeat_s=1, grace_s=1)
    study = open_study(storage, "search", section(), create=True)
    gone = left_running(study, "elsewhere")
    storage.record_heartbeat(gone._trial_id)
    params = section(n_trials=1)
    run(study, params, lambda _: 1.0, lambda _: None, seen.append)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert [trial.user_attrs["mlflow.run"] for trial in seen] == ["abc"]
    assert study.trials[1].params == gone.params
    assert "mlflow.run" not in study.trials[1].user_attrs


def test_who_has_no_trial_left_to_start_waits_for_those_of_others(
    section: Section, sqlite_url: str
) -> None:
    storage = open_storage(sqlite_url)
    study = open_study(storage, "search", section(), create=True)
    other = left_running(study, "elsewhere")
    storage.record_heartbeat(other._trial_id)
    Timer(1.5, lambda: study.tell(other.number, 0.5)).start()
    run(study, section(n_trials=1), lambda _: pytest.fail("run"), print, print)
    assert states(study) == ["COMPLETE"]


def test_waiting_ends_with_the_timeout(section: Section, sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    study = open_study(storage, "search", section(), create=True)
    storage.record_heartbeat(left_running(study, "elsewhere")._trial_id)
    params = section(n_trials=1, timeout_s=1.5)
    run(study, params, lambda _: pytest.fail("run"), print, print)
    assert states(study) == ["RUNNING"]


def test_trial_of_a_living_process_is_left_alone(fresh_url: FreshUrl, section: Section) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        interrupted.mark(study.ask())
    interrupted.reclaim(study)
    assert states(study) == ["RUNNING"]


def test_trial_without_marks_is_given_up_after_a_while(
    fresh_url: FreshUrl, section: Section, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    left_running(study, None)
    interrupted.reclaim(study)
    assert states(study) == ["RUNNING"]
    monkeypatch.setattr(interrupted, "_MARKING_S", -1.0)
    interrupted.reclaim(study)
    assert states(study) == ["FAIL", "WAITING"]


def test_nothing_is_queued_twice(fresh_url: FreshUrl, section: Section) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    gone = left_running(study, "elsewhere")
    interrupted.give_up(study, gone.number)
    interrupted.give_up(study, gone.number)
    assert states(study) == ["FAIL", "WAITING"]


def test_worker_whose_trial_was_taken_over_goes_on(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    params = section(n_trials=3)

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:  # as another worker does that has not heard of this one for long
            interrupted.give_up(trial.study, trial.number)
        return float(worker.formula(trial, params.space))

    study = worker.search(fresh_url(), params, objective)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_retry_forgets_what_the_pruner_noted(fresh_url: FreshUrl, section: Section) -> None:
    params = section()
    study = open_study(open_storage(fresh_url()), "search", params, create=True)
    gone = left_running(study, "elsewhere")
    study._storage.set_trial_system_attr(gone._trial_id, "completed_rung_0", 0.1)
    interrupted.give_up(study, gone.number)
    assert study.trials[1].system_attrs == {"failed_trial": 0, "retry_history": [0]}


def test_progress_says_how_far_the_search_is(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    seen: list[Progress] = []
    study = worker.search(fresh_url(), section(), on_trial=seen.append)

    assert [progress.finished for progress in seen] == list(range(1, 13))
    last = seen[-1]
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert 0 < last.pruned == len(pruned)
    assert last.best_value == study.best_value
    assert last.left_s == 0.0
    assert seen[0].left_s is not None
    assert seen[0].left_s > 0


def test_progress_line_is_for_people() -> None:
    settings = {"learning_rate": 1.2e-3, "head_block": 6, "fine_tune_blocks": 2, "dropout": 0.25}
    progress = Progress(
        objective="log_loss",
        finished=7,
        n_trials=20,
        pruned=2,
        best_value=0.2141,
        best_number=4,
        number=6,
        value=0.2312,
        state="complete",
        pruned_at=None,
        params=settings,
        duration_s=74.2,
        left_s=700.0,
    )
    assert progress.line() == (
        "7/20: trial 6, log_loss 0.231 in 74 s (lr 1.2e-3, mixed6, depth 2, dropout 0.25) "
        "| best 0.214 (trial 4) | 2 pruned | about 12 min left"
    )


def test_pruned_trial_says_of_what_part_its_loss_is(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    seen: list[Progress] = []

    def objective(trial: optuna.Trial) -> float:
        trial.report(0.3 if trial.number < 4 else 0.4, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 0.5

    worker.search(fresh_url(), section(n_trials=5), objective, seen.append)
    assert seen[-1].value is None
    assert (
        "trial 4, pruned after 1 of 2 folds, at log_loss 0.4 (median of earlier trials there 0.3)"
        in (seen[-1].line())
    )
    assert "best 0.5 (trial 0)" in seen[-1].line()
