"""What is shown of a model: learning curves, its evaluation as PNG, and beside the paper's figures.

The paper: Kim & Ye, *Accuracy Evaluation of Brain Parenchymal MRI Image Classification Using
Inception V3*, 2019: accuracy and confusion matrices of its validation and test images, losses of
its last epoch.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.figure_text import bracketed, cell
from brain_tumor.files import replacing, write_json
from brain_tumor.model.calibration import reliability
from brain_tumor.model.metrics import SplitFigures, answers_of, confusion
from brain_tumor.outputs import TEST, VAL, write_table
from brain_tumor.settings import LABELS

BLUE, ORANGE = "#0072b2", "#d55e00"
Answers = Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]]  # by split, truth and P
# Of the table beside the paper: row, split, figure, what the paper states.
PAPER_ROWS = (
    ("train accuracy", "train", "accuracy", "0.90"),
    ("val accuracy", "val", "accuracy", "0.86 (43/50)"),
    ("val specificity", "val", "specificity", "0.83 (15/18)"),
    ("val sensitivity", "val", "sensitivity", "0.88 (28/32)"),
    ("val loss", "val", "log_loss", "1.28"),
    ("train loss", "train", "log_loss", "0.56"),
    ("test accuracy", "test", "accuracy", "0.90 (36/40)"),
    ("test specificity", "test", "specificity", "0.90 (18/20)"),
    ("test sensitivity", "test", "sensitivity", "0.90 (18/20)"),
    ("test balanced accuracy", "test", "balanced_accuracy", "0.90"),
    ("test AUROC", "test", "auroc", "not stated"),
    ("test log loss", "test", "log_loss", "not stated"),
)


def save_evaluation(
    folder: Path, table: pd.DataFrame, threshold: float, results: SplitFigures
) -> None:
    """Write confusion matrices, reliability and ROC curves of val and test, and draw them.

    `results` are what `metrics.evaluate_splits` gives for the table and the threshold.
    """
    answers = {split: answers_of(table, split) for split in (VAL, TEST)}
    for split, (truth, probability) in answers.items():
        counts = confusion(truth, probability, threshold)
        matrix = {"labels": LABELS, "rows_are": "truth", "matrix": counts.tolist()}
        write_json(folder / f"confusion_{split}.json", matrix)
        save(folder / f"confusion_{split}.png", draw_confusion(counts, split))
    tables = {split: reliability(*answer) for split, answer in answers.items()}
    rows = pd.concat([rows.assign(split=split) for split, rows in tables.items()])
    write_table(folder / "reliability.csv", rows, digits=6)
    save(folder / "reliability.png", draw_reliability(tables))
    aurocs = {split: str(cell(results[split], "auroc")) for split in answers}
    save(folder / "roc.png", draw_roc(answers, aurocs, threshold))


def paper_table(results: SplitFigures, initial_weights: str) -> str:
    """The Markdown table "paper / this run"."""
    lines = ["| figure | paper | this run [95 % interval] |", "|---|---|---|"]
    for row, split, figure, published in PAPER_ROWS:
        lines.append(f"| {row} | {published} | {bracketed(cell(results[split], figure))} |")
    lines += [
        "",
        "Validation figures are optimistic: hyperparameters (or the epoch) were chosen by them.",
        f"Training started from these weights: {initial_weights}.",
    ]
    return "\n".join(lines) + "\n"


def draw_curve(history: pd.DataFrame, quantity: str) -> Any:
    """`quantity` (`loss` or `accuracy`) per epoch for train and val, with a marker an epoch.

    Args:
        history: columns epoch, fine_tuning, `quantity` and `val_quantity`; epoch 0 is a solved
            head.
        quantity: what to draw.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = blank(6.0, 4.0)
    epoch = history["epoch"]
    _plot_train_and_val(axes, epoch, history[quantity], history[f"val_{quantity}"])
    tuned = history.loc[history["fine_tuning"] == 1, "epoch"]
    if len(tuned):
        axes.axvspan(tuned.min() - 0.5, tuned.max() + 0.5, color="0.93", label="fine-tuning")
    if epoch.iloc[0] == 0:
        axes.axvline(0, color="0.4", lw=1, ls=":", label="solved head")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.set(xlabel="epoch", ylabel=quantity, title=f"{quantity.capitalize()} per epoch")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def draw_penalty_path(path: pd.DataFrame) -> Any:
    """Loss of train and val over the penalty of a solved head (see `training.penalty_path`)."""
    figure, axes = blank(6.0, 4.0)
    _plot_train_and_val(axes, path["penalty"], path["loss"], path["val_loss"])
    given = path.loc[path["given"], "penalty"].iloc[0]
    axes.axvline(given, color="0.4", lw=1, ls=":", label=f"as trained ({given:.2g})")
    axes.set_xscale("log")
    axes.set(xlabel="penalty of the head", ylabel="loss", title="Solved head, no epoch trained")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def _plot_train_and_val(axes: Any, x: pd.Series, train: pd.Series, val: pd.Series) -> None:
    axes.plot(x, train, color=BLUE, marker="o", ms=4, label="train (augmented)")
    axes.plot(x, val, color=ORANGE, marker="s", ms=4, ls="--", label="val")


