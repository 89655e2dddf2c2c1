"""The sections on docs/evidence: what is known of recipe and model beyond this training."""

from collections.abc import Iterator
from dataclasses import replace

import pandas as pd

from brain_tumor.figure_text import decimals
from brain_tumor.report import evidence_tables as tables
from brain_tumor.report.card import external_table
from brain_tumor.report.drawings import AS_IS, curves_svg, intervals_svg, reliability_svg
from brain_tumor.report.evidence_tables import Figures
from brain_tumor.report.inputs import Inputs
from brain_tumor.report.page import Absent, Drawing, Heading, Listing, Part, Section, Table
from brain_tumor.report.words import FIGURES, capitalised, cell, listed


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
        replace(
            tables.headline_figures(headline, "of its own"),
            caption=f"The recipe at its own thresholds and from a probability of 0.5 on ({size}). "
            f"{tables.repeat_by_repeat(headline)}",
        ),
        Drawing(
            reliability_svg(pd.DataFrame(headline["reliability"])),
            f"Reliability on outer folds of the first repeat (n = {headline['images']}), in ten "
            "bins, with Wilson 95 % intervals; below, the images in each bin.",
            "Reliability diagram of the nested cross-validation.",
        ),
        *tables.beside_baselines(headline),
        Drawing(
            intervals_svg(
                tables.baseline_intervals(tables.with_baselines(headline), "auroc"), "AUROC"
            ),
            f"AUROC on outer folds with 95 % intervals ({size}).",
            "Forest plot of the AUROC of the recipe and the baselines; the values are in the "
            "table.",
        ),
        *tables.paired_with_best(headline),
    ]
    heading, text, table = tables.stability(headline, [key for key in FIGURES if key in own])
    caption = f"The recipe and the best baseline, with and without the doubted labels ({size})."
    parts += [heading, text, replace(table, caption=caption)]
    if headline["subgroups"]:
        keys = ["sensitivity", "specificity", "auroc", "log_loss"]
        table = tables.subgroups(headline, keys, "docs/evidence/confident_errors.csv")
        caption = f"{table.caption} Differences between parts were not tested."
        parts += [Heading("Subgroups"), replace(table, caption=caption)]
    return Section(title, list(map(_sentence_case, parts)))


def _sentence_case(part: Part) -> Part:
    """A table as the report shows it: heads and names of rows begin with a capital letter."""
    if not isinstance(part, Table):
        return part
    rows = [[capitalised(str(first)), *others] for first, *others in part.rows]
    return replace(part, head=list(map(capitalised, part.head)), rows=rows)


def _origin(inputs: Inputs, track: str) -> str:
    """When, where and how long a track of the evidence ran, in a sentence; "" if not known."""
    origin = inputs.evidence.summary.get("made", {}).get(track)
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
    spread, means = tables.published_spread(paper), tables.published_means(paper)
    of_seeds = f"Figures of {paper['seeds']} seeds; no intervals but their spread."
    parts: list[Part] = [
        intro,
        replace(spread, caption=f"{of_seeds} {spread.caption}"),
        replace(means, caption=f"Means over seeds; {means.caption}"),
        *tables.worth_of_twins(
            paper, "95 % intervals over clusters; last, the number of predictions"
        ),
    ]
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


def explanation(inputs: Inputs) -> Section | Absent:
    """Scores of the heat maps, of what they must beat, and the paired differences."""
    evidence, title = inputs.localisation, "Explanations"
    if not evidence:
        return Absent(title, "this model's heat maps were not tested; `make evidence`")
    what = (
        "A heat map shows what each place of the head's block and its neighbours add to the logit "
        "beside what they add in an empty picture, for and against a tumour. On phantoms the "
        f"tumour is known, pixel by pixel, and is warped as the image is. {tables.SCORES_NOTE}"
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
    details = "; ".join(f"{name}: {value}" for name, value in facts.items() if value)
    who = "The network asked is a trained model as it is, on phantoms it never saw."
    return f"{who} {details}." if details else who


def _scores(evidence: Figures) -> Iterator[Part]:
    of = f" (n = {evidence['phantoms']} phantoms)" if "phantoms" in evidence else ""
    yield tables.map_scores(
        evidence["scores"], f"How well maps point at the tumour{of}; 95 % intervals over patients."
    )
    if differences := evidence.get("differences", {}):
        yield tables.map_scores(
            differences, f"The heat map's score minus that of each{of}, paired; 95 % intervals."
        )
        yield Drawing(
            tables.differences_svg(differences),
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
    conditions, head = evidence["conditions"], tables.level_head(keys, changes)
    rows = tables.level_rows(conditions, AS_IS, keys, changes)
    for kind, what in tables.DEGRADATIONS.items():
        if levels := tables.level_rows(conditions, kind, keys, changes):
            title = what if kind in what.lower() else f"{tables.degradation(kind)}: {what}"
            rows += [[title, *[""] * (len(head) - 1)], *levels]
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
