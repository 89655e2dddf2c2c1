"""Studies are told apart by what they depend on, and their draws can be repeated."""

import math
import threading
import warnings
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from threading import Timer
from types import SimpleNamespace
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.distributions import BaseDistribution, FloatDistribution
from optuna.storages import InMemoryStorage
from optuna.study import Study
from optuna.trial import FrozenTrial, TrialState

from brain_tumor import settings
from brain_tumor.errors import UserError
from brain_tumor.settings import TUNABLE, TuneParams
from brain_tumor.tuning import search as search_module
from brain_tumor.tuning import storage as storage_module
from brain_tumor.tuning.figures import draw_history, draw_parameter, importances, save_figures
from brain_tumor.tuning.plan import study_name
from brain_tumor.tuning.search import (
    RepeatableTPESampler,
    best,
    open_study,
    progress_line,
    run,
    suggest,
    trials_table,
)
from brain_tumor.tuning.storage import explaining, open_storage, storage_url
from tests.postgres_server import PASSWORD, postgres_server
from tests.tuning.worker import SECTION, formula, outcomes, search, section

ROOT = Path(__file__).parents[2]
FreshUrl = Callable[[], str]
FACTS: dict[str, object] = {
    "data": "1",
    "weights": "2",
    "space": {"dropout": [0.0, 0.5]},
    "objective": "auroc",
}


def test_name_changes_with_every_fact() -> None:
    changed = [FACTS | {key: "other"} for key in FACTS]
    more = FACTS | {"folds": 3}
    names = {study_name(facts) for facts in (FACTS, more, *changed)}
    assert len(names) == 2 + len(FACTS)
    assert all(len(name) == len("brain-tumor-") + 16 for name in names)


def test_name_does_not_depend_on_the_order_of_facts() -> None:
    assert study_name(FACTS) == study_name(dict(reversed(FACTS.items())))


