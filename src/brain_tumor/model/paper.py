"""The figures of Kim & Ye (2019) that a run is set beside.

Source: Kim & Ye, *Accuracy Evaluation of Brain Parenchymal MRI Image Classification Using
Inception V3*, 2019: accuracy and confusion matrices of its validation and test images, losses of
its last epoch.
"""

from collections.abc import Mapping

from brain_tumor.figure_text import cell

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
        lines.append(f"| {name} | {published} | {cell(metrics[split][metric])} |")
    lines += [
        "",
        "Validation figures are optimistic: hyperparameters (or the epoch) were chosen by them.",
    ]
    lines += [f"Training started from these weights: {initial_weights}."]
    return "\n".join(lines) + "\n"
