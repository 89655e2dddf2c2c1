"""Stage tune: choose what `train` leaves `tuned`, by validation images only."""

import sys

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.model.recipe import out_of_fold, predict_out_of_fold
from brain_tumor.tuning.plan import read_plan


def main() -> None:
    """Run the study, or go on with it, write what it chose and what that says out of fold."""
    params = settings.read()
    section = params.train
    settings.refuse_without_effect(section, settings.changed_since_commit("train"))
    plan = read_plan(outputs.TuneInputs(), section, params.tune, params.augment)
    outputs.TUNING_FIGURES.mkdir(parents=True, exist_ok=True)
    if section.tuned():
        from brain_tumor.tuning.study import run_study  # Optuna and MLflow serve only a study

        outcome = run_study(plan, outputs.TUNING_FIGURES)
        best, trials = outcome.best, outcome.trials.drop(columns="duration_s")
        held_out = out_of_fold(plan.data, outcome.held_out)
    else:
        print("nothing to tune: every parameter of train has a value", file=sys.stderr)
        best, trials = outputs.Best(), pd.DataFrame(columns=["number", "state", "value"])
        held_out = predict_out_of_fold(plan.start, plan.data, section.resolve({}))
    table = held_out.assign(path=plan.paths[held_out["row"]])
    outputs.write_table(outputs.OUT_OF_FOLD, table[["path", "y", "fold", "probability"]])
    outputs.write_table(outputs.TRIALS, trials)
    best.write(outputs.BEST)


if __name__ == "__main__":
    run(main)
