"""Results of docs/evidence, described once from the committed JSON: tables, and report sections.

The pages of docs/evidence write the tables as Markdown, the report as HTML.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from brain_tumor.figure_text import (
    FIGURES,
    SPLIT_NAMES,
    Cell,
    capitalised,
    cell,
    decimals,
    figure_label,
    listed,
)
from brain_tumor.report.card import external_table
from brain_tumor.report.drawings import (
    AS_IS,
    Interval,
    curves_svg,
    intervals_svg,
    reliability_svg,
)
from brain_tumor.report.inputs import Inputs
from brain_tumor.report.page import Absent, Drawing, Heading, Listing, Part, Section, Table

Figures = Mapping[str, Any]
BASELINES = {
    "majority": "majority (share of tumours)",
    "metadata": "file metadata alone (random forest)",
    "pixels_1nn": "1-NN on 32x32 pixels",
    "probe": "linear probe, frozen `mixed6`",
}
_OF_BASELINES = (
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


def columns_table(columns: Mapping[str, Figures], keys: Iterable[str], caption: str = "") -> Table:
    """A row per figure, a column per classifier (or split, or threshold)."""
    rows = [
        [figure_label(key), *(cell(figures, key) for figures in columns.values())] for key in keys
    ]
    return Table(("figure", *columns), rows, caption)


def headline_figures(headline: Figures, aimed: str, caption: str = "") -> Table:
    """The recipe at its own threshold (in words: `aimed`) and at 0.5, and before the temperature.

    Each figure but those that no threshold changes stands under 0.5, the others are uncalibrated.
    """
    own, half, raw = headline["figures"], headline["at_half"], headline["uncalibrated"]
    rows = [
        [figure_label(key), cell(own, key), *((cell(half, key), "") if key in half
                                              else ("", cell(raw, key)))]
        for key in own
    ]  # fmt: skip
    head = ("figure", f"threshold {aimed}", "threshold 0.5", "before temperature")
    return Table(head, rows, caption)


def repeat_by_repeat(headline: Figures) -> str:
    """The figures of every repeat, in a sentence."""
    spread = "; ".join(
        f"{figure_label(key)} {', '.join(f'{value:.3f}' for value in values)}"
        for key, values in headline["by_repeat"].items()
    )
    return f"Repeat by repeat: {spread}."


def beside_baselines(headline: Figures) -> list[Heading | Table]:
    """The recipe and simpler classifiers on the same folds, called from 0.5 on."""
    note = (
        "All at a threshold of 0.5. The probe's penalty is chosen by inner folds and its "
        "probabilities are means over an image and its copies. A dash: not defined (a constant "
        "ranks nothing; the nearest neighbour says 0 or 1)."
    )
    table = columns_table(_with_baselines(headline), _OF_BASELINES, note)
    return [Heading("Beside baselines on the same folds"), table]


def _with_baselines(headline: Figures) -> dict[str, Figures]:
    """Name to figures at a threshold of 0.5, the recipe first."""
    baselines = {BASELINES.get(key, key): figures for key, figures in headline["baselines"].items()}
    return {"the recipe": {**headline["figures"], **headline["at_half"]}, **baselines}


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


def paired_with_former(headline: Figures) -> list[Heading | Table]:
    """The recipe minus the one before it; nothing where that is not known."""
    former = headline.get("former")
    if not former:
        return []
    rows = [
        [
            figure_label(key),
            *(cell(figures, key, 3) for figures in (former["figures"], former["paired"])),
        ]
        for key in FIGURES
        if key in former["paired"]
    ]
    note = (
        "The same images in the same clusters and repeats, divided into the same outer folds; a "
        "threshold of 0.5. Preprocessing and augmentation differed, too."
    )
    return [
        Heading("Paired with the former recipe"),
        Table(("figure", "former recipe", "recipe minus former"), rows, note),
    ]


def excludes_zero(figure: Mapping[str, float]) -> bool:
    """Whether a difference is shown: its interval lies on one side of 0."""
    return "low" in figure and (figure["low"] > 0 or figure["high"] < 0)


def stability(
    headline: Figures, keys: Iterable[str], caption: str = ""
) -> tuple[Heading, str, Table]:
    """With and without the images whose labels are doubted."""
    without, own = headline["without_suspects"], headline["figures"]
    best = headline["best_baseline"]
    columns = {
        "own threshold": own,
        "own threshold, without": without["figures"],
        "threshold 0.5": {**own, **headline["at_half"]},
        "threshold 0.5, without": {**without["figures"], **without["at_half"]},
        BASELINES[best]: headline["baselines"][best],
        f"{BASELINES[best]}, without": without["best_baseline"],
    }
    text = (
        f"With and without {len(without['left_out'])} images whose label was doubted by eye before "
        "any model (`brain_tumor.data.copies`; never extended from errors), left out of "
        "scoring, not of training. Own threshold: the one set for a sensitivity, by which the "
        "parts below are called, too."
    )
    heading = Heading("What the figures depend on")
    return heading, text, columns_table(columns, keys, caption)


def subgroups(headline: Figures, keys: Sequence[str], errors: str, more: str = "") -> Table:
    """Parts of the images, by what is known of them; `errors`: where the surest errors stand."""
    rows = [
        [
            f"{part['by']}: {part['value']}", str(part["no"]), str(part["yes"]),
            *(cell(part["figures"], key) for key in keys),
        ]
        for part in headline["subgroups"]
    ]  # fmt: skip
    note = (
        "Parts with fewer than ten images of a class have counts only. A plane not seen by "
        "eye is what the alignment took it for. The sequence (T1, T2, FLAIR) is not recorded in "
        f"these files. The surest errors: {errors}.{more}"
    )
    return Table(("part", "no", "yes", *map(figure_label, keys)), rows, note)


def published_spread(paper: Figures, before: str = "") -> Table:
    """Figures of all seeds of the published protocol beside what was published."""
    rows = [
        [
            f"{split} {figure_label(key)}",
            "not stated" if published is None else decimals(published),
            decimals(seeds["median"]),
            f"{decimals(seeds['quarter'])} to {decimals(seeds['three_quarters'])}",
            f"{decimals(seeds['lowest'])} to {decimals(seeds['highest'])}",
        ]
        for split in SPLIT_NAMES
        for key in FIGURES
        if (seeds := paper["spread"][split].get(key))
        for published in [paper["published"].get(split, {}).get(key)]
    ]
    head = ("figure", "paper", "median", "middle half", "all seeds")
    return Table(
        head, rows, f"{before}Validation figures are optimistic: training stopped by them."
    )


def published_means(paper: Figures, before: str = "") -> Table:
    """Means over the seeds."""
    columns = {split: paper["figures"][split] for split in ("val", "test")}
    note = f"{before}95 % intervals from clusters resampled jointly over seeds."
    return columns_table(columns, columns["test"], note)


def worth_of_twins(paper: Figures, form: str) -> list[Heading | str | Table]:
    """What a copy in training is worth; `form`: how intervals and counts are told apart."""
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
    """A row per level of a kind of degradation (`AS_IS`: the images as they are).

    Columns are the figures of `keys`, and of those of `changes` the change against the images as
    they are.
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


