"""Stage tune: choose what `train` leaves `tuned`, by validation images only."""

import sys
from pathlib import Path

import pandas as pd

from brain_tumor import params as params_file
from brain_tumor.atomic import replacing, write_json
from brain_tumor.dataset.groups import clusters
from brain_tumor.dataset.manifest import read_manifest
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model.best import Best
from brain_tumor.model.development import read_development
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.fit import Start
from brain_tumor.model.inner import Inner
from brain_tumor.model.search.params import TuneParams
from brain_tumor.model.train_params import TrainParams, TrainSection
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
        tune = params_file.load(params, "tune", TuneParams)
        augment = params_file.load(params, "augment", AugmentParams)
        figures_folder.mkdir(parents=True, exist_ok=True)
        inputs = TuneInputs(manifest, split, images, augmented, records, weights, source, params)
        if section.tuned():
            found = run_study(read_plan(inputs, section, tune, augment), figures_folder)
            chosen, table = found.best, found.trials.drop(columns="duration_s")
        else:
            print("nothing to tune: every parameter of train has a value", file=sys.stderr)
            chosen, table = Best(), pd.DataFrame(columns=["number", "state", "value"])
        held_out = _out_of_fold(inputs, section.resolve(chosen.params), tune, augment)
        _write_table(predictions, held_out)
        _write_table(trials, table)
        write_json(best, chosen.model_dump())


def _out_of_fold(
    inputs: TuneInputs, params: TrainParams, tune: TuneParams, augment: AugmentParams
) -> pd.DataFrame:
    """Fit once per fold of the study and predict what it holds out: what calibration goes by.

    Returns:
        Columns path, y (0 or 1), fold (from 0), probability (not calibrated); a row per image of
        train and val, with `tune.folds` 1 per image of val.
    """
    images = read_development(inputs.split, inputs.images, inputs.augmented, inputs.records)
    folds = [images.holdout()]
    if tune.folds > 1:
        groups = clusters(read_manifest(inputs.manifest))
        folds = list(images.with_copies_of_val(augment).folds(groups, tune.folds, tune.seed))
    table = Inner.predict(Start(inputs.weights, default_cache()), folds, params).table
    paths = images.rows["source"].to_numpy()[table["row"]]
    return table.assign(path=paths)[["path", "y", "fold", "probability"]]


def _write_table(path: Path, table: pd.DataFrame) -> None:
    with replacing(path) as aside:
        table.to_csv(aside, index=False)


if __name__ == "__main__":
    run(main)
