"""Stage evaluate: the figures of train, val and test; the only stage that sees test images."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from brain_tumor import settings
from brain_tumor.atomic import replacing, write_json, write_text
from brain_tumor.dataset.groups import clusters
from brain_tumor.figure_text import IN_WORDS, cell
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.inference.profile import KEYS, Profile, statistics_table
from brain_tumor.model import figures, metrics, paper, saved
from brain_tumor.model.calibration import calibrate, reliability
from brain_tumor.model.explanation import Explainer
from brain_tumor.outputs import load_images, read_manifest
from brain_tumor.progress import track, working
from brain_tumor.settings import EvaluateParams
from brain_tumor.stages.paths import In, Out, reporting_errors, run
from brain_tumor.tracking import wording
from brain_tumor.tracking.runs import resume_run

Figures = dict[str, dict[str, dict[str, float]]]
# What `dvc metrics` and `dvc exp show` compare; a table of more does not fit a terminal.
HEADLINE = ("accuracy", "auroc", "log_loss")
HEADLINE_DIGITS = 4  # another machine differs by 1e-5, which is no difference


def main(
    manifest: In,
    split: In,
    images: In,
    records: In,
    atlas: In,
    model: In,
    model_json: In,
    run: In,
    predictions: Out,
    metrics_file: Out,
    figures_file: Out,
    evaluation: Out,
    profile: Out,
    params: In = Path("params.yaml"),
) -> None:
    """Predict every image, compute figures with intervals, add them to the run of training.

    What the images look like to the network is written beside them, as the model's profile.
    """
    with reporting_errors():
        section = settings.read(params).evaluate
        trained = saved.load_parts(model, model_json)
        table = pd.read_csv(split)
        known = read_manifest(manifest)
        table["cluster"] = clusters(known).loc[table["path"]].to_numpy()
        table["sha256"] = known.set_index("path")["sha256"].loc[table["path"]].to_numpy()
        pixels = load_images(images, list(table["path"]))
        seen = Explainer(trained.network).see(
            pixels, lambda starts: track(starts, "predicting, in batches", len(starts))
        )
        table["probability"] = seen.probability
        with working("measuring what the images look like"):
            looks = statistics_table(table["path"], pixels, records, known, Atlas.load(atlas))
        looks = pd.concat([table[[*KEYS]], looks, table["probability"]], axis=1)
        Profile(looks, seen.features).save(profile)
        table["probability"] = calibrate(seen.probability, trained.meta.temperature)
        with replacing(predictions) as aside:
            table[["path", "label", "split", "probability"]].to_csv(aside, index=False)
        with working("figures and their intervals"):
            results = _figures(table, trained.meta.threshold, section)
        write_json(figures_file, results)
        write_json(metrics_file, headline(results))
        write_text(
            evaluation / "paper_table.md", paper.comparison(results, trained.meta.initial_weights)
        )
        for name in ("val", "test"):
            _confusion(table[table["split"] == name], trained.meta.threshold, evaluation, name)
        _reliability(table, evaluation)
        _roc(table, trained.meta.threshold, results, evaluation)
        with working("adding them to the run in MLflow"):
            _track(run, results, evaluation)


def headline(results: Figures) -> dict[str, dict[str, float]]:
    """The few figures of val and test that people compare, rounded."""
    return {
        split: {
            key: round(results[split][key]["value"], HEADLINE_DIGITS)
            for key in HEADLINE
            if "value" in results[split].get(key, {})
        }
        for split in ("val", "test")
    }


def _figures(table: pd.DataFrame, threshold: float, section: EvaluateParams) -> Figures:
    results: Figures = {}
    for name in ("train", "val", "test"):
        rows = table[table["split"] == name]
        estimates = metrics.evaluate(
            np.asarray(rows["label"] == "yes", dtype=np.int64),
            rows["probability"].to_numpy(np.float64),
            rows["cluster"].to_numpy(str),
            threshold,
            section,
            intervals=name != "train",
        )
        results[name] = {key: estimate.as_dict() for key, estimate in estimates.items()}
    return results


def _confusion(rows: pd.DataFrame, threshold: float, evaluation: Path, name: str) -> None:
    """The matrix as JSON and as figure."""
    counts = metrics.confusion(
        np.asarray(rows["label"] == "yes", dtype=np.int64),
        rows["probability"].to_numpy(),
        threshold,
    )
    matrix = {"labels": ["no", "yes"], "rows_are": "truth", "matrix": counts.tolist()}
    write_json(evaluation / f"confusion_{name}.json", matrix)
    figures.save_confusion(evaluation / f"confusion_{name}.png", counts, name)


def _reliability(table: pd.DataFrame, evaluation: Path) -> None:
    """Predicted and observed shares of tumours of val and test, as table and as diagram."""
    tables = {}
    for name in ("val", "test"):
        rows = table[table["split"] == name]
        truth = np.asarray(rows["label"] == "yes", dtype=np.int64)
        tables[name] = reliability(truth, rows["probability"].to_numpy(np.float64))
    whole = pd.concat([one.assign(split=name) for name, one in tables.items()])
    with replacing(evaluation / "reliability.csv") as aside:
        whole.to_csv(aside, index=False, float_format="%.6f")
    figures.save_reliability(evaluation / "reliability.png", tables)


def _roc(table: pd.DataFrame, threshold: float, results: Figures, evaluation: Path) -> None:
    """Sensitivity and specificity of val and test at every threshold."""
    answers, aurocs = {}, {}
    for name in ("val", "test"):
        rows = table[table["split"] == name]
        truth = np.asarray(rows["label"] == "yes", dtype=np.int64)
        answers[name] = (truth, rows["probability"].to_numpy(np.float64))
        aurocs[name] = cell(results[name]["auroc"], form=IN_WORDS)
    figures.save_roc(evaluation / "roc.png", answers, aurocs, threshold)


def _track(run: Path, results: Figures, evaluation: Path) -> None:
    tracked = resume_run(json.loads(run.read_text(encoding="utf-8"))["run_id"])
    if tracked is None:
        print(
            "note: the store does not know the run of this training; "
            "`brain-tumor registry sync` rebuilds it",
            file=sys.stderr,
        )
        return
    tracked.log_metrics(wording.headline(results))
    tracked.describe(None, wording.result_note(results))
    tracked.log_text(wording.figures_csv(results), "evaluation/figures.csv")
    for figure in sorted(evaluation.glob("*.png")):
        tracked.log_figure_file(figure)
    for file in sorted([*evaluation.glob("*.json"), *evaluation.glob("*.md")]):
        tracked.log_file(file, "evaluation")


if __name__ == "__main__":
    run(main)
