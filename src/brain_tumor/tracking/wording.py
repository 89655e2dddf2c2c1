"""What people read of a run: its name, the parameters that acted, its result in a few lines."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.figure_text import cell
from brain_tumor.settings import idle
from brain_tumor.tracking.lineage import flat_params

if TYPE_CHECKING:
    import pandas as pd

Metrics = Mapping[str, Mapping[str, Mapping[str, float]]]

# The figures people compare; all others are in the report and in evaluation/.
HEADLINE = {
    "log_loss": "Log loss",
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc": "AUROC",
    "sensitivity": "Sensitivity",
    "specificity": "Specificity",
}
SPLITS = {"val": "Validation", "test": "Test"}
_SENTENCE = ("accuracy", "auroc", "log_loss")
# Sections of params.yaml that decide what a training is made of, and how it goes.
DECIDING = ("split", "preprocess", "augment", "backbone", "train")
_OPTIMISTIC = "Validation images chose the model, so their figures are optimistic."
_RESEARCH = "Research only, not for diagnosis."


def training_name(train: Mapping[str, Any]) -> str:
    """What tells a training from others: `mixed6, 2 blocks, lr 1.2e-4`.

    With no block trained: `mixed6, head only, penalty 0.03` where the head is solved.

    Args:
        train: section `train` with what the study chose.
    """
    depth, penalty = train["fine_tune_blocks"], train["head_penalty"]
    blocks = f"{depth} block{'s' * (depth != 1)}" if depth else "head only"
    solved_only = penalty is not None and not depth
    rate = f"penalty {short(penalty)}" if solved_only else f"lr {short(train['learning_rate'])}"
    head = "paper head, " if train["head"] == "paper" else ""
    return f"{head}mixed{train['head_block']}, {blocks}, {rate}"


def study_title(images: int, objective: str, folds: int, trials: int) -> str:
    """What tells a study from others: `study: 253 images, log loss over 5 folds, 20 trials`."""
    over = f"over {folds} folds" if folds > 1 else "on validation"
    return f"study: {images} images, {objective.replace('_', ' ')} {over}, {trials} trials"


def short(value: float) -> str:
    """Two digits that matter: 1.2e-4, 0.03, 12."""
    if value and not 1e-2 <= abs(value) < 1e4:
        mantissa, _, exponent = f"{value:.1e}".partition("e")
        return f"{mantissa.removesuffix('.0')}e{int(exponent)}"
    return f"{value:.2g}" if abs(value) < 100 else f"{value:.0f}"


def acted_params(
    path: Path, train: Mapping[str, Any], more: Iterable[str] = (), *, phantom: bool = False
) -> dict[str, str]:
    """The parameters that decided a training, as `section.key` to text.

    Args:
        path: of params.yaml.
        train: section `train` with what the study chose.
        more: other sections that decided the run, as `tune` does a study.
        phantom: whether the data are the phantom, so that its section decided them.
    """
    sections = {*DECIDING, *more} | ({"phantom"} if phantom else set())
    without_effect = idle(train)
    fields = {
        f"train.{name}": value
        for name, value in train.items()
        if name not in without_effect and value is not None
    }
    flat = flat_params(path)
    found = {key: text for key, text in flat.items() if key.partition(".")[0] in sections}
    unused = "split.counts." if flat.get("split.mode") == "fractions" else "split.fractions."
    tuned = [name for name, value in train.items() if value == "tuned"]
    return {
        key: str(fields[key]) if key in fields else text
        for key, text in found.items()
        if not key.startswith(unused)
        and (key in fields or not key.startswith("train."))
        and (not key.startswith("tune.space.") or key.split(".")[2] in tuned)
    }


def headline(metrics: Metrics) -> dict[str, float]:
    """The figures people compare, under MLflow names, as `test/accuracy`; no intervals.

    Args:
        metrics: split to figure to `value`, `low`, `high`.
    """
    return {
        f"{split}/{figure}": float(metrics[split][figure]["value"])
        for split in SPLITS
        for figure in HEADLINE
        if figure in metrics.get(split, {})
    }


def curves(row: Mapping[str, float]) -> dict[str, float]:
    """What is drawn of an epoch: not its number, nor a learning rate where nothing learnt by it."""
    left_out = {"epoch", "fine_tuning"} | (set() if row.get("learning_rate") else {"learning_rate"})
    return {key: value for key, value in row.items() if key not in left_out}


def result_note(metrics: Metrics, more: str = "") -> str:
    """The result of a training for the description of its run: Markdown, with 95 % intervals.

    Args:
        metrics: split to figure to `value`, `low`, `high`.
        more: what to say between the result in a sentence and the table.
    """
    test = metrics.get("test", {})
    told = [f"{HEADLINE[key]} {cell(test, key, 3)}" for key in _SENTENCE if key in test]
    first = f"Test: {', '.join(told)}, with 95 % intervals." if told else "No test figures."
    rows = [
        [name, *(cell(metrics.get(split, {}), key, 3) for split in SPLITS)]
        for key, name in HEADLINE.items()
        if any(key in metrics.get(split, {}) for split in SPLITS)
    ]
    table = markdown_table(["Figure (95 % interval)", *SPLITS.values()], rows)
    return "\n\n".join(filter(None, [first, more, table, f"{_OPTIMISTIC} {_RESEARCH}"]))


def figures_csv(metrics: Metrics) -> str:
    """All figures with their intervals, a row each: MLflow shows the file as a table."""
    lines = ["split,figure,value,low,high"]
    for split, figures in metrics.items():
        for figure, parts in figures.items():
            values = (f"{parts[part]:.6g}" if part in parts else "" for part in _PARTS)
            lines.append(",".join([split, figure, *values]))
    return "\n".join(lines) + "\n"


_PARTS = ("value", "low", "high")


def trials_note(trials: "pd.DataFrame", best: int | None, objective: str) -> str:
    """The result of a study for the description of its run: the best trial, and all, best first.

    Args:
        trials: a row per trial: number, state, value and the hyperparameters.
        best: number of the best trial.
        objective: what `value` is; `log_loss` is better where lower.
    """
    table = trials.drop(columns=["duration_s"], errors="ignore").copy()
    table["_pruned"] = table["state"] != "complete"
    sign = 1.0 if objective == "log_loss" else -1.0
    table["_rank"] = sign * table["value"].astype(float)
    table = table.sort_values(["_pruned", "_rank", "number"]).drop(columns=["_pruned", "_rank"])
    names = ["trial" if name == "number" else name.replace("_", " ") for name in table.columns]
    rows = [[_cell(value) for value in row] for row in table.itertuples(index=False)]
    first = (
        f"Trial {best} is the best of {len(table)}; `value` is the validation "
        f"{objective.replace('_', ' ')}, the mean of all folds. A pruned trial has `value so far` "
        "only, of its first folds, which is not to be compared with a mean of all."
    )
    return f"{first}\n\n{markdown_table(names, rows)}"


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; empty without rows.

    A cell stays on one line, without the signs that end it or start HTML; None is empty.
    """
    cells = [["" if cell is None else _escaped(str(cell)) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells] if cells else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _cell(value: Any) -> str:
    if value is None or value != value:  # NaN
        return ""
    return (
        f"{value:.4g}"
        if isinstance(value, float) and not float(value).is_integer()
        else (f"{value:g}" if isinstance(value, float) else str(value))
    )
