"""What a search has found."""

from typing import TYPE_CHECKING

from brain_tumor.model.best import Best
from brain_tumor.model.search.finished import best_trial, finished_trials, objective_of, shown_value
from brain_tumor.model.search.params import TUNABLE

if TYPE_CHECKING:
    import pandas as pd
    from optuna import Study


def best(study: "Study") -> Best:
    """The best trial.

    Raises:
        ValueError: no trial has run to its end.
    """
    trial = best_trial(study)
    trials = finished_trials(study)
    if trial is None or trial.value is None:
        raise ValueError(
            f"study {study.study_name}: no trial has run to its end ({len(trials)} pruned): raise "
            "tune.timeout_s or tune.n_trials, or set tune.pruner to none"
        )
    complete = sum(other.state.name == "COMPLETE" for other in trials)
    return Best(
        study=study.study_name,
        trial=trial.number,
        objective=objective_of(study),
        value=trial.value,
        params=dict(trial.params),
        complete=complete,
        pruned=len(trials) - complete,
    )


def trials_table(study: "Study") -> "pd.DataFrame":
    """One row per finished trial, by number.

    Returns:
        Columns number, state (`complete` or `pruned`), value, duration_s and the hyperparameters.
    """
    import pandas as pd

    trials = finished_trials(study)
    names = [name for name in TUNABLE if any(name in trial.params for trial in trials)]
    rows = [
        {
            "number": trial.number,
            "state": trial.state.name.lower(),
            "value": shown_value(study, trial),
            "duration_s": trial.duration.total_seconds() if trial.duration else None,
            **{name: trial.params.get(name) for name in names},
        }
        for trial in trials
    ]
    return pd.DataFrame(rows, columns=["number", "state", "value", "duration_s", *names])
