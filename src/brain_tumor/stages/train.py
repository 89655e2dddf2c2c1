"""Stage train: fit InceptionV3 on the training split, watch it on the validation split."""

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.files import write_json
from brain_tumor.machine import counting
from brain_tumor.model import figures, saved
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.folds import read_development
from brain_tumor.model.recipe import fit_network
from brain_tumor.model.training import (
    Epoch,
    Start,
    check_same,
    epoch_line,
    most_epochs,
    network_meta,
    number_format,
    penalty_path,
)
from brain_tumor.tracking import lineage
from brain_tumor.tracking.runs import curves, start_run, training_name


def main() -> None:
    """Train with the tuned values, log every epoch to MLflow while it runs, save the network."""
    params = settings.read()
    best, initial = outputs.Best.read(), outputs.InitialWeights.read()
    section = params.train.resolve(best.params)
    initial.check_covers(section.head_block)
    initial.check_file(outputs.BACKBONE)
    inputs = {
        "split": outputs.SPLIT,
        "images": outputs.IMAGES,
        "augmented": outputs.AUGMENTED_IMAGES,
        "records": outputs.AUGMENTED_RECORDS,
    }
    # The copies of validation images take no part, but so the features are those of the study.
    data = read_development(*inputs.values()).with_copies_of_val(params.augment).holdout()
    start = Start(outputs.BACKBONE, default_cache())
    inputs |= {"weights": outputs.BACKBONE, "best": outputs.BEST, "params": settings.PARAMS}
    traced = lineage.trace(inputs) | {"initial_weights.sha256": initial.sha256}
    tags = initial.tags() | best.tags()
    tags |= {"stage": "train", "precision": number_format(section.precision)}
    values = section.model_dump()
    logged = lineage.acted_params(settings.PARAMS, values, phantom=lineage.is_phantom())
    with (
        start_run(training_name(values), logged, tags) as tracked,
        counting("training", most_epochs(section)) as step,
    ):
        tracked.log_lineage(traced)
        tracked.log_dataset("brain-mri", traced.get("data.md5", "unknown"), "training")

        def on_epoch(epoch: int, row: Epoch) -> None:
            tracked.log_epoch(epoch, curves(row))
            step(epoch_line(epoch, row))

        network, fitted = fit_network(start, data, section, on_epoch)
        check_same(network, fitted, data)
        history = pd.DataFrame(fitted.history)
        outputs.write_table(outputs.HISTORY, history)
        if section.trains_epochs:
            drawn = {name: figures.draw_curve(history, name) for name in ("loss", "accuracy")}
        else:
            path = penalty_path(start, data, section)
            drawn = {"penalty": figures.draw_penalty_path(path)}
        for name, figure in drawn.items():
            figures.save(outputs.TRAIN_FIGURES / f"{name}.png", figure)
        saved.save_network(outputs.MODEL, network)
        meta = network_meta(network, fitted, section, initial)
        write_json(outputs.NETWORK_META, meta.model_dump())
        tracked.log_figures(outputs.TRAIN_FIGURES)
        outputs.TrainingRun(run_id=tracked.run_id).write()


if __name__ == "__main__":
    run(main)
