"""Stage evaluate: the figures of train, val and test; the only stage that sees test images."""

import sys

import pandas as pd

from brain_tumor import outputs, settings
from brain_tumor.command import run
from brain_tumor.data.copies import clusters
from brain_tumor.files import write_json, write_text
from brain_tumor.imaging.statistics import statistics_table
from brain_tumor.inference.bundle import KEYS, Profile
from brain_tumor.machine import track, working
from brain_tumor.model import figures, metrics, saved
from brain_tumor.model.calibration import calibrate
from brain_tumor.model.explain import Explainer
from brain_tumor.shards import open_images
from brain_tumor.tracking.runs import resume_run


def main() -> None:
    """Predict every image, compute figures with intervals, add them to the run of training.

    What the images look like to the network is written beside them, as the model's profile.
    """
    section = settings.read().evaluate
    trained = saved.load_parts(outputs.MODEL, outputs.MODEL_META)
    manifest, table = outputs.read_manifest(), outputs.read_split()
    outputs.check_listed(outputs.SPLIT, table, manifest)
    table["cluster"] = clusters(manifest).loc[table["path"]].to_numpy()
    table["sha256"] = manifest.set_index("path")["sha256"].loc[table["path"]].to_numpy()
    images = open_images(outputs.IMAGES, list(table["path"]))
    predictions = Explainer(trained.network).see(
        images, lambda starts: track(starts, "predicting, in batches", len(starts))
    )
    with working("measuring what the images look like"):
        statistics = statistics_table(list(table["path"]), images, outputs.RECORDS, manifest)
    uncalibrated = pd.Series(predictions.probability, name="probability")
    statistics = pd.concat([table[[*KEYS]], statistics, uncalibrated], axis=1)
    Profile(statistics, predictions.features).save(outputs.PROFILE)
    table["probability"] = calibrate(predictions.probability, trained.meta.temperature)
    outputs.write_table(outputs.PREDICTIONS, table[["path", "label", "split", "probability"]])
    with working("figures and their intervals"):
        results = metrics.evaluate_splits(table, trained.meta.threshold, section)
    write_json(outputs.FIGURES, results)
    write_json(outputs.METRICS, metrics.headline(results))
    comparison = figures.paper_table(results, trained.meta.initial_weights)
    write_text(outputs.EVALUATION / "paper_table.md", comparison)
    figures.save_evaluation(outputs.EVALUATION, table, trained.meta.threshold, results)
    with working("adding them to the run in MLflow"):
        tracked = resume_run(outputs.TrainingRun.read().run_id)
        if tracked is not None:
            tracked.log_evaluation(results, outputs.EVALUATION)
            return
    print(
        "note: the store does not know the run of this training; "
        "`brain-tumor registry sync` rebuilds it",
        file=sys.stderr,
    )


if __name__ == "__main__":
    run(main)
