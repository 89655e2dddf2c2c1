"""What a search has found."""

from typing import TYPE_CHECKING

from brain_tumor.model.recipe import OUT_OF_FOLD
from brain_tumor.model.search.finished import (
    best_trial,
    finished_trials,
    folds_of,
    objective_of,
    value_of,
)
from brain_tumor.model.search.interrupted import original_number
from brain_tumor.outputs import Best
from brain_tumor.settings import TUNABLE

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study


def best(study: "Study", n_trials: int) -> Best:
    """The best of the first `n_trials` finished trials.

    Raises:
        ValueError: no trial has run to its end.
    """
    trial = best_trial(study, n_trials)
    trials = finished_trials(study, n_trials)
    if trial is None or trial.value is None:
        raise ValueError(
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