@pytest.mark.parametrize("pruner", ["median", "none"])
def test_samplers_in_turn_never_propose_the_same(pruner: str, sqlite_url: str) -> None:
    params = section(pruner=pruner)
    workers = [
        open_study(open_storage(sqlite_url), "search", params, create=True) for _ in range(2)
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ask() goes without a heartbeat
        for turn in range(12):
            trials = [study.ask() for study in workers]
            drawn = [suggest(trial, params.space, lambda _: TUNABLE) for trial in trials]
            for study, trial, values in zip(workers, trials, drawn, strict=True):
                if turn != 3:
                    study.tell(trial, values["dropout"])
    assert len({tuple(trial.params.values()) for trial in workers[0].trials}) == 24
    assert len({trial.params["dropout"] for trial in workers[0].trials}) == 24


def test_seed_decides_the_draws(fresh_url: FreshUrl) -> None:
    first, again, other = (
        outcomes(search(fresh_url(), section(seed=seed, n_trials=6))) for seed in (7, 7, 8)
    )
    assert first == again
    assert not {str(trial) for trial in first} & {str(trial) for trial in other}


def test_draws_stay_within_the_space_in_a_fixed_order(fresh_url: FreshUrl) -> None:
    params = section()
    study = search(fresh_url(), params)
    for trial in study.trials:
        assert tuple(trial.params) == TUNABLE
        for name, value in trial.params.items():
            span = getattr(params.space, name)
            assert span.low <= value <= span.high
        assert trial.params["fine_tune_blocks"] <= trial.params["head_block"] + 1


def test_what_a_draw_leaves_without_effect_is_not_drawn() -> None:
    from optuna.trial import FixedTrial

    train = settings.read(ROOT / "params.yaml").train
    values = {"head_block": 5, "head_penalty": 0.1, "learning_rate": 1e-4}
    for depth, drawn in ((0, 3), (2, 4)):
        trial = FixedTrial(values | {"fine_tune_blocks": depth})
        names = list(suggest(trial, section().space, train.tuned))
        assert names == ["head_block", "fine_tune_blocks", "head_penalty", "learning_rate"][:drawn]


def test_every_depth_gets_its_share_before_it_is_chosen_by_results(fresh_url: FreshUrl) -> None:
    params = section(n_trials=20, pruner="none")
    depths = [trial.params["fine_tune_blocks"] for trial in search(fresh_url(), params).trials]
    assert depths[:12] == [0, 1, 2, 3] * 3
    assert depths[12:] != [0, 1, 2, 3] * 2


def test_trials_are_given_up_by_what_earlier_ones_had_after_the_same_folds(
    fresh_url: FreshUrl,
) -> None:
    """A lucky first fold does not save a trial at the second, as it would with Optuna's own."""
    folds = [[0.3, 0.5], [0.4, 0.4], [0.5, 0.3], [0.35, 0.45], [0.1, 0.6], [0.45, 0.2], [0.2, 0.3]]

    def objective(trial: optuna.Trial) -> float:
        for number, value in enumerate(folds[trial.number], 1):
            trial.report(value, number)
            if trial.should_prune():
                raise optuna.TrialPruned
        return folds[trial.number][-1]

    params = section(n_trials=7, startup_trials=4)
    trials = search(fresh_url(), params, objective).trials
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE"] * 4 + ["PRUNED", "PRUNED", "COMPLETE"]
    assert [len(trial.intermediate_values) for trial in trials] == [2, 2, 2, 2, 2, 1, 2]


def test_sampler_keeps_nothing_between_draws(fresh_url: FreshUrl) -> None:
    sampler = RepeatableTPESampler(1, 4)
    assert vars(sampler) == vars(RepeatableTPESampler(1, 4))
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    before = dict(vars(study.sampler))
    study.enqueue_trial({})
    assert vars(study.sampler) == before


def test_study_that_is_missing_says_what_to_start_first(fresh_url: FreshUrl) -> None:
    with pytest.raises(ValueError, match="start `dvc repro tune` first"):
        open_study(open_storage(fresh_url()), "search", section(), create=False)


def test_many_may_create_storage_and_study_at_once(tmp_path: Path) -> None:
    url, errors, ids = f"sqlite:///{tmp_path}/new/optuna.db", list[Exception](), set[str]()
    together = threading.Barrier(6)

    def create() -> None:
        together.wait()
        try:
            study = open_study(open_storage(url), "search", section(), create=True)
            ids.add(str(study._study_id))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=create) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert len(ids) == 1


def test_storage_is_in_mlruns_unless_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert storage_url(tmp_path) == f"sqlite:///{tmp_path}/mlruns/optuna.db"
    for given, expected in {
        "sqlite:///searches/a.db": f"sqlite:///{tmp_path}/searches/a.db",
        "sqlite:////srv/a.db": "sqlite:////srv/a.db",
        "postgresql://u:p@host/db": "postgresql://u:p@host/db",
    }.items():
        monkeypatch.setenv("OPTUNA_STORAGE", given)
        assert storage_url(tmp_path) == expected


