"""Results of docs/evidence: the tables that its pages and the report both show, and the sections.

A table is described once, from the committed JSON; a page writes it as Markdown, the report as HTML
with capital first letters.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from brain_tumor.report.card import external_table
from brain_tumor.report.drawings import AS_IS, Interval, curves_svg, intervals_svg, reliability_svg
from brain_tumor.report.inputs import Inputs
from brain_tumor.report.page import (
    Absent,
    Cell,
    Drawing,
    Heading,
    Listing,
    Part,
    Section,
    Table,
)
from brain_tumor.report.words import (
    BASELINES,
    FIGURES,
    SPLITS,
    capitalised,
    cell,
    figure_label,
    listed,
    number,
)

Figures = Mapping[str, Any]
RECIPE = "the recipe"
OF_BASELINES = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "precision", "f1", "auroc",
    "auprc", "log_loss", "brier", "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
SCORES = {"pointing": "pointing game", "mass": "mass in the tumour", "overlap": "overlap"}
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
    columns = _with_baselines(headline)
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


def _with_baselines(headline: Figures) -> dict[str, Figures]:
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


def before_and_after(before: Figures, keys: Sequence[str], decisions: str) -> list[Heading | Table]:
    """The former recipe beside the present one on the same outer folds.

    Args:
        before: see `evidence.before.compare_before`.
        keys: figures that are shown.
        decisions: where it stands why the recipe changed.
    """
    rows = [
        [
            figure_label(key), cell(before["before"], key), cell(before["after"], key),
            cell(before["paired"], key, 3),
        ]
        for key in keys
    ]  # fmt: skip
    note = (
        "The former recipe (section `before` of evidence/params.yaml) and the present one on the "
        f"same outer folds of {before['repeats']} repeat, threshold 0.5. "
        f"{_verdict(before['paired'])} Why it changed: {decisions}. A dash: not "
        "compared, or not defined."
    )
    head = ("figure", "before", "after", "after minus before")
    return [Heading("Before and after"), Table(head, rows, note)]


def _verdict(paired: Figures) -> str:
    shown = [figure_label(key) for key, figure in paired.items() if excludes_zero(figure)]
    if shown:
        return f"The interval excludes 0 for {', '.join(shown)}."
    return "Every interval of a difference holds 0: no change is shown."


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
        "any model (`brain_tumor.dataset.suspects`; never extended from errors), left out of "
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
            "not stated" if published is None else number(published),
            number(seeds["median"]),
            f"{number(seeds['quarter'])} to {number(seeds['three_quarters'])}",
            f"{number(seeds['lowest'])} to {number(seeds['highest'])}",
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
        "of this report the validation images are held out. All intervals are of 95 %, from "
        f"clusters resampled jointly over repeats. {_origin(inputs, 'headline')}"
    ).strip()
    own, before = headline["figures"], headline.get("before")
    parts: list[Part] = [
        intro,
        replace(
            headline_figures(headline, "of its own"),
            caption=f"The recipe at its own thresholds and from a probability of 0.5 on ({size}). "
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
    if before:
        keys = [key for key in FIGURES if key in before["before"] and key in before["after"]]
        parts += before_and_after(before, keys, "docs/evidence/decisions.md")
    heading, text, table = stability(headline, [key for key in FIGURES if key in own])
    caption = f"The recipe and the best baseline, with and without the doubted labels ({size})."
    parts += [heading, text, replace(table, caption=caption)]
    if headline["subgroups"]:
        keys = ["sensitivity", "specificity", "auroc", "log_loss"]
        table = subgroups(headline, keys, "docs/evidence/confident_errors.csv")
        caption = f"{table.caption} Differences between parts were not tested."
        parts += [Heading("Subgroups"), replace(table, caption=caption)]
    return Section(title, list(map(_sentence_case, parts)))


def baseline_intervals(columns: Mapping[str, Figures], key: str) -> list[Interval]:
    """Rows of a forest plot: a figure of each column that has it."""
    return [Interval(name, **figures[key]) for name, figures in columns.items() if key in figures]


def _sentence_case(part: Part) -> Part:
    """A table as the report shows it: heads and names of rows begin with a capital letter."""
    if not isinstance(part, Table):
        return part
    rows = [[capitalised(str(first)), *others] for first, *others in part.rows]
    return replace(part, head=list(map(capitalised, part.head)), rows=rows)


def _origin(inputs: Inputs, track: str) -> str:
    """When, where and how long a track of the evidence ran, in a sentence; "" if not known."""
    made = inputs.evidence.summary.get("made", {}).get(track)
    if not made:
        return ""
    places = f"{listed(made['dates'])}, {'; '.join(made['machines'])}"
    return (
        f"Made by `{made['command']}`, {places}, in {made['wall_s'] / 60:.0f} minutes, with the "
        "recipe of the commit that the first line of its page in docs/evidence names; the recipe "
        "of this report may be a later one."
    )


def published(inputs: Inputs) -> Section | None:
    """Kim & Ye 2019 over many seeds, with their leak; None where these are not their images."""
    paper = inputs.track("paper")
    if not paper:
        return None
    intro = (
        f"The protocol of Kim and Ye (2019) with {paper['seeds']} seeds: files are divided at "
        "random into 163, 50 and 40, so copies of a picture fall on both sides, and validation "
        f"ends the training. {paper['as_good_as_published']} of {paper['seeds']} seeds reach the "
        "published test accuracy of 0.90 or more. This judges the protocol, not the model of this "
        f"report. {_origin(inputs, 'paper')}"
    ).strip()
    spread, means = published_spread(paper), published_means(paper)
    parts: list[Part] = [
        intro,
        replace(spread, caption=f"Figures of {paper['seeds']} seeds; no intervals but their "
                f"spread. {spread.caption}"),
        replace(means, caption=f"Means over seeds; {means.caption}"),
        *worth_of_twins(paper, "95 % intervals over clusters; last, the number of predictions"),
    ]  # fmt: skip
    return Section("The published protocol", list(map(_sentence_case, parts)))


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


SCORES_NOTE = (
    "Pointing game: share of maps whose strongest place (its square, a stride wide) touches "
    "the tumour. Mass: share of what speaks for a tumour that lies in it. Overlap: "
    "intersection over union with as many of the strongest pixels as the tumour has."
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
    parts: list[Part] = [what, _asked_network(evidence), *_scores(evidence)]
    return Section(title, list(map(_sentence_case, parts)))


def _asked_network(evidence: Figures) -> str:
    """Which network was asked, as far as it is known."""
    facts = {
        "Its weights": evidence.get("weights"),
        "its block": "block" in evidence and f"mixed{evidence['block']}",
        "its AUROC on phantoms": "auroc" in evidence and cell(evidence, "auroc"),
    }
    known = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    who = "The network asked is a trained model as it is, on phantoms it never saw."
    return f"{who} {known}." if known else who


def _scores(evidence: Figures) -> Iterator[Part]:
    of = f" (n = {evidence['phantoms']} phantoms)" if "phantoms" in evidence else ""
    yield map_scores(
        evidence["scores"], f"How well maps point at the tumour{of}; 95 % intervals over patients."
    )
    if differences := evidence.get("differences", {}):
        yield map_scores(
            differences, f"The heat map's score minus that of each{of}, paired; 95 % intervals."
        )
        yield Drawing(
            differences_svg(differences),
            f"The heat map's score minus each other's, with 95 % intervals{of}. Right of the line "
            "it is better; an interval that holds 0 shows no difference.",
            "Forest plot of the differences; the values are in the table above.",
        )
    if notes := evidence.get("notes"):
        yield Listing(list(notes))


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
            title = what if kind in what.lower() else f"{degradation(kind)}: {what}"
            rows += [[title, *[""] * (len(head) - 1)], *levels]
    caption = (
        f"Test images (n = {evidence['images']} in {evidence['clusters']} clusters) degraded "
        "before any preprocessing; 95 % intervals. Change: against the same images as "
        "they are. Flagged: share called unlike the training images."
    )
    model = (
        f"Of the registered model with digest `{evidence['model'][:12]}`, at its threshold of "
        f"{number(evidence['threshold'])}. Nothing was chosen by these figures."
    )
    drawing = Drawing(
        curves_svg(conditions),
        "Figures on test images by level of degradation, with 95 % intervals; dashed: ideal.",
        "Curves of the figures by level, a column per kind; the values are in the table below.",
    )
    return Section(title, [model, drawing, _sentence_case(Table(head, rows, caption))])
