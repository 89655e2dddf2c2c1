"""Studies are told apart by what they depend on, and their draws can be repeated."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import optuna
import pytest

from brain_tumor import settings
from brain_tumor.model.search.sampler import RepeatableTPESampler
from brain_tumor.model.search.space import suggest
from brain_tumor.model.search.storage import open_storage, storage_url
from brain_tumor.model.search.study import open_study, study_name
from brain_tumor.settings import TUNABLE, TuneParams

ROOT = Path(__file__).parents[3]
Section = Callable[..., TuneParams]
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
def test_samplers_in_turn_never_propose_the_same(
    pruner: str, section: Section, sqlite_url: str
) -> None:
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


def test_seed_decides_the_draws(fresh_url: FreshUrl, worker: ModuleType, section: Section) -> None:
    first, again, other = (
        worker.outcomes(worker.search(fresh_url(), section(seed=seed, n_trials=6)))
        for seed in (7, 7, 8)
    )
    assert first == again
    assert not {str(trial) for trial in first} & {str(trial) for trial in other}


def test_draws_stay_within_the_space_in_a_fixed_order(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    params = section()
    study = worker.search(fresh_url(), params)
    for trial in study.trials:
        assert tuple(trial.params) == TUNABLE
        for name, value in trial.params.items():
            span = getattr(params.space, name)
            assert span.low <= value <= span.high
        assert trial.params["fine_tune_blocks"] <= trial.params["head_block"] + 1


def test_what_a_draw_leaves_without_effect_is_not_drawn(section: Section) -> None:
    from optuna.trial import FixedTrial

    train = settings.read(ROOT / "params.yaml").train
    values = {"head_block": 5, "head_penalty": 0.1, "learning_rate": 1e-4}
    for depth, drawn in ((0, 3), (2, 4)):
        trial = FixedTrial(values | {"fine_tune_blocks": depth})
        names = list(suggest(trial, section().space, train.tuned))
        assert names == ["head_block", "fine_tune_blocks", "head_penalty", "learning_rate"][:drawn]


def test_every_depth_gets_its_share_before_it_is_chosen_by_results(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    params = section(n_trials=20, pruner="none")
    depths = [
        trial.params["fine_tune_blocks"] for trial in worker.search(fresh_url(), params).trials
    ]
    assert depths[:12] == [0, 1, 2, 3] * 3
    assert depths[12:] != [0, 1, 2, 3] * 2


def test_trials_are_given_up_by_what_earlier_ones_had_after_the_same_folds(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
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
    trials = worker.search(fresh_url(), params, objective).trials
    states = [trial.state.name for trial in trials]
    assert states == ["COMPLETE"] * 4 + ["PRUNED", "PRUNED", "COMPLETE"]
    assert [len(trial.intermediate_values) for trial in trials] == [2, 2, 2, 2, 2, 1, 2]


def test_sampler_keeps_nothing_between_draws(fresh_url: FreshUrl, section: Section) -> None:
    sampler = RepeatableTPESampler(1, 4)
    assert vars(sampler) == vars(RepeatableTPESampler(1, 4))
    study = open_study(open_storage(fresh_url()), "search", section(), create=True)
    before = dict(vars(study.sampler))
    study.enqueue_trial({})
    assert vars(study.sampler) == before


def test_study_that_is_missing_says_what_to_start_first(
    fresh_url: FreshUrl, section: Section
) -> None:
    with pytest.raises(ValueError, match="start `dvc repro tune` first"):
        open_study(open_storage(fresh_url()), "search", section(), create=False)


def test_many_may_create_storage_and_study_at_once(section: Section, tmp_path: Path) -> None:
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
    key: str, value: Any, message: str, worker: ModuleType, tmp_path: Path
) -> None:
    from ruamel.yaml import YAML

    section = worker.SECTION.model_dump(mode="json")
    *folders, name = key.split(".")
    (section[folders[0]] if folders else section)[name] = value
    with (tmp_path / "params.yaml").open("w") as file:
        YAML().dump({"tune": section}, file)
    with pytest.raises(settings.SettingsError, match=message):
        settings.load(tmp_path / "params.yaml", "tune", TuneParams)
