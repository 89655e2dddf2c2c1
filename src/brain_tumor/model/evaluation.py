"""The evaluation of a trained network: its figures, matrices and curves.

Source: Kim & Ye, *Accuracy Evaluation of Brain Parenchymal MRI Image Classification Using
Inception V3*, 2019: accuracy and confusion matrices of its validation and test images, losses of
its last epoch.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.figure_text import bracketed, cell
from brain_tumor.files import write_json
from brain_tumor.model import figures, metrics
from brain_tumor.model.calibration import reliability
from brain_tumor.outputs import SPLITS, TEST, TRAIN, VAL, write_table
from brain_tumor.settings import LABELS, POSITIVE, EvaluateParams

Figures = Mapping[str, Mapping[str, Mapping[str, float]]]  # by split and figure: value, low, high
# What `dvc metrics` and `dvc exp show` compare; a table of more does not fit a terminal.
HEADLINE = ("accuracy", "auroc", "log_loss")
HEADLINE_DIGITS = 4  # another machine differs by 1e-5, which is no difference


def figures_of(table: pd.DataFrame, threshold: float, params: EvaluateParams) -> Figures:
    """All figures of each split; val and test have 95 % intervals.

    Args:
        table: columns split, label, probability (calibrated) and cluster.
        threshold: of calibrated probability.
        params: section `evaluate`.
    """
    results = {}
    for split in SPLITS:
        truth, probability = _answers(table, split)
        clusters = table.loc[table["split"] == split, "cluster"].to_numpy(str)
        estimates = metrics.evaluate(
            truth, probability, clusters, threshold, params, intervals=split != TRAIN
        )
        results[split] = {key: estimate.as_dict() for key, estimate in estimates.items()}
    return results


def headline(results: Figures) -> dict[str, dict[str, float]]:
    """The few figures of val and test that people compare, rounded."""
    return {
        split: {
            key: round(results[split][key]["value"], HEADLINE_DIGITS)
            for key in HEADLINE
            if "value" in results[split].get(key, {})
        }
        for split in (VAL, TEST)
    }


def save(folder: Path, table: pd.DataFrame, threshold: float, results: Figures) -> None:
    """Write confusion matrices, reliability and ROC curves of val and test, and draw them.

    Args:
        folder: written to.
        table: as in `figures_of`.
        threshold: of calibrated probability.
        results: the figures.
    """
    answers = {split: _answers(table, split) for split in (VAL, TEST)}
    for split, (truth, probability) in answers.items():
        counts = metrics.confusion(truth, probability, threshold)
        matrix = {"labels": LABELS, "rows_are": "truth", "matrix": counts.tolist()}
        write_json(folder / f"confusion_{split}.json", matrix)
        figures.save_confusion(folder / f"confusion_{split}.png", counts, split)
    tables = {split: reliability(*answer) for split, answer in answers.items()}
    rows = pd.concat([rows.assign(split=split) for split, rows in tables.items()])
    write_table(folder / "reliability.csv", rows, digits=6)
    figures.save_reliability(folder / "reliability.png", tables)
    figures.save_roc(folder / "roc.png", answers, dict(_aurocs(results)), threshold)


def _answers(table: pd.DataFrame, split: str) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Truth (1: tumour) and probability of a split."""
    rows = table[table["split"] == split]
    truth = np.asarray(rows["label"] == POSITIVE, dtype=np.int64)
    return truth, rows["probability"].to_numpy(np.float64)


def _aurocs(results: Figures) -> Iterator[tuple[str, str]]:
    for split in (VAL, TEST):
        yield split, str(cell(results[split], "auroc"))


ROWS: dict[str, tuple[str, str, str]] = {
    "train accuracy": ("train", "accuracy", "0.90"),
    "val accuracy": ("val", "accuracy", "0.86 (43/50)"),
    "val specificity": ("val", "specificity", "0.83 (15/18)"),
    "val sensitivity": ("val", "sensitivity", "0.88 (28/32)"),
    "val loss": ("val", "log_loss", "1.28"),
    "train loss": ("train", "log_loss", "0.56"),
    "test accuracy": ("test", "accuracy", "0.90 (36/40)"),
    "test specificity": ("test", "specificity", "0.90 (18/20)"),
    "test sensitivity": ("test", "sensitivity", "0.90 (18/20)"),
    "test balanced accuracy": ("test", "balanced_accuracy", "0.90"),
    "test AUROC": ("test", "auroc", "not stated"),
    "test log loss": ("test", "log_loss", "not stated"),
}


def comparison(
    metrics: Mapping[str, Mapping[str, Mapping[str, float]]], initial_weights: str
) -> str:
    """The Markdown table "paper / this run" from the content of figures.json."""
    lines = ["| figure | paper | this run [95 % interval] |", "|---|---|---|"]
    for name, (split, metric, published) in ROWS.items():
        lines.append(f"| {name} | {published} | {bracketed(cell(metrics[split], metric))} |")
    lines += [
        "",
        "Validation figures are optimistic: hyperparameters (or the epoch) were chosen by them.",
    ]
    lines += [f"Training started from these weights: {initial_weights}."]
    return "\n".join(lines) + "\n"
