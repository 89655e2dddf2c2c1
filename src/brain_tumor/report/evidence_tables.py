"""Results of docs/evidence as tables, described once from the committed JSON.

The pages of docs/evidence write them as Markdown, the report as HTML.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from brain_tumor.figure_text import decimals
from brain_tumor.report.drawings import AS_IS, Interval, intervals_svg
from brain_tumor.report.page import Cell, Heading, Table
from brain_tumor.report.words import BASELINES, FIGURES, SPLITS, cell, figure_label

Figures = Mapping[str, Any]
RECIPE = "the recipe"
OF_BASELINES = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "auroc",
    "auprc", "log_loss", "brier", "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
SCORES = {"pointing": "pointing game", "mass": "mass in the tumour", "overlap": "overlap"}
SCORES_NOTE = (
    "Pointing game: share of maps whose strongest place (its square, a stride wide) touches "
    "the tumour. Mass: share of what speaks for a tumour that lies in it. Overlap: "
    "intersection over union with as many of the strongest pixels as the tumour has."
)
RIVALS = {
    "chance": "noise in the head",
    "centre": "the centre of the head",
    "random_head": "the model with a random head",
    "random": "random weights throughout",
}
_MAPS = {"model": "the model's heat map"} | RIVALS
DEGRADATIONS = {
    "noise": "Rician noise, standard deviation over the picture's white (99th percentile)",
    "blur": "Gaussian blur, standard deviation over the longer side",
    "contrast": "Share kept of the difference to the mean",
    "rotation": "Rotation about the centre, degrees, either way by file",
    "jpeg": "JPEG quality",
}


def headline_figures(headline: Figures, aimed: str) -> Table:
    """The recipe at its own threshold and at 0.5, and before the temperature.

    Args:
        headline: the summary of the nested cross-validation.
        aimed: what the recipe's own threshold is, in words.
    """
    own, half, raw = headline["figures"], headline["at_half"], headline["uncalibrated"]
    rows = [
        [
            figure_label(key), cell(own, key), cell(half, key) if key in half else "",
            "" if key in half else cell(raw, key),
        ]
        for key in own
    ]  # fmt: skip
    return Table(("figure", f"threshold {aimed}", "threshold 0.5", "before temperature"), rows)


def repeat_by_repeat(headline: Figures) -> str:
    """The figures of every repeat, in a sentence."""
    spread = "; ".join(
        f"{figure_label(key)} {', '.join(f'{value:.3f}' for value in values)}"
        for key, values in headline["by_repeat"].items()
    )
    return f"Repeat by repeat: {spread}."


def beside_baselines(headline: Figures) -> list[Heading | Table]:
    """The recipe and simpler classifiers on the same folds, called from 0.5 on."""
    columns = with_baselines(headline)
    rows = [
        [figure_label(key), *(cell(figures, key) for figures in columns.values())]
        for key in OF_BASELINES
    ]
    note = (
        "All at a threshold of 0.5. The probe's penalty is chosen by inner folds and its "
        "probabilities are means over an image and its copies. A dash: not defined (a constant "
        "ranks nothing; the nearest neighbour says 0 or 1)."
    )
    return [
        Heading("Beside baselines on the same folds"), Table(("figure", *columns), rows, note)
    ]  # fmt: skip


def with_baselines(headline: Figures) -> dict[str, Figures]:
    """Name to figures at a threshold of 0.5, the recipe first."""
    baselines = {BASELINES.get(key, key): figures for key, figures in headline["baselines"].items()}
    return {RECIPE: {**headline["figures"], **headline["at_half"]}, **baselines}


def paired_with_best(headline: Figures) -> list[Heading | Table]:
    """The recipe minus the best baseline."""
    paired = headline["paired"]
    rows = [[figure_label(key), cell(paired, key, 3)] for key in FIGURES if key in paired]
    note = (
        "The same resamples for both, at a threshold of 0.5; the best is the one with the highest "
        "AUROC. Lower is better for log loss and Brier score. An interval that holds 0 does "
        "not show a difference, and all it holds is compatible with these images."
    )
    return [
        Heading(f"Paired with the best baseline, {BASELINES[headline['best_baseline']]}"),
        Table(("figure", "recipe minus baseline"), rows, note),
    ]


def excludes_zero(figure: Mapping[str, float]) -> bool:
    """Whether a difference is shown: its interval lies on one side of 0."""
    return "low" in figure and (figure["low"] > 0 or figure["high"] < 0)


def stability(headline: Figures, keys: Sequence[str]) -> tuple[Heading, str, Table]:
    """With and without the doubted labels.

    Args:
        headline: the summary of the nested cross-validation.
        keys: figures that are shown.
    """
    without, own = headline["without_suspects"], headline["figures"]
    columns = {
        "own threshold": own,
        "own threshold, without": without["figures"],
        "threshold 0.5": {**own, **headline["at_half"]},
        "threshold 0.5, without": {**without["figures"], **without["at_half"]},
    }
    best = headline["best_baseline"]
    columns[BASELINES[best]] = headline["baselines"][best]
    columns[f"{BASELINES[best]}, without"] = without["best_baseline"]
    rows = [
        [figure_label(key), *(cell(figures, key) for figures in columns.values())] for key in keys
    ]
    text = (
        f"With and without {len(without['left_out'])} images whose label was doubted by eye before "
        "any model (`brain_tumor.data.copies`; never extended from errors), left out of "
        "scoring, not of training. Own threshold: the one set for a sensitivity, by which the "
        "parts below are called, too."
    )
    return Heading("What the figures depend on"), text, Table(("figure", *columns), rows)


def subgroups(headline: Figures, keys: Sequence[str], errors: str) -> Table:
    """Parts of the images, by what is known of them.

    Args:
        headline: the summary of the nested cross-validation.
        keys: figures that are shown.
        errors: where the surest errors stand by name.
    """
    rows = [
        [
            f"{part['by']}: {part['value']}", str(part["no"]), str(part["yes"]),
            *(cell(part["figures"], key) for key in keys),
        ]
        for part in headline["subgroups"]
    ]  # fmt: skip
    note = (
        "Parts with fewer than ten images of a class have counts only. The plane is that of the "
        "atlas slice an image was registered to. The sequence (T1, T2, FLAIR) is not recorded in "
        f"these files. The surest errors: {errors}."
    )
    return Table(("part", "no", "yes", *map(figure_label, keys)), rows, note)


def published_spread(paper: Figures) -> Table:
    """Figures of all seeds of the published protocol beside what was published."""
    rows = [
        [
            f"{split} {figure_label(key)}",
            "not stated" if published is None else decimals(published),
            decimals(seeds["median"]),
            f"{decimals(seeds['quarter'])} to {decimals(seeds['three_quarters'])}",
            f"{decimals(seeds['lowest'])} to {decimals(seeds['highest'])}",
        ]
        for split in SPLITS
        for key, seeds in sorted(paper["spread"][split].items(), key=_place)
        for published in [paper["published"].get(split, {}).get(key)]
    ]
    head = ("figure", "paper", "median", "middle half", "all seeds")
    return Table(head, rows, "Validation figures are optimistic: training stopped by them.")


def _place(figure: tuple[str, Any]) -> int:
    """Where a figure stands in the order of `FIGURES`."""
    return list(FIGURES).index(figure[0])


def published_means(paper: Figures) -> Table:
    """Means over the seeds."""
    val, test = paper["figures"]["val"], paper["figures"]["test"]
    rows = [[figure_label(key), cell(val, key), cell(test, key)] for key in test]
    note = "95 % intervals from clusters resampled jointly over seeds."
    return Table(("figure", "val", "test"), rows, note)


def worth_of_twins(paper: Figures, form: str) -> list[Heading | str | Table]:
    """What a copy in training is worth.

    Args:
        paper: the summary of the published protocol.
        form: how intervals and counts are told apart.
    """
    twins = paper["twins"]
    rows = [
        [
            name,
            *(
                cell(twins[name], key, note=f" ({twins[name]['predictions'][key]})")
                for key in ("with_twin", "without_twin")
            ),
            cell(twins[name], "difference"),
        ]
        for name in ("all pictures", "same pictures")
    ]
    note = (
        f"Pooled over seeds; {form}. `same pictures`: those that have copies at all, in the seeds "
        "where one is in train against those where none is."
    )
    head = ("test accuracy on", "with a twin in train", "without", "difference")
    return [
        Heading("What a twin in train is worth"),
        f"{twins['images_with_twin']:.1f} test images a seed have a copy in train.",
        Table(head, rows, note),
    ]


def map_scores(scores: Figures, note: str = "") -> Table:
    """How well maps point at the tumour, or the model's score minus theirs."""
    rows = [
        [_MAPS[name], *(cell(figures, key) for key in SCORES)] for name, figures in scores.items()
    ]
    return Table(("map", *SCORES.values()), rows, note)


