"""An external evaluation as a page."""

from collections.abc import Sequence

from brain_tumor.dataset.frequency_hash import MAX_BITS
from brain_tumor.external.evaluation import Evaluation
from brain_tumor.external.report_slices import (
    CLASSES,
    errors,
    left_out,
    probabilities,
    share,
    subgroups,
    unlike,
)
from brain_tumor.figure_text import decimals
from brain_tumor.model.metrics import Rate
from brain_tumor.report.drawings import Interval, intervals_svg
from brain_tumor.report.page import Drawing, KeyFigure, KeyFigures, Note, Part, Section, Table, page
from brain_tumor.settings import LABELS

_NO_JOINT = (
    "There is no joint figure. The classes of a folder from elsewhere often come from different "
    "sources, and how many there are of each is an accident; accuracy, AUROC and calibration over "
    "both would measure the sources too."
)


def report(evaluation: Evaluation) -> str:
    """The whole page as HTML, self-contained."""
    lead = (
        f"{evaluation.model} on the labelled images of {evaluation.folder}, at the model's own "
        f"threshold of {evaluation.threshold:g}. Research only, not for diagnosis."
    )
    sections = [
        Section("Sensitivity and specificity", _figures(evaluation)),
        Section("Images", _images(evaluation)),
        Section("Probability of a tumour", probabilities(evaluation)),
        Section("Unlike the training images", unlike(evaluation)),
        Section("Subgroups", subgroups(evaluation)),
        Section("Most confident errors", errors(evaluation)),
        Section("Left out", left_out(evaluation)),
        Section("How this was made", _methods(evaluation)),
    ]
    return page(f"External evaluation: {evaluation.folder}", lead, sections)


def _figures(evaluation: Evaluation) -> list[Part]:
    keys = [
        KeyFigure(
            figures.name.capitalize(), decimals(figures.right.value), _interval(figures.right)
        )
        for figures in evaluation.classes
        if figures.right
    ]
    kinds = (
        ("model", "right", "each slice counts"),
        ("model, per cluster", "right_clusters", "each distinct picture counts once"),
        ("model, not flagged", "right_familiar", "slices like the training images"),
        ("metadata alone", "baseline", "each slice counts; trained here"),
    )
    rows = [
        [kind, *(share(getattr(figures, field)) for figures in evaluation.classes), meaning]
        for kind, field, meaning in kinds
    ]
    head = ["", *(figures.name for figures in evaluation.classes), "of what"]
    drawn = [
        Interval(figures.name, right.value, right.low, right.high, kind)
        for kind, field, _ in kinds
        if field != "right_familiar"
        for figures in evaluation.classes
        if (right := getattr(figures, field)) is not None
    ]
    parts: list[Part] = [KeyFigures(keys, "With 95 % intervals")] if keys else []
    parts += [Note(note) for note in evaluation.notes]
    parts += [_NO_JOINT, Table(head, rows, "Share called right, with 95 % intervals")]
    if drawn:
        caption = "Share called right, with 95 % intervals; the model and a baseline without eyes"
        alt = "; ".join(f"{row.series}, {row.label}: {decimals(row.value)}" for row in drawn)
        parts.append(Drawing(intervals_svg(drawn, "share called right"), caption, alt))
    parts.append(
        "The metadata baseline is a random forest that sees no picture: only width, height, size "
        "in bytes, compression, format, mode, EXIF and colour profile. It is trained inside this "
        "folder, on folds that divide no cluster. As far as it is right, the classes are told "
        "apart by where the files come from, and a model that is right here need not be right "
        "because of what it sees."
    )
    return parts


def _images(evaluation: Evaluation) -> list[Part]:
    counts = {figures.label: evaluation.counts(figures.label) for figures in evaluation.classes}
    names = {
        "files": "files in the folder",
        "copies_of_training_images": "left out: copies of training images",
        "related_to_copies": "left out: copies, or patients, of such copies",
        "unreadable": "left out: unreadable",
        "used_files": "files that count",
        "slices": "slices of these",
        "clusters": "clusters (distinct pictures or patients)",
    }
    rows = [
        [name, *(str(counts[figures.label][key]) for figures in evaluation.classes)]
        for key, name in names.items()
    ]
    head = ["", *(CLASSES[figures.label] for figures in evaluation.classes)]
    return [
        Table(head, rows, "The images of the folder"),
        "Copies, mirrored copies, slices of one file and, where `patients.csv` names them, slices "
        "of one patient form a cluster: they are not independent, and intervals take clusters for "
        "the unit.",
    ]


def _methods(evaluation: Evaluation) -> list[Part]:
    rows: Sequence[Sequence[str]] = [
        ["date", evaluation.date],
        ["model", evaluation.model],
        ["model digest", evaluation.model_digest],
        ["engine", evaluation.engine],
        ["folder digest", evaluation.folder_digest],
        ["files", ", ".join(f"{evaluation.counts(label)['files']} {label}" for label in LABELS)],
    ]
    return [
        Table(["what", "value"], rows, "What was evaluated"),
        "Intervals are 95 %: Wilson's where every slice is a cluster of its own, else the "
        "percentiles of 2000 resamples of the clusters; where all slices are right, or all wrong, "
        "Wilson's for as many clusters. A copy of a training image has its bytes, or a 255-bit "
        f"frequency hash within {MAX_BITS} bits of it, straight or mirrored. Copies within the "
        "folder are told as in stage validate, and mirrored too. Nothing here has chosen a "
        "parameter, a threshold or a model.",
    ]


def _interval(right: Rate) -> str:
    return f"{decimals(right.low)} to {decimals(right.high)}, {right.hits} of {right.images} slices"
