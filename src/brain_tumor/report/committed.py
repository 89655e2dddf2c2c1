"""The sections on what is known beyond this training: the committed evidence."""

from collections.abc import Iterator, Mapping
from typing import Any

import pandas as pd

from brain_tumor.report.evidence import baselines, figures
from brain_tumor.report.figures import Interval, intervals_svg, reliability_svg
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Absent, Figure, Heading, Part, Section, Table
from brain_tumor.report.wording import FIGURES, external_rows, figure_name, listed, shown

_TITLE = "Nested cross-validation"
_COLUMNS = ("balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier")


def crossvalidation(found: Findings) -> Section | Absent:
    """The whole recipe on folds it never saw, beside simpler classifiers."""
    headline = found.headline
    if not headline:
        return Absent(_TITLE, "not made on these images; `make evidence`")
    size = f"n = {headline['images']} images in {headline['clusters']} clusters"
    intro = (
        f"{headline['repeats']} times {headline['folds']} outer folds of {size}, none of them "
        "divided. In each, inner folds of the other images choose hyperparameters, temperature "
        "and threshold; the outer fold is only predicted. This judges the recipe, with far more "
        "images than the test split; in a fold it fits the head to all other images, for the model "
        "of this report the validation images are held out. "
        f"{made_by(found, 'headline')}"
    ).strip()
    return Section(
        _TITLE,
        [
            intro,
            *_baselines(headline, size),
            _reliability(headline),
            *_stability(headline, size),
        ],
    )


def external(found: Findings) -> Section | Absent:
    """Every evaluation of this very model on other data, as the log has it."""
    log = found.external
    if log.empty:
        return Absent(
            "External data",
            "not evaluated; `brain-tumor evaluate MODEL FOLDER --log "
            "docs/evidence/external-log.csv`",
        )
    lines = [{str(key): str(value) for key, value in row.items()} for row in log.to_dict("records")]
    head = ("Quantity", *(f"Evaluation {number}" for number in range(1, len(lines) + 1)))
    return Section(
        "External data",
        [
            "Sensitivity and specificity stand apart: classes of such collections come from "
            "different sources, and a joint figure would depend on their mixture.",
            Table(head, external_rows(lines), "Every evaluation of this model in the log."),
        ],
    )


def made_by(found: Findings, track: str) -> str:
    """When, where and how long a track of the evidence ran, in a sentence; "" if it is not told."""
    made = found.evidence.summary.get("made", {}).get(track)
    if not made:
        return ""
    places = f"{listed(made['dates'])}, {'; '.join(made['machines'])}"
    return (
        f"Made by `{made['command']}`, {places}, in {made['wall_s'] / 60:.0f} minutes, with the "
        "recipe of the commit that the first line of its page in docs/evidence names; the recipe "
        "of this report may be a later one."
    )


def _baselines(headline: Mapping[str, Any], size: str) -> Iterator[Part]:
    half = figures({**headline["figures"], **headline["at_half"]})
    named = {"The recipe": half} | {one.name: one.figures for one in baselines(headline)}
    rows = [[name, *(shown(one.get(key)) for key in _COLUMNS)] for name, one in named.items()]
    yield Table(
        ("", *map(figure_name, _COLUMNS)),
        rows,
        f"The recipe and simpler classifiers on the same folds, called from a probability of 0.5 "
        f"on ({size}); 95 % intervals from clusters resampled jointly over repeats.",
    )
    drawn = [
        Interval(name, one["auroc"].value, one["auroc"].low, one["auroc"].high)
        for name, one in named.items()
        if "auroc" in one
    ]
    yield Figure(
        intervals_svg(drawn, "AUROC"),
        f"AUROC on outer folds with 95 % intervals ({size}).",
        "Forest plot of the AUROC of the recipe and the baselines; the values are in the table.",
    )
    best = next((one for one in baselines(headline) if one.difference), None)
    if best:
        told = [f"{figure_name(key)} {shown(one)}" for key, one in best.difference.items()]
        yield f"Against the best of them ({best.name}), ours minus theirs: {'; '.join(told)}."


def _reliability(headline: Mapping[str, Any]) -> Figure:
    """Of the first repeat, in which every image counts once."""
    return Figure(
        reliability_svg(pd.DataFrame(headline["reliability"])),
        f"Reliability on outer folds of the first repeat (n = {headline['images']}), in ten bins, "
        "with Wilson 95 % intervals; below, the images in each bin.",
        "Reliability diagram of the nested cross-validation.",
    )


def _stability(headline: Mapping[str, Any], size: str) -> Iterator[Part]:
    without = headline["without_suspects"]
    columns = [figures(one) for one in (headline["figures"], without["figures"])]
    columns.append(figures(headline.get("uncalibrated", {})))
    rows = [
        [figure_name(key), *(shown(one.get(key)) for one in columns)]
        for key in FIGURES
        if key in columns[0]
    ]
    yield Table(
        ("Figure", "All images", f"Without {len(without['left_out'])} doubted", "No temperature"),
        rows,
        f"The recipe at its own thresholds, with and without the suspect labels, and of all images "
        f"before the temperature ({size}); 95 % intervals. The surest errors stand by name in "
        "docs/evidence/confident_errors.csv.",
    )
    keys = ("sensitivity", "specificity", "auroc", "log_loss")
    parts = [
        [
            f"{one['by']}: {one['value']}", str(one["no"]), str(one["yes"]),
            *(shown(figures(one["figures"]).get(key)) for key in keys),
        ]
        for one in headline["subgroups"]
    ]  # fmt: skip
    if parts:
        yield Heading("Subgroups")
        yield Table(
            ("Part", "No tumour", "Tumour", *map(figure_name, keys)),
            parts,
            "Parts of the images, by what is known of them; 95 % intervals. Small parts have no "
            "figures. Differences between parts were not tested.",
        )