def test_server_that_cannot_be_reached_is_named_without_its_password() -> None:
    with pytest.raises(ValueError, match=r"cannot be used: .*refused") as caught:
        open_storage("postgresql://me:hush@127.0.0.1:9/searches?password=hush")
    assert "postgresql+psycopg://me:***@127.0.0.1:9/searches" in str(caught.value)
    assert "OPTUNA_STORAGE" in str(caught.value)
    assert "hush" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("me:hush@host/db", "OPTUNA_STORAGE .* is not the URL of a database"),
        ("oracle+cx_oracle://me:hush@host/db", "driver of this database is not installed"),
        ("nosuch://me:hush@host/db", "cannot be used"),
        ("sqlite:////dev/null/optuna.db", "cannot be used"),
        ("sqlite://", "name a file"),
    ],
)
def test_storage_that_cannot_be_used_is_explained(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        open_storage(url)
    assert "hush" not in str(caught.value)


def test_braces_in_a_url_are_left_alone(tmp_path: Path) -> None:
    open_storage(f"sqlite:///{tmp_path}/{{a}}.db")
    assert (tmp_path / "{a}.db").is_file()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("n_trials", 0, r"tune.n_trials: .*received 0"),
        ("timeout_s", 0.0, r"tune.timeout_s: .*received 0"),
        ("objective", "accuracy", r"tune.objective: .*received 'accuracy'"),
        (
            "space.dropout",
            {"low": 0.0, "high": 1.0, "log": False},
            r"dropout.high must .*received 1",
        ),
        ("space.dropout", {"low": 0.5, "high": 0.1, "log": False}, r"tune.space.dropout: .*0.5"),
        ("space.dropout", {"low": 0.0, "high": 0.1, "log": True}, r"space.dropout: .*low > 0"),
        ("space.learning_rate", {"low": 0.0, "high": 0.1, "log": False}, r"learning_rate.low"),
        ("space.head_block", {"low": 4, "high": 11}, r"head_block.high must .*received 11"),
        ("space.fine_tune_blocks", {"low": -1, "high": 2}, r"fine_tune_blocks.low: .*received -1"),
    ],
)
def test_values_that_do_not_fit_are_named(
    key: str, value: Any, message: str, tmp_path: Path
) -> None:
    from ruamel.yaml import YAML

    values = SECTION.model_dump(mode="json")
    *folders, name = key.split(".")
    (values[folders[0]] if folders else values)[name] = value
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump({"tune": values}, file)
    with pytest.raises(UserError, match=message):
        settings.load(tmp_path / "params.yaml", "tune", TuneParams)


def states(study: Study) -> list[str]:
    return [trial.state.name for trial in study.trials]