def crossvalidation(inputs: Inputs) -> Section | Absent:
    """The whole recipe on folds it never saw, beside simpler classifiers."""
    headline, title = inputs.headline, "Nested cross-validation"
    if not headline:
        return Absent(title, "not made on these images; `make evidence`")
    size = f"n = {headline['images']} images in {headline['clusters']} clusters"
    intro = (
        f"{headline['repeats']} times {headline['folds']} outer folds of {size}, none of them "
        "divided. In each, inner folds of the other images choose hyperparameters, temperature "
        "and threshold; the outer fold is only predicted. This judges the recipe, with far more "
        "images than the test split; in a fold it fits the head to all other images, for the model "
        "of this report the validation images are held out. Tables: 95 % intervals from clusters "
        f"resampled jointly over repeats. {_origin(inputs, 'headline')}"
    ).strip()
    own = headline["figures"]
    parts: list[Part] = [
        intro,
        headline_figures(
            headline,
            "of its own",
            f"The recipe at its own thresholds and from a probability of 0.5 on ({size}). "
            f"{repeat_by_repeat(headline)}",
        ),
        Drawing(
            reliability_svg(pd.DataFrame(headline["reliability"])),
            f"Reliability on outer folds of the first repeat (n = {headline['images']}), in ten "
            "bins, with Wilson 95 % intervals; below, the images in each bin.",
            "Reliability diagram of the nested cross-validation.",
        ),
        *beside_baselines(headline),
        Drawing(
            intervals_svg(baseline_intervals(_with_baselines(headline), "auroc"), "AUROC"),
            f"AUROC on outer folds with 95 % intervals ({size}).",
            "Forest plot of the AUROC of the recipe and the baselines; the values are in the "
            "table.",
        ),
        *paired_with_best(headline),
    ]
    caption = f"The recipe and the best baseline, with and without the doubted labels ({size})."
    parts += stability(headline, [key for key in FIGURES if key in own], caption)
    if headline["subgroups"]:
        keys = ["sensitivity", "specificity", "auroc", "log_loss"]
        errors = "docs/evidence/confident_errors.csv"
        more = " Differences between parts were not tested."
        parts += [Heading("Subgroups"), subgroups(headline, keys, errors, more)]
    return _section(title, parts)


def _section(title: str, parts: Iterable[Part]) -> Section:
    """A section of the report, where heads of tables and names of rows begin with a capital."""
    return Section(title, [_sentence_case(part) for part in parts])


def _sentence_case(part: Part) -> Part:
    if not isinstance(part, Table):
        return part
    rows = [[capitalised(str(first)), *others] for first, *others in part.rows]
    return replace(part, head=list(map(capitalised, part.head)), rows=rows)


