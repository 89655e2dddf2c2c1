"""Stage tune: choose what `train` leaves `tuned`, by validation images only."""

import sys
from pathlib import Path

import pandas as pd

from brain_tumor import params as params_file
from brain_tumor.atomic import replacing, write_json
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model.best import Best
from brain_tumor.model.recipe import out_of_fold, predict_out_of_fold
from brain_tumor.model.search.params import TuneParams
from brain_tumor.model.train_params import TrainSection, refuse_without_effect
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tuning.plan import TuneInputs, read_plan
from brain_tumor.tuning.study import run_study


def main(
    manifest: In,
    split: In,
    images: In,
    augmented: In,
    records: In,
    weights: In,
    source: In,
    best: Out,
    predictions: Out,
    trials: Out,
    figures_folder: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Run the study, or go on with it, write what it chose and what that says out of fold."""
    with reporting_errors():
        section = params_file.load(params, "train", TrainSection)
        refuse_without_effect(section, params_file.changed_since_commit(params, "train"))
        tune = params_file.load(params, "tune", TuneParams)
        augment = params_file.load(params, "augment", AugmentParams)
        figures_folder.mkdir(parents=True, exist_ok=True)
        inputs = TuneInputs(manifest, split, images, augmented, records, weights, source, params)
        plan = read_plan(inputs, section, tune, augment)
        if section.tuned():
            found = run_study(plan, figures_folder)
            chosen, table = found.best, found.trials.drop(columns="duration_s")
            held_out = out_of_fold(plan.data, found.held_out)
        else:
            print("nothing to tune: every parameter of train has a value", file=sys.stderr)
            chosen, table = Best(), pd.DataFrame(columns=["number", "state", "value"])
            held_out = predict_out_of_fold(plan.start, plan.data, section.resolve({}))
        paths = plan.paths[held_out["row"]]
        columns = ["path", "y", "fold", "probability"]
        _write_table(predictions, held_out.assign(path=paths)[columns])
        _write_table(trials, table)
        write_json(best, chosen.model_dump())


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as aside:
        table.to_csv(aside, index=False)


if __name__ == "__main__":
    run(main)
