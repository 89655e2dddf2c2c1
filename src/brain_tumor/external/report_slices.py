"""The parts of the page that go into the slices: probabilities, flags, subgroups, errors."""

import numpy as np

from brain_tumor.external.evaluation import Evaluation
from brain_tumor.external.result import NAMES, QUANTILES, confident_errors
from brain_tumor.model.metrics import Rate
from brain_tumor.report.drawings import probabilities_svg
from brain_tumor.report.page import Cell, Drawing, Part, Table
from brain_tumor.report.words import Number
from brain_tumor.settings import POSITIVE

CLASSES = {"yes": "with a tumour", "no": "without a tumour"}
_ERRORS_SHOWN, _LEFT_OUT_SHOWN = 15, 60


def probabilities(evaluation: Evaluation) -> list[Part]:
    """The distribution of the probability in each class."""
    table = evaluation.table
    if table.empty:
        return ["No slices are left."]
    y_true = (table["label"] == POSITIVE).to_numpy().astype(np.int64)
    svg = probabilities_svg(y_true, table["probability"].to_numpy(float), evaluation.threshold)
    head = ["quantile", *(f"{quantile:.0%}" for quantile in QUANTILES)]
    present = [figures for figures in evaluation.classes if figures.quantiles]
    rows = [
        [CLASSES[figures.label], *(f"{value:.3f}" for value in figures.quantiles)]
        for figures in present
    ]
    tenths = ["probability", *(f"{i / 10:.1f} to {(i + 1) / 10:.1f}" for i in range(10))]
    shares = [[CLASSES[figures.label], *map(str, figures.histogram)] for figures in present]
    caption = f"Probability of a tumour of {len(table)} slices, by their label"
    alt = "; ".join(
        f"median {figures.quantiles[3]:.2f} {CLASSES[figures.label]}" for figures in present
    )
    return [
        Drawing(svg, caption, alt),
        Table(head, rows, "Probability of a tumour at quantiles of each class"),
        Table(tenths, shares, "Slices in each tenth of the probability"),
        "Calibration is not shown: it would depend on the mixture of the classes, which is an "
        "accident here.",
    ]


def unlike(evaluation: Evaluation) -> list[Part]:
    """What the model itself flags."""
    rows = [
        [
            CLASSES[figures.label],
            share(figures.unlike),
            share(figures.right),
            share(figures.right_familiar),
        ]
        for figures in evaluation.classes
    ]
    head = ["slices", "flagged", "called right: all", "called right: not flagged"]
    return [
        Table(head, rows, "Slices the model itself flags as unlike its training images"),
        "The flag is fitted on training images, of which 5 % would be flagged by default. The more "
        "are flagged here, the further these images are from what the model knows.",
    ]


def subgroups(evaluation: Evaluation) -> list[Part]:
    """Figures by format and size."""
    rows = [
        [f"{group.by}: {group.kind}", NAMES[group.label], str(group.right.images),
         str(group.right.clusters), share(group.right)]
        for group in evaluation.subgroups
    ]  # fmt: skip
    head = ["subgroup", "figure", "slices", "clusters", "called right"]
    caption = "By format and size, with 95 % intervals, not corrected for their number"
    return [Table(head, rows, caption)] if rows else ["No slices are left."]


def errors(evaluation: Evaluation) -> list[Part]:
    """The most confident errors, by name."""
    parts: list[Part] = []
    for figures in evaluation.classes:
        rows = confident_errors(evaluation.table, figures.label, _ERRORS_SHOWN)
        if rows.empty:
            parts.append(f"No slice {CLASSES[figures.label]} is called wrong.")
            continue
        cells = [
            [name, f"{probability:.3f}", "yes" if unlike else "no", warnings]
            for name, probability, unlike, warnings in zip(
                (rows["path"] + " " + rows["slice"]).str.strip(),
                rows["probability"],
                rows["out_of_distribution"],
                rows["warnings"],
                strict=True,
            )
        ]
        head = ["file", "probability", "flagged", "warnings"]
        wrong = figures.right.images - figures.right.hits if figures.right else 0
        caption = (
            f"{CLASSES[figures.label].capitalize()}, called wrong: the {len(rows)} of {wrong} that "
            "are furthest from the threshold"
        )
        parts.append(Table(head, cells, caption))
    return parts


def left_out(evaluation: Evaluation) -> list[Part]:
    """Files that are left out, and why."""
    out = evaluation.predictions.left_out
    if out.empty:
        return ["Nothing."]
    shown = out.head(_LEFT_OUT_SHOWN)
    rows = [
        [path, why, detail, f"{image} ({split})" if image else split]
        for path, why, detail, image, split in shown[
            ["path", "why", "detail", "training_image", "training_split"]
        ].itertuples(index=False)
    ]
    head = ["file", "why", "detail", "training image"]
    more = f"; {len(out) - len(shown)} more in left_out.csv" if len(out) > len(shown) else ""
    return [Table(head, rows, f"Files that are left out{more}")]


def share(rate: Rate | None) -> Cell:
    """A proportion with its interval, or none."""
    return "none" if rate is None else Number(rate.value, rate.low, rate.high)
