"""docs/evidence/headline.md from the summary."""

from collections.abc import Mapping, Sequence
from typing import Any

from brain_tumor.evidence.headline_summary import BY_THRESHOLD, COMPARED
from brain_tumor.evidence.page import figure_label, made_line, recipe_line, table
from brain_tumor.figure_text import cell

_RECIPE = "the recipe"
_BASELINES = {
    "majority": "majority (share of tumours)",
    "metadata": "file metadata alone (random forest)",
    "pixels_1nn": "1-NN on 32x32 pixels",
    "probe": "linear probe, frozen `mixed6`",
}
_SIDE_BY_SIDE = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
)  # fmt: skip
_OF_BASELINES = (
    *_SIDE_BY_SIDE[:4], "precision", "f1", "auroc", "auprc", "log_loss", "brier",
    "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip


def headline_page(summary: Mapping[str, Any], made: Mapping[str, Any], target: float | None) -> str:
    """The page as Markdown.

    Args:
        summary: see `headline_summary.summarise_headline`.
        made: where and when (see `page.made_from`).
        target: sensitivity the operating threshold is set for; None: the threshold is 0.5.
    """
    aimed = "0.5" if target is None else f"set for a sensitivity of {target:.2f}"
    parts = [
        recipe_line(made),
        "# The recipe, cross-validated whole",
        f"{summary['repeats']} times {summary['folds']} outer folds of {summary['images']} images "
        f"in {summary['clusters']} clusters (copies; slices of a patient, too, where patients are "
        "known), none divided. In each fold inner folds of the other images choose "
        "hyperparameters, temperature and operating threshold; the outer fold is only "
        "predicted. Brackets: 95 % intervals from "
        "clusters resampled jointly over repeats; figures are means over repeats. Nesting does not "
        "undo what was chosen before: [decisions.md](decisions.md) says on which images.",
        made_line(made),
        _figures(summary, aimed),
        "![Reliability of the first repeat](figures/reliability.svg)",
        _baselines(summary),
        "![AUROC of the recipe and the baselines](figures/baselines.svg)",
        _paired(summary),
        _stability(summary),
        _chosen(summary),
    ]
    return "\n\n".join(parts) + "\n"


def _figures(summary: Mapping[str, Any], aimed: str) -> str:
    found, half, raw = summary["figures"], summary["at_half"], summary["uncalibrated"]
    rows = [
        [
            figure_label(name),
            cell(found.get(name)),
            cell(half.get(name)) if name in BY_THRESHOLD else "",
            "" if name in BY_THRESHOLD else cell(raw.get(name)),
        ]
        for name in found
    ]
    head = ["figure", f"threshold {aimed}", "threshold 0.5", "before temperature"]
    spread = "; ".join(
        f"{figure_label(name)} {', '.join(f'{value:.3f}' for value in values)}"
        for name, values in summary["by_repeat"].items()
    )
    return f"## Figures\n\n{table(head, rows)}\n\nRepeat by repeat: {spread}."


def _baselines(summary: Mapping[str, Any]) -> str:
    ours = {**summary["figures"], **summary["at_half"]}
    columns = {_RECIPE: ours} | {
        _BASELINES[name]: figures for name, figures in summary["baselines"].items()
    }
    rows = [
        [figure_label(figure), *(cell(figures.get(figure)) for figures in columns.values())]
        for figure in _OF_BASELINES
    ]
    return (
        f"## Beside baselines on the same folds\n\n{table(['figure', *columns], rows)}\n\n"
        "All at a threshold of 0.5. The probe's penalty is chosen by inner folds and its "
        "probabilities are means over an image and its copies. A dash: not defined (a constant "
        "ranks nothing; the nearest neighbour says 0 or 1)."
    )


def _paired(summary: Mapping[str, Any]) -> str:
    best, found = summary["best_baseline"], summary["paired"]
    rows = [[figure_label(name), cell(found.get(name), 3)] for name in COMPARED if name in found]
    return (
        f"## Paired with the best baseline, {_BASELINES[best]}\n\n"
        f"{table(['figure', 'recipe minus baseline'], rows)}\n\n"
        "The same resamples for both, at a threshold of 0.5; the best is the one with the highest "
        "AUROC. Lower is better for log loss and Brier score. An interval that holds 0 does "
        "not show a difference, and all it holds is compatible with these images."
    )


def _stability(summary: Mapping[str, Any]) -> str:
    without, found = summary["without_suspects"], summary["figures"]
    best = summary["best_baseline"]
    half = {**found, **summary["at_half"]}, {**without["figures"], **without["at_half"]}
    rows = [
        [
            figure_label(name),
            *(cell(one.get(name)) for one in (found, without["figures"], *half)),
            cell(summary["baselines"][best].get(name)),
            cell(without["best_baseline"].get(name)),
        ]
        for name in (*_SIDE_BY_SIDE, "calibration_slope")
    ]
    head = [
        "figure", "own threshold", "own threshold, without", "threshold 0.5",
        "threshold 0.5, without", _BASELINES[best], f"{_BASELINES[best]}, without",
    ]  # fmt: skip
    text = (
        "## What the figures depend on\n\n"
        f"With and without {len(without['left_out'])} images whose label was doubted by eye before "
        "any model (`brain_tumor.dataset.suspects`; never extended from errors), left out of "
        "scoring, not of training. Own threshold: the one set for a sensitivity, by which the "
        "parts below are called, too.\n\n"
        f"{table(head, rows)}"
    )
    parts = [
        [
            f"{row['by']}: {row['value']}",
            str(row["no"]),
            str(row["yes"]),
            *(cell(row["figures"].get(name)) for name in ("sensitivity", "specificity", "auroc")),
        ]
        for row in summary["subgroups"]
    ]
    head = ["part", "no", "yes", "sensitivity", "specificity", "AUROC"]
    notes = (
        "Parts with fewer than ten images of a class have counts only. The plane is that of the "
        "atlas slice an image was registered to. The sequence (T1, T2, FLAIR) is not recorded in "
        "these files. The surest errors: [confident_errors.csv](confident_errors.csv)."
    )
    return f"{text}\n\n{table(head, parts)}\n\n{notes}"


def _chosen(summary: Mapping[str, Any]) -> str:
    choices: Sequence[Mapping[str, Any]] = summary["chosen"]
    names = sorted({name for one in choices for name in one["chosen"]})
    rows = [
        [
            f"{one['repeat']}.{one['fold']}",
            *(_number(one["chosen"].get(name, "")) for name in names),
            f"{one['temperature']:.2f}",
            f"{one['threshold']:.3f}",
            f"{one['wall_s']:.0f}",
        ]
        for one in choices
    ]
    head = ["fold", *(f"`{name}`" for name in names), "temperature", "threshold", "seconds"]
    return f"## What the inner folds chose\n\n{table(head, rows)}"


def _number(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
