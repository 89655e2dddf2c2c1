"""The sections on what came out: performance, calibration, errors."""

from collections.abc import Mapping

import numpy as np

from brain_tumor.figure_text import decimals
from brain_tumor.model.calibration import reliability
from brain_tumor.model.metrics import confusion
from brain_tumor.report.card import ModelCard
from brain_tumor.report.card_parts import Failure, Split
from brain_tumor.report.figures import confusion_svg, reliability_svg
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import (
    Absent,
    Beside,
    Figure,
    Listing,
    Part,
    Picture,
    Pictures,
    Section,
    Table,
)
from brain_tumor.report.predicted import probabilities_svg, roc_svg
from brain_tumor.report.wording import (
    FAILURE_HEAD,
    SPLITS,
    calibration_rows,
    failure_rows,
    figure_rows,
    threshold_text,
)


def performance(found: Findings, card: ModelCard) -> Section:
    """Figures of all splits, confusion matrices, ROC, every probability."""
    sizes = {split: one.no + one.yes for split, one in card.images.items()}
    head = ("Figure", *(f"{name.capitalize()} (n = {sizes[key]})" for key, name in SPLITS.items()))
    table = Table(
        head,
        figure_rows(card.metrics),
        "Figures by split, with 95 % intervals where they have one.",
    )
    notes = Listing([f"{SPLITS[key].capitalize()}: {text}" for key, text in card.notes.items()])
    truth, probability = _answers(found, "test")
    threshold = found.point.threshold
    return Section(
        "Performance",
        [
            table,
            notes,
            Beside([_confusion(found, split) for split in ("val", "test")]),
            Figure(
                probabilities_svg(truth, probability, threshold),
                f"Every test image (n = {len(truth)}) by its probability. Right of the line "
                f"({decimals(threshold)}) an image is called a tumour.",
                "Strip plot of the probabilities of test images with and without a tumour.",
            ),
            Figure(
                roc_svg(truth, probability, threshold),
                f"Receiver operating characteristic on test images (n = {len(truth)}), with the "
                "operating point.",
                "ROC curve of the test images with the operating point.",
            ),
        ],
    )


def calibration(found: Findings, card: ModelCard) -> Section:
    """How far probabilities can be taken at their word."""
    point = card.calibration
    rows = [
        ["Temperature", f"{point.temperature:.3g}", "lowest log loss out of fold"],
        ["Threshold", f"{point.threshold:.3g}", threshold_text(point)],
    ]
    measured = calibration_rows(card.metrics)
    truth, probability = _answers(found, "test")
    parts: list[Part] = [
        Table(
            ("Quantity", "Value", "Chosen as"),
            rows,
            f"Operating point, by {point.images} out-of-fold predictions; stored with the model.",
        )
    ]
    if measured:
        head = ("Figure", "Validation", "Test", "Ideal")
        parts.append(
            Table(head, measured, "Calibration, with 95 % intervals where a figure has one.")
        )
    parts.append(
        Figure(
            reliability_svg(reliability(truth, probability)),
            f"Reliability on test images (n = {len(truth)}) in ten bins: the share with a tumour "
            "against the mean prediction, with Wilson 95 % intervals; below, the images in each "
            "bin. The dashed line is perfect calibration.",
            "Reliability diagram of the test images.",
        )
    )
    return Section("Calibration and operating point", parts)


def failures(
    found: Findings, card: ModelCard, pictures: Mapping[str, bytes] | None
) -> Section | Absent:
    """The most confident errors by name, and as pictures.

    Args:
        found: all that is known.
        card: the model's.
        pictures: JPEG of each error by its path; None: this copy must show no image of the data.
    """
    total = sum(_errors(found, split) for split in ("val", "test"))
    if not card.failures:
        return Absent(
            "Most confident errors", "there is none, no validation or test image is called wrongly"
        )
    caption = (
        f"The {len(card.failures)} most confident of {total} errors on validation and test images. "
        "Doubted labels stand on a list drawn up before any model."
    )
    table = Table(FAILURE_HEAD, failure_rows(card), caption)
    shown = (
        "Pictures of these images are in the local report only (outputs/report/report.html): a "
        "registered model holds no image of the data."
        if pictures is None
        else Pictures([_picture(one, pictures[one.path], found) for one in card.failures])
    )
    return Section("Most confident errors", [shown, table])


def _picture(one: Failure, jpeg: bytes, found: Findings) -> Picture:
    truth = "tumour" if one.label == "yes" else "no tumour"
    place = decimals(found.point.threshold)
    return Picture(
        jpeg,
        f"`{one.path}` ({SPLITS[one.split]}): labelled {truth}, probability of a tumour "
        f"{one.probability:.3f}",
        f"{one.path} as the network sees it: labelled {truth}, called otherwise with a probability "
        f"of {one.probability:.3f} (threshold {place}).",
    )


def _errors(found: Findings, split: Split) -> int:
    truth, probability = _answers(found, split)
    return int(((probability >= found.point.threshold) != (truth == 1)).sum())


def _confusion(found: Findings, split: Split) -> Figure:
    truth, probability = _answers(found, split)
    counts = confusion(truth, probability, found.point.threshold)
    (tn, fp), (fn, tp) = counts.tolist()
    return Figure(
        confusion_svg(counts),
        f"{SPLITS[split].capitalize()}: calls at the threshold (n = {len(truth)}).",
        f"Confusion matrix, {SPLITS[split]}: {tn} of {tn + fp} without a tumour called rightly, "
        f"{tp} of {tp + fn} with one.",
    )


def _answers(found: Findings, split: Split) -> tuple["np.ndarray", "np.ndarray"]:
    """Labels, int64 (N,), and probabilities, float64 (N,), of a split."""
    rows = found.rows(split)
    truth = np.asarray(rows["label"] == "yes", dtype=np.int64)
    return truth, rows["probability"].to_numpy(np.float64)
