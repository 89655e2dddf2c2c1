"""Curves and confusion matrices as PNG files."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.atomic import replacing

BLUE, ORANGE = "#0072b2", "#d55e00"


def save_curve(path: Path, history: pd.DataFrame, quantity: str) -> None:
    """Draw `quantity` (`loss` or `accuracy`) per epoch for train and val.

    Args:
        path: the PNG to write.
        history: columns epoch, fine_tuning, `quantity` and `val_quantity`.
        quantity: what to draw.
    """
    figure, axes = _figure(6.0, 4.0)
    axes.plot(history["epoch"], history[quantity], color=BLUE, label="train (augmented)")
    axes.plot(history["epoch"], history[f"val_{quantity}"], color=ORANGE, ls="--", label="val")
    tuned = history.loc[history["fine_tuning"] == 1, "epoch"]
    if len(tuned):
        axes.axvspan(tuned.min() - 0.5, tuned.max() + 0.5, color="0.93", label="fine-tuning")
    best = history["epoch"].iloc[int(history["val_loss"].to_numpy().argmin())]
    axes.axvline(best, color="0.4", lw=1, ls=":", label="lowest val loss")
    axes.set(xlabel="epoch", ylabel=quantity, title=f"{quantity.capitalize()} per epoch")
    axes.legend(frameon=False)
    axes.grid(alpha=0.25)
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