def draw_confusion(counts: NDArray[np.int64], split: str) -> Any:
    """A confusion matrix (2, 2) with counts and the share of each true class."""
    figure, axes = blank(4.2, 4.0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(counts):
        text = f"{count}\n{share[row, column]:.0%}"
        colour = "white" if share[row, column] > 0.5 else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=13)
    axes.set_xticks([0, 1], ["no", "yes"])
    axes.set_yticks([0, 1], ["no", "yes"])
    axes.set(xlabel="predicted tumour", ylabel="true tumour")
    axes.set_title(f"Confusion matrix, {split} (n = {counts.sum()})")
    return figure


def draw_reliability(tables: Mapping[str, pd.DataFrame]) -> Any:
    """What was observed over what was predicted, a line per split (see `reliability`)."""
    figure, axes = blank(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="perfectly calibrated")
    for colour, (name, table) in zip((BLUE, ORANGE), tables.items(), strict=False):
        observed = table["observed"]
        reach = [observed - table["observed_low"], table["observed_high"] - observed]
        label = f"{name} (n = {table['images'].sum()})"
        axes.errorbar(
            table["predicted"], observed, reach, color=colour, marker="o", ms=4, lw=1, label=label
        )
    axes.set(xlabel="predicted probability", ylabel="share of tumours", xlim=(0, 1), ylim=(0, 1))
    axes.set_title("Reliability, ten bins, 95 % Wilson intervals")
    axes.legend(frameon=False, fontsize=8)
    axes.grid(alpha=0.25)
    return figure


def draw_roc(answers: Answers, aurocs: Mapping[str, str], threshold: float) -> Any:
    """Sensitivity over 1 - specificity, a line per split, and the threshold on it.

    `aurocs` are texts for the legend, by split.
    """
    from sklearn.metrics import roc_curve

    figure, axes = blank(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="chance")
    for colour, (name, (truth, probability)) in zip((BLUE, ORANGE), answers.items(), strict=False):
        alarms, hits, _ = roc_curve(truth, probability, drop_intermediate=False)
        label = f"{name} (n = {len(truth)}): AUROC {aurocs[name]}"
        axes.step(alarms, hits, where="post", color=colour, lw=1.5, label=label)
        called = probability >= threshold
        point = float(called[truth == 0].mean()), float(called[truth == 1].mean())
        axes.plot(*point, marker="o", ms=7, mfc="none", mew=1.5, ls="none", color=colour)
    axes.plot([], [], "o", ms=7, mfc="none", mew=1.5, color="0.3", label="at the threshold")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title("Receiver operating characteristic")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.grid(alpha=0.25)
    return figure


def blank(width_in: float, height_in: float) -> tuple[Any, Any]:
    """An empty figure and its axes, beside matplotlib's global state."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def save(path: Path, figure: Any) -> None:
    """Write a figure as PNG, whole or not at all; the same figure gives the same bytes."""
    with replacing(path) as aside:
        figure.savefig(aside, dpi=120, metadata={"Software": None})
