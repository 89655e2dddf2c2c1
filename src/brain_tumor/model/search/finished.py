"""What a study's finished trials say, the same in every process that asks."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial


def finished_trials(study: "Study") -> list["FrozenTrial"]:
    """Complete and pruned trials by number; failed ones were no trials of their parameters."""
    from optuna.trial import TrialState

    trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
    return sorted(trials, key=lambda trial: trial.number)


def best_trial(study: "Study") -> "FrozenTrial | None":
    """The complete trial with the best value, the earliest of equals; None without any."""
    from optuna.study import StudyDirection

    sign = -1.0 if study.direction == StudyDirection.MAXIMIZE else 1.0
    values = {
        trial.number: (sign * trial.value, trial.number, trial)
        for trial in finished_trials(study)
        if trial.state.name == "COMPLETE" and trial.value is not None
    }
    return min(values.values(), key=lambda entry: entry[:2])[2] if values else None


def shown_value(study: "Study", trial: "FrozenTrial") -> float | None:
    """What a trial reached, in terms of the objective.

    Pruned trials hold the last they reported, which is a loss whatever the objective.
    """
    if trial.state.name == "PRUNED" and objective_of(study) != "log_loss":
        return None
    return trial.value


def objective_of(study: "Study") -> str:
    """The name of what is searched for, such as `log_loss`."""
    return (study.metric_names or ["value"])[0]
