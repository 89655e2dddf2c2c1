"""Stage calibrate: temperature and operating threshold, by out-of-fold predictions alone."""

from pathlib import Path

import typer

from brain_tumor import params as params_file
from brain_tumor.atomic import replacing, write_json
from brain_tumor.dataset.groups import clusters
from brain_tumor.dataset.manifest import read_manifest
from brain_tumor.imaging.augment import AugmentParams
from brain_tumor.model.best import Best
from brain_tumor.model.calibration_params import CalibrateParams
from brain_tumor.model.development import read_development
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.fit import Start
from brain_tumor.model.inner import Inner, operating_point
from brain_tumor.model.train_params import TrainSection
from brain_tumor.stages.paths import In, Out, reporting_errors


def main(
    manifest: In,
    split: In,
    images: In,
    augmented: In,
    records: In,
    weights: In,
    best: In,
    predictions: Out,
    calibration: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Predict train and val images out of fold with the tuned values; fit to these predictions."""
    with reporting_errors():
        section = params_file.load(params, "calibrate", CalibrateParams)
        augment = params_file.load(params, "augment", AugmentParams)
        train = params_file.load(params, "train", TrainSection).resolve(Best.read(best).params)
        read = read_development(split, images, augmented, records)
        development = read.with_copies_of_val(augment)
        groups = clusters(read_manifest(manifest))
        folds = list(development.folds(groups, section.folds, section.seed))
        inner = Inner.predict(Start(weights, default_cache()), folds, train)
        paths = development.rows["source"].to_numpy()[inner.table["row"]]
        with replacing(predictions) as aside:
            inner.table.assign(path=paths)[["path", "y", "fold", "probability"]].to_csv(
                aside, index=False
            )
        write_json(calibration, operating_point(inner, section).model_dump())


if __name__ == "__main__":
    typer.run(main)
