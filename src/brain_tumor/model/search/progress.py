"""How far a search has come, for people who wait for it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from brain_tumor.model.search.finished import (
    best_trial,
    finished_trials,
    folds_of,
    objective_of,
    value_of,
)
from brain_tumor.model.search.interrupted import original_number
from brain_tumor.settings import TuneParams

if TYPE_CHECKING:
    from optuna import Study
    from optuna.trial import FrozenTrial

_SHORT = {"learning_rate": "lr", "weight_decay": "decay", "fine_tune_blocks": "depth"}


@dataclass(frozen=True)
class Progress:
    """The state of a search when a trial has finished.

    Attributes:
        objective: what is searched for, such as `log_loss`.
        finished: trials complete or pruned, of all workers; `pruned` of them were stopped early.
        n_trials: how many the search wants.
        best_value: None before the first complete trial, whose number is `best_number`.
        number: of the trial that has just finished; so are the others but `left_s`.
        value: None of a pruned trial.
        state: `complete` or `pruned`.
        pruned_at: of a pruned trial, after how many folds, and what it had reached there beside
            what earlier trials had at the same place; None otherwise.
        left_s: mean duration of the finished trials times how many are left; None before the
            first.
    """

    objective: str
    finished: int
    n_trials: int
    pruned: int
    best_value: float | None
    best_number: int | None
    number: int
    value: float | None
    state: str
    pruned_at: str | None
    params: Mapping[str, float | int]
    duration_s: float
    left_s: float | None

    def line(self) -> str:
        """One line with everything."""
        reached = "" if self.value is None else f"{self.objective} {self.value:.3g}"
        result = f"pruned {self.pruned_at}" if self.state == "pruned" else reached
        settings = ", ".join(_setting(name, value) for name, value in self.params.items())
        trial = (
            f"{self.finished}/{self.n_trials}: trial {self.number}, {result} in "
            f"{_duration(self.duration_s)} ({settings})"
        )
        best = "" if self.best_value is None else f"best {self.best_value:.3g} ({self._best()})"
        dropped = f"{self.pruned} pruned" if self.pruned else ""
        left = f"about {_duration(self.left_s)} left" if self.left_s else ""
        return " | ".join(part for part in (trial, best, dropped, left) if part)

    def _best(self) -> str:
        return "this one" if self.best_number == self.number else f"trial {self.best_number}"


def progress_of(study: "Study", last: "FrozenTrial", params: TuneParams) -> Progress:
    """The progress of a study whose trial `last` has just finished."""
    trials, n_trials = finished_trials(study), params.n_trials
    top = best_trial(study)
    durations = [trial.duration.total_seconds() for trial in trials if trial.duration]
    mean_s = sum(durations) / len(durations) if durations else None
    return Progress(
        objective=objective_of(study),
        finished=len(trials),
        n_trials=n_trials,
        pruned=sum(trial.state.name == "PRUNED" for trial in trials),
        best_value=top.value if top else None,
        best_number=original_number(top) if top else None,
        number=original_number(last),
        value=value_of(last),
        state=last.state.name.lower(),
        pruned_at=_pruned_at(study, last, params) if last.state.name == "PRUNED" else None,
        params=dict(last.params),
        duration_s=last.duration.total_seconds() if last.duration else 0.0,
        left_s=None if mean_s is None else mean_s * max(n_trials - len(trials), 0),
    )


def _pruned_at(study: "Study", trial: "FrozenTrial", params: TuneParams) -> str:
    """Where a trial was given up, so that nobody compares a part with a whole."""
    from brain_tumor.model.search.pruner import rung_median

    folds = folds_of(trial)
    middle = rung_median(study, trial)
    if not folds or middle is None:
        return f"in fold {folds + 1} of {params.folds}: the training diverged"
    reached = trial.intermediate_values[trial.last_step or 0]
    return (
        f"after {folds} of {params.folds} folds, at {objective_of(study)} {reached:.3g} "
        f"(median of earlier trials there {middle:.3g})"
    )


def _setting(name: str, value: float | int) -> str:
    if name == "head_block":
        return f"mixed{value}"
    return f"{_SHORT.get(name, name)} {_number(value)}"


def _number(value: float | int) -> str:
    if isinstance(value, int) or value == 0 or abs(value) >= 0.01:
        return f"{value:.2g}"
    digits, _, exponent = f"{value:.1e}".partition("e")
    return f"{digits}e{int(exponent)}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
