"""What was found, as numbers, a table and figures."""

import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.study import Study
from optuna.trial import TrialState

from brain_tumor.model.search.figures import (
    draw_history,
    draw_parameter,
    importances,
    save_figures,
)
from brain_tumor.model.search.result import best, trials_table
from brain_tumor.settings import TUNABLE, TuneParams

Section = Callable[..., TuneParams]
FreshUrl = Callable[[], str]


@pytest.fixture(scope="module")
def study(fresh_url: FreshUrl, worker: ModuleType, section: Section) -> Study:
    found: Study = worker.search(fresh_url(), section(n_trials=20))
    return found


def test_best_is_the_lowest_loss(study: Study) -> None:
    found = best(study, 20)
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
    found = best(worker.search(fresh_url(), params, lambda trial: values[trial.number]), 4)
    assert (found.trial, found.value) == (1, 0.9)


def test_search_without_a_complete_trial_says_what_to_change(
    fresh_url: FreshUrl, worker: ModuleType, section: Section, tmp_path: Path
) -> None:
    def objective(trial: optuna.Trial) -> float:
        raise optuna.TrialPruned

    study = worker.search(fresh_url(), section(n_trials=2), objective)
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


def test_best_and_table_are_of_the_first_trials_whatever_came_later(
    fresh_url: FreshUrl, worker: ModuleType, section: Section
) -> None:
    values = [0.5, 0.4, 0.6, 0.1]
    url, params = fresh_url(), section(pruner="none")
    long = worker.search(
        url, params.model_copy(update={"n_trials": 4}), lambda trial: values[trial.number]
    )
    short = worker.search(
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
    dots = [np.ma.filled(one.get_offsets(), np.nan) for one in figure.axes[0].collections]
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
