"""What was found, as numbers, a table and figures."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import matplotlib.pyplot as plt
import optuna
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from brain_tumor.model.search.figures import importances, save_figures
from brain_tumor.model.search.params import TUNABLE, TuneParams
from brain_tumor.model.search.result import best, trials_table

Section = Callable[..., TuneParams]
FreshUrl = Callable[[], str]


@pytest.fixture(scope="module")
def study(fresh_url: FreshUrl, worker: ModuleType, section: Section) -> Study:
    found: Study = worker.search(fresh_url(), section(n_trials=20))
    return found


def test_best_is_the_lowest_loss(study: Study) -> None:
    found = best(study)
    complete = study.get_trials(states=(TrialState.COMPLETE,))
    assert found.value == min(trial.value for trial in complete if trial.value is not None)
    assert found.trial is not None
    assert found.params == study.trials[found.trial].params
    assert found.objective == "log_loss"
    assert found.complete + found.pruned == 20
    assert type(found).model_validate_json(found.model_dump_json()) == found


def test_best_is_the_highest_auroc_and_the_earliest_of_equals(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    values = [0.5, 0.9, 0.9, 0.7]
    params = section(objective="auroc", n_trials=4, pruner="none")
    found = best(worker.search(fresh_url(), params, lambda trial: values[trial.number]))
    assert (found.trial, found.value) == (1, 0.9)


def test_search_without_a_complete_trial_says_what_to_change(
    fresh_url: FreshUrl, worker: ModuleType, section: Section, tmp_path: Path
) -> None:
    def objective(trial: optuna.Trial) -> float:
        raise optuna.TrialPruned

    study = worker.search(fresh_url(), section(n_trials=2), objective)
    with pytest.raises(ValueError, match=r"2 pruned.*tune.timeout_s or tune.n_trials.*tune.pruner"):
        best(study)
    assert list(trials_table(study)["state"]) == ["pruned", "pruned"]
    assert importances(study) == {}
    assert save_figures(tmp_path, study) == []


def test_table_has_a_row_per_finished_trial(study: Study) -> None:
    table = trials_table(study)
    assert list(table.columns) == ["number", "state", "value", "duration_s", *TUNABLE]
    assert list(table["number"]) == list(range(20))
    assert table["head_block"].dtype == int
    assert set(table["state"]) == {"complete", "pruned"}


def test_importances_add_up_and_know_what_matters(study: Study) -> None:
    shares = importances(study)
    assert set(shares) == set(TUNABLE)
    assert sum(shares.values()) == pytest.approx(1.0)

    clear = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    clear.optimize(
        lambda trial: trial.suggest_float("dropout", 0, 1) + 0 * trial.suggest_float("other", 0, 1),
        n_trials=60,
    )
    assert importances(clear)["dropout"] > 0.7


def test_figures_are_made_and_leave_matplotlib_as_it_was(study: Study, tmp_path: Path) -> None:
    face, figures = mpl.rcParams["axes.facecolor"], plt.get_fignums()
    written = save_figures(tmp_path / "new", study)
    assert [path.name for path in written] == ["history.png", "slice.png", "importances.png"]
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in written)
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == sorted(
        path.name for path in written
    )
    assert mpl.rcParams["axes.facecolor"] == face
    assert plt.get_fignums() == figures


def test_importances_are_left_out_where_nothing_differs(
    fresh_url: FreshUrl, worker: ModuleType, section: Section, tmp_path: Path
) -> None:
    study = worker.search(fresh_url(), section(n_trials=3), lambda _: 1.0)
    assert importances(study) == {}
    assert [path.name for path in save_figures(tmp_path, study)] == ["history.png", "slice.png"]