def left_running(study: Study, host: str | None, process: str = "1:1") -> FrozenTrial:
    """A trial as a worker leaves it that is gone."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # ask() goes without a heartbeat
        trial = study.ask()
    trial.set_user_attr("mlflow.run", "abc")
    if host is not None:
        trial.set_user_attr(storage_module.HOST_ATTR, host)
        trial.set_user_attr(storage_module.PROCESS_ATTR, process)
    trial.suggest_float("dropout", 0.0, 0.6)
    return study.trials[trial.number]


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit])
def test_interrupted_trial_is_run_again_next_time(
    fresh_url: FreshUrl, error: type[BaseException]
) -> None:
    params, interrupted = section(), list[int]()

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 5:
            raise error
        return float(formula(trial, params.space))

    study = open_study(open_storage(fresh_url()), "search", params, create=True)
    with pytest.raises(error):
        run(
            study, params, objective, lambda _: None, lambda trial: interrupted.append(trial.number)
        )
    assert states(study)[5:] == ["FAIL", "WAITING"]
    run(study, params, objective, lambda _: None, lambda trial: interrupted.append(trial.number))

    assert interrupted == [5]
    assert outcomes(study) == outcomes(search(fresh_url(), params))


def test_nothing_is_run_when_enough_trials_are_finished(fresh_url: FreshUrl) -> None:
    study = search(fresh_url(), section(n_trials=3))
    never = pytest.fail
    run(study, section(n_trials=3), lambda _: never("run"), lambda _: never(""), lambda _: None)
    assert len(study.trials) == 3


def test_no_trial_starts_after_the_timeout(
    fresh_url: FreshUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    now_s = 100.0
    monkeypatch.setattr(search_module, "time", SimpleNamespace(monotonic=lambda: now_s))

    def objective(trial: optuna.Trial) -> float:
        nonlocal now_s
        now_s += 2.0
        return 1.0

    study = search(fresh_url(), section(timeout_s=3.0), objective)
    assert states(study) == ["COMPLETE", "COMPLETE"]


@pytest.mark.parametrize("value", [ZeroDivisionError("broken"), float("nan"), "text"])
def test_failing_objective_stops_the_search_and_the_next_one_tries_something_else(
    fresh_url: FreshUrl, value: Any
) -> None:
    params = section(n_trials=4)

    def objective(trial: optuna.Trial) -> Any:
        good = formula(trial, params.space)
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


def test_stale_trial_of_another_host_is_run_again(sqlite_url: str) -> None:
    interrupted: list[FrozenTrial] = []
    storage = open_storage(sqlite_url, heartbeat_s=1, grace_s=1)
    study = open_study(storage, "search", section(), create=True)
    gone = left_running(study, "elsewhere")
    storage.record_heartbeat(gone._trial_id)
    params = section(n_trials=1)
    run(study, params, lambda _: 1.0, lambda _: None, interrupted.append)
    assert states(study) == ["FAIL", "COMPLETE"]
    assert [trial.user_attrs["mlflow.run"] for trial in interrupted] == ["abc"]
    assert study.trials[1].params == gone.params
    assert "mlflow.run" not in study.trials[1].user_attrs


def test_who_has_no_trial_left_to_start_waits_for_those_of_others(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    study = open_study(storage, "search", section(), create=True)
    other = left_running(study, "elsewhere")
    storage.record_heartbeat(other._trial_id)
    Timer(1.5, lambda: study.tell(other.number, 0.5)).start()
    run(study, section(n_trials=1), lambda _: pytest.fail("run"), print, print)
    assert states(study) == ["COMPLETE"]


def test_waiting_ends_with_the_timeout(sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    study = open_study(storage, "search", section(), create=True)
    storage.record_heartbeat(left_running(study, "elsewhere")._trial_id)
    params = section(n_trials=1, timeout_s=1.5)
    run(study, params, lambda _: pytest.fail("run"), print, print)
    assert states(study) == ["RUNNING"]


def test_trial_of_a_living_process_is_left_alone(fresh_url: FreshUrl) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        storage_module.mark(study.ask())
    storage_module.reclaim(study, {})
    assert states(study) == ["RUNNING"]


def test_trial_without_marks_is_given_up_after_a_while(
    fresh_url: FreshUrl, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    left_running(study, None)
    now_s = 7.0
    clock = SimpleNamespace(monotonic=lambda: now_s)
    monkeypatch.setattr(storage_module, "time", clock)
    since_s: dict[int, float] = {}
    storage_module.reclaim(study, since_s)
    now_s += 60.0
    storage_module.reclaim(study, since_s)
    assert states(study) == ["RUNNING"]
    now_s += 1.0
    storage_module.reclaim(study, since_s)
    assert states(study) == ["FAIL", "WAITING"]


def test_nothing_is_queued_twice(fresh_url: FreshUrl) -> None:
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    gone = left_running(study, "elsewhere")
    storage_module.give_up(study, gone.number)
    storage_module.give_up(study, gone.number)
    assert states(study) == ["FAIL", "WAITING"]


def test_worker_whose_trial_was_taken_over_goes_on(fresh_url: FreshUrl) -> None:
    params = section(n_trials=3)

    def objective(trial: optuna.Trial) -> float:
        if trial.number == 1:  # as another worker does that has not heard of this one for long
            storage_module.give_up(trial.study, trial.number)
        return float(formula(trial, params.space))

    study = search(fresh_url(), params, objective)
    assert states(study) == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]


def test_retry_forgets_what_the_pruner_noted(fresh_url: FreshUrl) -> None:
    params = section()
    study = open_study(open_storage(fresh_url()), "search", params, create=True)
    gone = left_running(study, "elsewhere")
    study._storage.set_trial_system_attr(gone._trial_id, "completed_rung_0", 0.1)
    storage_module.give_up(study, gone.number)
    assert study.trials[1].system_attrs == {"failed_trial": 0, "retry_history": [0]}


def test_every_trial_that_finished_is_reported(fresh_url: FreshUrl) -> None:
    reported: list[FrozenTrial] = []
    study = search(fresh_url(), section(), on_trial=reported.append)
    assert [trial.number for trial in reported] == list(range(12))
    assert " left" not in progress_line(study, reported[-1], section())
    pruned = [trial for trial in study.trials if trial.state == TrialState.PRUNED]
    assert pruned
    assert f" | {len(pruned)} pruned" in progress_line(study, reported[-1], section())
    assert f"best {study.best_value:.3g} " in progress_line(study, reported[-1], section())


def test_progress_line_is_for_people() -> None:
    drawn = {"learning_rate": 1.2e-3, "head_block": 6, "fine_tune_blocks": 2, "dropout": 0.25}
    study = open_study(InMemoryStorage(), "search", section(), create=True)
    start = datetime(2026, 1, 1)
    for number, (value, duration_s) in enumerate(
        [(0.3, 50), (None, 40), (0.4, 60), (None, 40), (0.2141, 60), (0.5, 52.7), (0.2312, 74.2)]
    ):
        state = TrialState.PRUNED if value is None else TrialState.COMPLETE
        end = start + timedelta(seconds=duration_s)
        distributions: dict[str, BaseDistribution] = dict.fromkeys(drawn, FloatDistribution(0, 9))
        study.add_trial(
            FrozenTrial(number, state, value, start, end, drawn, distributions, {}, {}, {}, number)
        )
    assert progress_line(study, study.trials[-1], section(n_trials=20)) == (
        "7/20: trial 6, log_loss 0.231 in 74 s (lr 1.2e-3, mixed6, depth 2, dropout 0.25) "
        "| best 0.214 (trial 4) | 2 pruned | about 12 min left"
    )


def test_pruned_trial_says_of_what_part_its_loss_is(fresh_url: FreshUrl) -> None:
    def objective(trial: optuna.Trial) -> float:
        trial.report(0.3 if trial.number < 4 else 0.4, 1)
        if trial.should_prune():
            raise optuna.TrialPruned
        return 0.5

    params = section(n_trials=5)
    study = search(fresh_url(), params, objective)
    line = progress_line(study, study.trials[-1], params)
    part = "after 1 of 2 folds, at log_loss 0.4 (median of earlier trials there 0.3)"
    assert f"trial 4, pruned {part}" in line
    assert "best 0.5 (trial 0)" in line


@pytest.fixture(scope="module")
def study(fresh_url: FreshUrl) -> Study:
    return search(fresh_url(), section(n_trials=20))


def test_best_is_the_lowest_loss(study: Study) -> None:
    chosen = best(study, 20)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert chosen.value == min(trial.value for trial in complete if trial.value is not None)
    assert chosen.trial is not None
    assert chosen.params == study.trials[chosen.trial].params
    assert chosen.objective == "log_loss"
    assert chosen.complete + chosen.pruned == 20
    assert type(chosen).model_validate_json(chosen.model_dump_json()) == chosen


def test_best_is_the_highest_auroc_and_the_earliest_of_equals(fresh_url: FreshUrl) -> None:
    values = [0.5, 0.9, 0.9, 0.7]
    params = section(objective="auroc", n_trials=4, pruner="none")
    chosen = best(search(fresh_url(), params, lambda trial: values[trial.number]), 4)
    assert (chosen.trial, chosen.value) == (1, 0.9)


def test_search_without_a_complete_trial_says_what_to_change(
    fresh_url: FreshUrl, tmp_path: Path
) -> None:
    def objective(trial: optuna.Trial) -> float:
        raise optuna.TrialPruned

    study = search(fresh_url(), section(n_trials=2), objective)
    with pytest.raises(ValueError, match=r"2 pruned.*tune.timeout_s or tune.n_trials.*tune.pruner"):
        best(study, 2)
    assert list(trials_table(study, 2)["state"]) == ["pruned", "pruned"]
    assert importances(study, 2) == {}
    assert save_figures(tmp_path, study, 2) == []


def test_table_has_a_row_per_finished_trial(study: Study) -> None:
    table = trials_table(study, 20)
    facts = ["number", "state", "value", "folds", "value_so_far", "duration_s"]
    assert list(table.columns) == [*facts, *TUNABLE]
    assert table["value"].isna().equals(table["state"] == "pruned")
    assert (table.loc[table["state"] == "pruned", "folds"] >= 1).all()
    assert list(table["number"]) == list(range(20))
    assert table["head_block"].dtype == int
    assert set(table["state"]) == {"complete", "pruned"}


def test_best_and_table_are_of_the_first_trials_whatever_came_later(fresh_url: FreshUrl) -> None:
    values = [0.5, 0.4, 0.6, 0.1]
    url, params = fresh_url(), section(pruner="none")
    long = search(
        url, params.model_copy(update={"n_trials": 4}), lambda trial: values[trial.number]
    )
    short = search(
        fresh_url(), params.model_copy(update={"n_trials": 3}), lambda trial: values[trial.number]
    )
    assert best(long, 3) == best(short, 3).model_copy(update={"study": long.study_name})
    assert best(long, 4).trial == 3
    assert len(trials_table(long, 3)) == 3


def test_importances_add_up_and_know_what_matters(study: Study) -> None:
    clear = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    clear.optimize(
        lambda trial: trial.suggest_float("dropout", 0, 1) + 0 * trial.suggest_float("other", 0, 1),
        n_trials=60,
    )
    shares = importances(clear, 60)
    assert set(shares) == {"dropout", "other"}
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["dropout"] > 0.7
    assert importances(clear, 19) == {}  # too few to say anything


def test_figures_leave_matplotlib_as_it_was(study: Study, tmp_path: Path) -> None:
    face, figures = mpl.rcParams["axes.facecolor"], plt.get_fignums()
    written = save_figures(tmp_path / "new", study, 20)
    assert [path.name for path in written] == ["history.png", *(f"{name}.png" for name in TUNABLE)]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in written
    )
    assert mpl.rcParams["axes.facecolor"] == face
    assert plt.get_fignums() == figures


TABLE = pd.DataFrame(
    {
        "number": [0, 1, 2, 3],
        "state": ["complete", "complete", "pruned", "complete"],
        "value": [0.5, 0.4, math.nan, 0.45],
        "value_so_far": [0.5, 0.4, 0.3, 0.45],
        "fine_tune_blocks": [0, 1, 2, 1],
        "learning_rate": [math.nan, 1e-4, 1e-3, 3e-4],
    }
)


def points(figure: Any) -> set[tuple[float, float]]:
    """What is scattered in the axes of a figure."""
    dots = [np.ma.filled(part.get_offsets(), np.nan) for part in figure.axes[0].collections]
    return {(float(x), float(y)) for x, y in np.concatenate(dots) if not math.isnan(y)}


def test_loss_is_drawn_over_learning_rate_with_a_colour_a_depth() -> None:
    figure = draw_parameter(TABLE, "log_loss", "learning_rate")
    axes = figure.axes[0]
    drawn = points(figure)
    assert {(1e-4, 0.4), (3e-4, 0.45), (1e-3, 0.3)} <= drawn
    ((without, value),) = drawn - {(1e-4, 0.4), (3e-4, 0.45), (1e-3, 0.3)}
    assert value == 0.5
    assert without < 1e-4  # depth 0 has no rate: left of all that have one
    assert axes.get_xscale() == "log"
    labels = {text.get_text() for text in figure.legends[0].get_texts()}
    assert labels == {"0 blocks", "1 block", "2 blocks", "pruned (first folds only)"}


def test_best_so_far_never_rises_and_is_of_complete_trials() -> None:
    (line,) = draw_history(TABLE, "log_loss").axes[0].get_lines()
    assert list(line.get_ydata()) == [0.5, 0.4, 0.4, 0.4]
    rising = TABLE.assign(value=[0.5, 0.6, math.nan, 0.55])
    (line,) = draw_history(rising, "auroc").axes[0].get_lines()
    assert list(line.get_ydata()) == [0.5, 0.6, 0.6, 0.6]


def test_lost_database_is_named() -> None:
    with ExitStack() as server:
        storage = open_storage(server.enter_context(postgres_server()), heartbeat_s=600)
        study = open_study(storage, "search", section(), create=True)

        def objective(trial: optuna.Trial) -> float:
            server.close()
            return 1.0

        with (
            pytest.raises(ValueError, match="OPTUNA_STORAGE") as caught,
            explaining(storage.engine.url),
        ):
            run(study, section(), objective, print, print)
    message = str(caught.value)
    assert "connection" in message
    assert "\n" not in message
    assert PASSWORD not in message
