"""Curves and confusion matrices as PNG files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.files import replacing

BLUE, ORANGE = "#0072b2", "#d55e00"


def draw_curve(history: pd.DataFrame, quantity: str) -> Any:
    """`quantity` (`loss` or `accuracy`) per epoch for train and val, with a marker an epoch.

    Args:
        history: columns epoch, fine_tuning, `quantity` and `val_quantity`; epoch 0 is a solved
            head.
        quantity: what to draw.
    """
    from matplotlib.ticker import MaxNLocator

    figure, axes = _figure(6.0, 4.0)
    epoch = history["epoch"]
    axes.plot(epoch, history[quantity], color=BLUE, marker="o", ms=4, label="train (augmented)")
    axes.plot(
        epoch, history[f"val_{quantity}"], color=ORANGE, marker="s", ms=4, ls="--", label="val"
    )
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
    """Loss of train and val over the penalty of a solved head, and the penalty it was given.

    Args:
        path: see `training.penalty_path`.
    """
    figure, axes = _figure(6.0, 4.0)
    axes.plot(
        path["penalty"], path["loss"], color=BLUE, marker="o", ms=4, label="train (augmented)"
    )
    axes.plot(
        path["penalty"], path["val_loss"], color=ORANGE, marker="s", ms=4, ls="--", label="val"
    )
    given = path.loc[path["given"], "penalty"].iloc[0]
    axes.axvline(given, color="0.4", lw=1, ls=":", label=f"as trained ({given:.2g})")
    axes.set_xscale("log")
    axes.set(xlabel="penalty of the head", ylabel="loss", title="Solved head, no epoch trained")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
    return figure


def save_curves(folder: Path, history: pd.DataFrame) -> None:
    """Draw loss.png and accuracy.png, the learning curves (see `draw_curve`)."""
    for quantity in ("loss", "accuracy"):
        _save(draw_curve(history, quantity), folder / f"{quantity}.png")


def save_penalty(folder: Path, path: pd.DataFrame) -> None:
    """Draw penalty.png (see `draw_penalty_path`)."""
    _save(draw_penalty_path(path), folder / "penalty.png")


def save(path: Path, figure: Any) -> None:
    """Write a figure as PNG, whole or not at all."""
    _save(figure, path)


def save_confusion(path: Path, counts: NDArray[np.int64], split: str) -> None:
    """Draw a confusion matrix (2, 2) with counts and the share of each true class."""
    figure, axes = _figure(4.2, 4.0)
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
    _save(figure, path)


def save_reliability(path: Path, tables: Mapping[str, pd.DataFrame]) -> None:
    """Draw what was observed over what was predicted, one line per table, with its intervals.

    Args:
        path: the PNG to write.
        tables: by name, see `calibration.reliability`.
    """
    figure, axes = _figure(4.6, 4.4)
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
    _save(figure, path)


def save_roc(
    path: Path,
    answers: Mapping[str, tuple[NDArray[np.int64], NDArray[np.float64]]],
    aurocs: Mapping[str, str],
    threshold: float,
) -> None:
    """Draw sensitivity over 1 - specificity, a line per set of images, and the threshold on it.

    Args:
        path: the PNG to write.
        answers: by name of the images, truth (0 or 1) and probability.
        aurocs: by the same names, the area with its interval, for the legend.
        threshold: from which probability an image is called a tumour.
    """
    from sklearn.metrics import roc_curve

    figure, axes = _figure(4.6, 4.4)
    axes.plot([0, 1], [0, 1], color="0.6", lw=1, ls="--", label="chance")
    for colour, (name, (truth, probability)) in zip((BLUE, ORANGE), answers.items(), strict=False):
        alarms, found, _ = roc_curve(truth, probability, drop_intermediate=False)
        label = f"{name} (n = {len(truth)}): AUROC {aurocs[name]}"
        axes.step(alarms, found, where="post", color=colour, lw=1.5, label=label)
        called = probability >= threshold
        point = float(called[truth == 0].mean()), float(called[truth == 1].mean())
        axes.plot(*point, marker="o", ms=7, mfc="none", mew=1.5, ls="none", color=colour)
    axes.plot([], [], "o", ms=7, mfc="none", mew=1.5, color="0.3", label="at the threshold")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", xlim=(-0.02, 1.02), ylim=(-0.02, 1.02))
    axes.set_title("Receiver operating characteristic")
    axes.legend(frameon=False, fontsize=8, loc="lower right")
    axes.grid(alpha=0.25)
    _save(figure, path)


def _figure(width_in: float, height_in: float) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    return figure, figure.subplots()


def _save(figure: Any, path: Path) -> None:
    with replacing(path) as aside:
        figure.savefig(aside, dpi=120, metadata={"Software": None})
