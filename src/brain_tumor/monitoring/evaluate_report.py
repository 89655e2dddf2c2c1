"""What an evaluation on images from elsewhere leaves: a report, tables, and a line of a log."""

import os
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from brain_tumor.data.copies import MAX_BITS
from brain_tumor.errors import UserError
from brain_tumor.figure_text import Cell, Number, decimals
from brain_tumor.files import write_json, write_text
from brain_tumor.model.metrics import Rate
from brain_tumor.monitoring.evaluate import NAMES, QUANTILES, Evaluation, confident_errors
from brain_tumor.outputs import write_table
from brain_tumor.report.drawings import Interval, intervals_svg, probabilities_svg
from brain_tumor.report.page import (
    Drawing,
    KeyFigure,
    KeyFigures,
    Note,
    Part,
    Section,
    Table,
    page,
)
from brain_tumor.settings import LABELS, POSITIVE

CLASSES = {"yes": "with a tumour", "no": "without a tumour"}
_ERRORS_SHOWN, _LEFT_OUT_SHOWN = 15, 60
FILES = ("predictions.csv", "left_out.csv", "metrics.json", "report.html")
_HEAD = ("date", "model", "model_digest", "engine", "threshold", "folder", "folder_digest")
_COUNTS = ("files", "copies_of_training_images", "related_to_copies", "unreadable", "slices",
           "clusters")  # fmt: skip
_KINDS = ("", "_per_cluster", "_metadata_baseline")
_ENDS = {"": "value", "_low": "low", "_high": "high"}
LOG_COLUMNS: Final = (
    *_HEAD,
    *(f"{label}_{count}" for label in LABELS for count in _COUNTS),
    *(f"{NAMES[label]}{kind}{end}"
      for label in reversed(LABELS) for kind in _KINDS for end in _ENDS),
)  # fmt: skip


def _probabilities(evaluation: Evaluation) -> list[Part]:
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


def _unlike(evaluation: Evaluation) -> list[Part]:
    """What the model itself flags."""
    rows = [
        [CLASSES[row.label], *map(_share, (row.unlike, row.right, row.right_familiar))]
        for row in evaluation.classes
    ]
    head = ["slices", "flagged", "called right: all", "called right: not flagged"]
    parts: list[Part] = [
        Table(head, rows, "Slices the model itself flags as unlike its training images"),
        "The flag is set on training images, of which 5 % would be flagged by default. The more "
        "are flagged here, the further these images are from what the model knows.",
    ]
    return [*parts, *_kept(evaluation)] if evaluation.kept else parts


def _kept(evaluation: Evaluation) -> list[Part]:
    """What is right among the slices most like the training images."""
    by_class = {
        label: [kept for kept in evaluation.kept if kept.label == label]
        for label in reversed(LABELS)
    }
    rows = [
        [
            f"{levels[0].coverage:.0%}", f"{levels[0].score:.2f}",
            *(part for kept in levels
              for part in (str(kept.right.images if kept.right else 0), _share(kept.right))),
        ]
        for levels in zip(*by_class.values(), strict=True)
    ]  # fmt: skip
    columns = (part for label in by_class for part in (f"{label}: slices", NAMES[label]))
    return [
        Table(["kept", "score up to", *columns], rows, "The slices most like the training images"),
        "Of both classes together, the slices with the lowest score; above 1 they are flagged. How "
        "many of a class are kept depends on the mixture of the classes. Where a figure below 1 "
        "does not rise as fewer are kept, there is no sign that the score tells which answers to "
        "rely on.",
    ]


def _subgroups(evaluation: Evaluation) -> list[Part]:
    """Figures by format and size."""
    rows = [
        [f"{group.by}: {group.kind}", NAMES[group.label], str(group.right.images),
         str(group.right.clusters), _share(group.right)]
        for group in evaluation.subgroups
    ]  # fmt: skip
    head = ["subgroup", "figure", "slices", "clusters", "called right"]
    caption = "By format and size, with 95 % intervals, not corrected for their number"
    return [Table(head, rows, caption)] if rows else ["No slices are left."]


def _errors(evaluation: Evaluation) -> list[Part]:
    """The most confident errors, by name."""
    parts: list[Part] = []
    for figures in evaluation.classes:
        rows = confident_errors(evaluation.table, figures.label, _ERRORS_SHOWN)
        if rows.empty:
            parts.append(f"No slice {CLASSES[figures.label]} is called wrong.")
            continue
        cells = [
            [
                f"{row['path']} {row['slice']}".strip(), f"{row['probability']:.3f}",
                "yes" if row["out_of_distribution"] else "no", row["warnings"],
            ]
            for row in rows.to_dict("records")
        ]  # fmt: skip
        head = ["file", "probability", "flagged", "warnings"]
        wrong = figures.right.images - figures.right.hits if figures.right else 0
        caption = (
            f"{CLASSES[figures.label].capitalize()}, called wrong: the {len(rows)} of {wrong} that "
            "are furthest from the threshold"
        )
        parts.append(Table(head, cells, caption))
    return parts


