"""A search over a cheap formula, as one of the processes that share it.

Run as a script: URL, section `tune` as JSON, the trial it kills itself in (-1: none), and how many
parameters of that trial are drawn before.
"""

import json
import math
import os
import signal
import sys
import time
from collections.abc import Callable
from typing import Any

from optuna import Study, Trial, TrialPruned
from optuna.trial import FrozenTrial

from brain_tumor.settings import TUNABLE, Space, TuneParams
from brain_tumor.tuning.search import open_study, run, suggest
from brain_tumor.tuning.storage import finished_trials, open_storage

SECTION = TuneParams.model_validate(
    {
        "seed": 7,
        "n_trials": 12,
        "timeout_s": None,
        "objective": "log_loss",
        "folds": 2,
        "pruner": "median",
        "startup_trials": 4,
        "space": {
            "learning_rate": {"low": 1e-5, "high": 1e-1, "log": True},
            "dropout": {"low": 0.0, "high": 0.6, "log": False},
            "weight_decay": {"low": 1e-6, "high": 1e-2, "log": True},
            "head_penalty": {"low": 1e-3, "high": 1.0, "log": True},
            "head_block": {"low": 2, "high": 10},
            "fine_tune_blocks": {"low": 0, "high": 3},
        },
    }
)


def section(**changes: Any) -> TuneParams:
    """Section `tune` with some values other than usual."""
    return TuneParams.model_validate_json(json.dumps(SECTION.model_dump(mode="json") | changes))


def formula(trial: Trial, space: Space) -> float:
    """A value that hyperparameters decide, reported in steps; worse than others: pruned."""
    drawn = suggest(trial, space, lambda _: TUNABLE)
    value = (math.log10(drawn["learning_rate"]) + 3) ** 2 + (drawn["dropout"] - 0.2) ** 2
    value += 0.1 * abs(drawn["head_block"] - 6) + 0.05 * drawn["fine_tune_blocks"]
    for step in range(3):
        trial.report(value + 0.1 * (2 - step), step)
        if trial.should_prune():
            raise TrialPruned
    return value


def search(
    url: str,
    params: TuneParams,
    objective: Callable[[Trial], float] | None = None,
    on_trial: Callable[[FrozenTrial], None] = lambda _: None,
    on_interrupted: Callable[[FrozenTrial], None] = lambda _: None,
) -> Study:
    study = open_study(open_storage(url), "search", params, create=True)
    run(
        study,
        params,
        objective or (lambda trial: formula(trial, params.space)),
        on_trial,
        on_interrupted,
    )
    return study


def outcomes(study: Study) -> list[tuple[str, float | None, dict[str, float | int]]]:
    return [(trial.state.name, trial.value, trial.params) for trial in finished_trials(study)]


def main(url: str, tune: str, dies_in: int, drawn_before: int) -> None:
    params = TuneParams.model_validate_json(tune)

    def objective(trial: Trial) -> float:
        trial.set_user_attr("note", f"of trial {trial.number}")
        if trial.number == dies_in:
            suggest(trial, params.space, lambda _: TUNABLE[:drawn_before])
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(0.02)
        return formula(trial, params.space)

    search(url, params, objective, lambda trial: print(trial.number, flush=True))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]))
