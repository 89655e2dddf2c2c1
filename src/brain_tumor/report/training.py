"""The section on how the model was trained and tuned: what was chosen, the epochs, the trials."""

from collections.abc import Iterator
from typing import Any

import pandas as pd

from brain_tumor.report.drawing import BLUE, INK, MUTED, ORANGE, drawn, new_figure
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Figure, Part, Section, Table
from brain_tumor.report.wording import NOTHING, SPLITS

_NAMES = {
    "fine_tune_blocks": "Fine-tuning depth (blocks below the head)",
    "learning_rate": "Learning rate",
    "head_block": "Block the head sits on",
    "head_penalty": "L2 penalty of the head",
    "weight_decay": "Weight decay",
    "dropout": "Dropout",
}
_SHOWN_TRIALS = 20


def training(found: Findings) -> Section:
    """What was chosen and by how many trials; learning curves where epochs were trained."""
    return Section("Training and tuning", [_in_words(found), *_parts(found)])


def _parts(found: Findings) -> Iterator[Part]:
    yield Table(("Value", "Chosen", "By"), _chosen(found), "What the model was trained with.")
    if _epochs(found):
        yield Figure(
            epochs_svg(found.history),
            "Loss and accuracy by epoch, of training images (with their variants) and validation "
            "images. Epoch 0, where there is one, is the solved head before any block trains.",
            "Learning curves of training and validation; the last epoch is the model's.",
        )
    if (complete := _complete(found)).empty:
        return
    metric = _metric(found)
    if len(complete) > 1:
        yield Figure(
            trials_svg(complete, metric, found.best.objective == "auroc"),
            f"Trials that ran to their end (n = {len(complete)}), in order; the line is the best "
            "so far. Trials that were ended early saw a part of the folds and are not shown.",
            f"Validation {metric} of every finished trial by its number.",
        )
    yield _trials_table(complete, metric, found.best.objective == "auroc")


def _in_words(found: Findings) -> str:
    depth, best = found.meta.fine_tuned_blocks, found.best
    head, epochs = f"the head on mixed{found.meta.head_block}", _epochs(found)
    if depth:
        blocks = "block" if depth == 1 else "blocks"
        trained = f"{depth} {blocks} of InceptionV3 below {head} trained with it, {epochs} epochs."
    else:
        how = f"in {epochs} epochs" if epochs else "without epochs"
        trained = (
            f"No block of InceptionV3 trained: {head} was fitted to the features of the initial "
            f"weights, {how}."
        )
    if not best.study:
        return f"{trained} No value was chosen by a study: all stand in params.yaml."
    complete = _complete(found)
    tuned = ""
    if "fine_tune_blocks" in complete:
        count = int((complete["fine_tune_blocks"] > 0).sum())
        tuned = f"; {count} of the finished ones train blocks of InceptionV3"
    return (
        f"{trained} The study ran {best.complete + best.pruned} trials, of which {best.complete} "
        f"ran to their end and {best.pruned} were ended early{tuned}. Trial {best.trial} is the "
        f"best by {_metric(found)} on development images held out; test images play no part."
    )


def _chosen(found: Findings) -> list[list[str]]:
    """A row for each value that acts in this training."""
    acting = found.settings.train.acting()
    return [
        [title, f"{acting[name]:.3g}", "the study" if name in found.best.params else "params.yaml"]
        for name, title in _NAMES.items()
        if name in acting
    ]


def _epochs(found: Findings) -> int:
    return int((found.history["learning_rate"] > 0).sum())


def _complete(found: Findings) -> pd.DataFrame:
    return found.trials[found.trials["state"] == "complete"]


def _metric(found: Findings) -> str:
    return "AUROC" if found.best.objective == "auroc" else "log loss"


def _trials_table(complete: pd.DataFrame, metric: str, higher_is_better: bool) -> Table:
    names = [name for name in _NAMES if name in complete]
    best = complete.sort_values("value", ascending=not higher_is_better).head(_SHOWN_TRIALS)
    rows = [
        [str(int(row["number"])), f"{row['value']:.4f}", *(_cell(row[name]) for name in names)]
        for row in best.to_dict("records")
    ]
    head = ("Trial", f"Validation {metric}", *(name.replace("_", " ") for name in names))
    return Table(
        head,
        rows,
        f"The {len(best)} best of {len(complete)} finished trials. A dash: the value does not act "
        "in that trial.",
    )


def _cell(value: float) -> str:
    return NOTHING if pd.isna(value) else f"{value:.3g}"


@drawn
def epochs_svg(history: pd.DataFrame) -> Any:
    """Loss above accuracy, by epoch, of training and validation.

    Args:
        history: columns epoch, fine_tuning (0 or 1), loss, accuracy, val_loss and val_accuracy.

    Returns:
        SVG.
    """
    figure, (above, below) = new_figure(5.4, 4.2, 1, 1)
    for axes, name in ((above, "loss"), (below, "accuracy")):
        for column, colour, split in (
            (name, BLUE, SPLITS["train"]), (f"val_{name}", ORANGE, SPLITS["val"]),
        ):  # fmt: skip
            axes.plot(history["epoch"], history[column], "o-", color=colour, ms=4, lw=1.4,
                      label=split)  # fmt: skip
        axes.set(ylabel=name)
        axes.grid(visible=True, axis="y")
        axes.locator_params(axis="x", integer=True)
    tuned = history.loc[history["fine_tuning"] > 0, "epoch"]
    if 0 < len(tuned) < len(history):
        for axes in (above, below):
            axes.axvline(tuned.min() - 0.5, color=INK, lw=1, ls=(0, (4, 3)))
        above.text(tuned.min() - 0.45, 1.02, "blocks train", size=8,
                   transform=above.get_xaxis_transform())  # fmt: skip
    figure.legend(*above.get_legend_handles_labels(), loc="outside upper left", ncols=2)
    below.set(xlabel="epoch")
    return figure


@drawn
def trials_svg(complete: pd.DataFrame, metric: str, higher_is_better: bool) -> Any:
    """Validation figure of every finished trial, coloured by whether blocks train.

    Args:
        complete: columns number and value, and fine_tune_blocks where it was tuned.
        metric: what the value is.
        higher_is_better: else lower is.

    Returns:
        SVG.
    """
    figure, axes = new_figure(5.4, 2.8)
    rows = complete.sort_values("number")
    so_far = rows["value"].cummax() if higher_is_better else rows["value"].cummin()
    axes.step(rows["number"], so_far, where="post", color=MUTED, lw=1.2)
    depth = rows["fine_tune_blocks"] if "fine_tune_blocks" in rows else rows["value"] * 0
    for trains, colour, label in (
        (False, BLUE, "head only"), (True, ORANGE, "blocks train too"),
    ):  # fmt: skip
        part = rows[(depth > 0) == trains]
        if not part.empty:
            axes.plot(part["number"], part["value"], "o", color=colour, ms=6, mew=0, label=label)
    axes.set(xlabel="trial", ylabel=f"validation {metric}")
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=True, axis="y")
    if "fine_tune_blocks" in rows:
        figure.legend(loc="outside upper left", ncols=2)
    return figure