def _left_out(evaluation: Evaluation) -> list[Part]:
    """Files that are left out, and why."""
    out = evaluation.predictions.left_out
    if out.empty:
        return ["Nothing."]
    rows = [
        [path, why, detail, f"{image} ({split})" if image else split]
        for path, _, why, detail, image, split in out.head(_LEFT_OUT_SHOWN).itertuples(index=False)
    ]
    head = ["file", "why", "detail", "training image"]
    more = f"; {len(out) - len(rows)} more in left_out.csv" if len(out) > len(rows) else ""
    return [Table(head, rows, f"Files that are left out{more}")]


def _share(rate: Rate | None) -> Cell:
    """A proportion with its interval, or none."""
    return "none" if rate is None else Number(rate.value, rate.low, rate.high)


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
        Section("Probability of a tumour", _probabilities(evaluation)),
        Section("Unlike the training images", _unlike(evaluation)),
        Section("Subgroups", _subgroups(evaluation)),
        Section("Most confident errors", _errors(evaluation)),
        Section("Left out", _left_out(evaluation)),
        Section("How this was made", _methods(evaluation)),
    ]
    return page(f"External evaluation: {evaluation.folder}", lead, sections)


def _figures(evaluation: Evaluation) -> list[Part]:
    keys = [
        KeyFigure(
            figures.name.capitalize(),
            decimals(right.value),
            f"{decimals(right.low)} to {decimals(right.high)}, {right.hits} of {right.images} "
            "slices",
        )
        for figures in evaluation.classes
        if (right := figures.right)
    ]
    kinds = (
        ("model", "right", "each slice counts"),
        ("model, per cluster", "right_clusters", "each distinct picture counts once"),
        ("model, not flagged", "right_familiar", "slices like the training images"),
        ("metadata alone", "baseline", "each slice counts; trained here"),
    )
    rows = [
        [kind, *(_share(getattr(figures, field)) for figures in evaluation.classes), meaning]
        for kind, field, meaning in kinds
    ]
    head = ["", *(figures.name for figures in evaluation.classes), "of what"]
    intervals = [
        Interval(figures.name, right.value, right.low, right.high, kind)
        for kind, field, _ in kinds
        if field != "right_familiar"
        for figures in evaluation.classes
        if (right := getattr(figures, field)) is not None
    ]
    parts: list[Part] = [KeyFigures(keys, "With 95 % intervals")] if keys else []
    parts += [Note(note) for note in evaluation.notes]
    parts += [_NO_JOINT, Table(head, rows, "Share called right, with 95 % intervals")]
    if intervals:
        caption = "Share called right, with 95 % intervals; the model and a baseline without eyes"
        alt = "; ".join(f"{row.series}, {row.label}: {decimals(row.value)}" for row in intervals)
        parts.append(Drawing(intervals_svg(intervals, "share called right"), caption, alt))
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
    names = ("date", "model", "model_digest", "engine", "folder_digest")
    rows = [
        *([name.replace("_", " "), str(getattr(evaluation, name))] for name in names),
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


def check_folder(folder: Path) -> None:
    """Raise `UserError`, before any work, if nothing can be written to this folder."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder}: is a file; give a folder with --out")


def write_all(folder: Path, evaluation: Evaluation) -> None:
    """Write `FILES` into a folder, made when missing; each whole or not at all."""
    predictions, left_out, metrics, page_file = (folder / name for name in FILES)
    write_table(predictions, evaluation.table)
    write_table(left_out, evaluation.predictions.left_out)
    write_json(metrics, evaluation.as_dict())
    write_text(page_file, report(evaluation))


def check_log(path: Path) -> None:
    """Raise `UserError`, before any work, if a line cannot be added to this file."""
    if not path.parent.is_dir():
        raise UserError(f"{path}: no folder {path.parent}; make it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file with --log")
    if not _has_lines(path):
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        head = file.readline().rstrip("\n")
    if head != ",".join(LOG_COLUMNS):
        raise UserError(
            f"{path}: is no log of external evaluations (its first line is {head[:60]!r}); give a "
            "new file with --log"
        )


def _has_lines(path: Path) -> bool:
    return path.is_file() and path.stat().st_size > 0


def append_line(path: Path, evaluation: Evaluation) -> None:
    """Add a line at the end, in one write; the header first where the file is new.

    Raises:
        UserError: the file is something else.
    """
    check_log(path)
    is_new = not _has_lines(path)
    line = pd.DataFrame([_line(evaluation)], columns=list(LOG_COLUMNS))
    text = line.to_csv(index=False, header=is_new, lineterminator="\n")
    if not is_new and not path.read_bytes().endswith(b"\n"):
        text = f"\n{text}"
    with path.open("ab") as file:
        file.write(text.encode())
        file.flush()
        os.fsync(file.fileno())


def _line(evaluation: Evaluation) -> dict[str, str]:
    line = {name: str(getattr(evaluation, name)) for name in _HEAD}
    for label in LABELS:
        counts = evaluation.counts(label)
        line |= {f"{label}_{count}": str(counts[count]) for count in _COUNTS}
    for figures in evaluation.classes:
        rates = figures.as_dict()
        for kind in _KINDS:
            if figure := rates[f"{figures.name}{kind}"]:
                line |= {
                    f"{figures.name}{kind}{end}": f"{figure[part]:.4f}"
                    for end, part in _ENDS.items()
                }
    return line