def _origin(inputs: Inputs, track: str) -> str:
    """When, where and how long a track of the evidence ran, in a sentence; "" if not known."""
    origin = inputs.evidence.get("made", {}).get(track)
    if not origin:
        return ""
    places = f"{listed(origin['dates'])}, {'; '.join(origin['machines'])}"
    return (
        f"Made by `{origin['command']}`, {places}, in {origin['wall_s'] / 60:.0f} minutes, with "
        "the recipe of the commit that the first line of its page in docs/evidence names; the "
        "recipe of this report may be a later one."
    )


def published(inputs: Inputs) -> Section | None:
    """Kim & Ye 2019 over many seeds, with their leak; None where these are not their images."""
    paper = inputs.evidence.get("paper")
    if not paper:
        return None
    intro = (
        f"The protocol of Kim and Ye (2019) with {paper['seeds']} seeds: files are divided at "
        "random into 163, 50 and 40, so copies of a picture fall on both sides, and validation "
        f"ends the training. {paper['as_good_as_published']} of {paper['seeds']} seeds reach the "
        "published test accuracy of 0.90 or more. This judges the protocol, not the model of this "
        f"report. {_origin(inputs, 'paper')}"
    ).strip()
    of_seeds = f"Figures of {paper['seeds']} seeds; no intervals but their spread. "
    form = "95 % intervals over clusters; last, the number of predictions"
    parts: list[Part] = [
        intro,
        published_spread(paper, of_seeds),
        published_means(paper, "Means over seeds; "),
        *worth_of_twins(paper, form),
    ]
    return _section("The published protocol", parts)


def external(inputs: Inputs) -> Section | Absent:
    """Every evaluation of this very model on other data, as the log has it."""
    log = inputs.external
    if log.empty:
        return Absent(
            "External data",
            "not evaluated; `brain-tumor evaluate MODEL FOLDER --log "
            "docs/evidence/external-log.csv`",
        )
    lines = [{str(key): str(value) for key, value in row.items()} for row in log.to_dict("records")]
    return Section(
        "External data",
        [
            "Sensitivity and specificity stand apart: classes of such collections come from "
            "different sources, and a joint figure would depend on their mixture.",
            external_table(lines, "Every evaluation of this model in the log."),
        ],
    )


def explanation(inputs: Inputs) -> Section | Absent:
    """Scores of the heat maps, of what they must beat, and the paired differences."""
    evidence, title = inputs.localisation, "Explanations"
    if not evidence:
        return Absent(title, "this model's heat maps were not tested; `make evidence`")
    what = (
        "A heat map shows what each place of the head's block and its neighbours add to the logit "
        "beside what they add in an empty picture, for and against a tumour. On phantoms the "
        f"tumour is known, pixel by pixel, and is warped as the image is. {SCORES_NOTE}"
    )
    network = (
        "The network asked is a trained model as it is, on phantoms it never saw. Its weights: "
        f"{evidence['weights']}; its block: mixed{evidence['block']}; its AUROC on phantoms: "
        f"{cell(evidence, 'auroc')}."
    )
    size = f" (n = {evidence['phantoms']} phantoms)"
    parts: list[Part] = [
        what,
        network,
        map_scores(
            evidence["scores"],
            f"How well maps point at the tumour{size}; 95 % intervals over patients.",
        ),
        map_scores(
            evidence["differences"],
            f"The heat map's score minus that of each{size}, paired; 95 % intervals.",
        ),
        Drawing(
            differences_svg(evidence["differences"]),
            f"The heat map's score minus each other's, with 95 % intervals{size}. Right of the "
            "line it is better; an interval that holds 0 shows no difference.",
            "Forest plot of the differences; the values are in the table above.",
        ),
        Listing(evidence["notes"]),
    ]
    return _section(title, parts)


def robustness(inputs: Inputs) -> Section | Absent:
    """Figures on test images as they are and degraded, a row per level."""
    evidence, title = inputs.robustness, "Robustness"
    if not evidence:
        return Absent(title, "this model was not tested on degraded images; `make evidence`")
    keys, changes = ("accuracy", "auroc", "calibration_slope", "brier", "flagged"), ("accuracy",)
    conditions, head = evidence["conditions"], level_head(keys, changes)
    rows = level_rows(conditions, AS_IS, keys, changes)
    for kind, what in DEGRADATIONS.items():
        if levels := level_rows(conditions, kind, keys, changes):
            name = what if kind in what.lower() else f"{degradation(kind)}: {what}"
            rows += [[name, *[""] * (len(head) - 1)], *levels]
    caption = (
        f"Test images (n = {evidence['images']} in {evidence['clusters']} clusters) degraded "
        "before any preprocessing; 95 % intervals. Change: against the same images as "
        "they are. Flagged: share called unlike the training images."
    )
    model = (
        f"Of the registered model with digest `{evidence['model'][:12]}`, at its threshold of "
        f"{decimals(evidence['threshold'])}. Nothing was chosen by these figures."
    )
    drawing = Drawing(
        curves_svg(conditions),
        "Figures on test images by level of degradation, with 95 % intervals; dashed: ideal.",
        "Curves of the figures by level, a column per kind; the values are in the table below.",
    )
    return Section(title, [model, drawing, _sentence_case(Table(head, rows, caption))])
