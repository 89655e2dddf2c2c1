"""What a study's finished trials say, the same in every process that asks."""

from typing import TYPE_CHECKING

from brain_tumor.model.search.interrupted import original_number

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


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