def differences_svg(differences: Figures) -> str:
    """The model's scores minus those of other maps, as a forest plot."""
    rows = [
        Interval(f"against {_MAPS[name]}", **figures[key], series=title)
        for key, title in SCORES.items()
        for name, figures in differences.items()
    ]
    return intervals_svg(rows, "difference of scores", 0.0)


def level_rows(
    conditions: Sequence[Figures], kind: str, keys: Sequence[str], changes: Sequence[str]
) -> list[list[Cell]]:
    """A row per level of a kind of degradation.

    Args:
        conditions: as robustness.json has them.
        kind: of the degradation; `AS_IS`: the images as they are.
        keys: figures that are shown.
        changes: figures whose change against the images as they are is shown.
    """
    return [
        [
            "as is" if condition["kind"] == AS_IS else f"{condition['level']:g}",
            *(cell(condition["figures"], key) for key in keys),
            *(cell(condition.get("change", {}), key) for key in changes),
        ]
        for condition in conditions
        if condition["kind"] == kind
    ]


def degradation(kind: str) -> str:
    """The name of a kind of degradation, as a title."""
    return "JPEG" if kind == "jpeg" else kind.capitalize()


def level_head(keys: Sequence[str], changes: Sequence[str]) -> list[str]:
    """The columns of `level_rows`."""
    return ["level", *map(figure_label, keys), *(f"change of {figure_label(k)}" for k in changes)]


def baseline_intervals(columns: Mapping[str, Figures], key: str) -> list[Interval]:
    """Rows of a forest plot: a figure of each column that has it."""
    return [Interval(name, **figures[key]) for name, figures in columns.items() if key in figures]
