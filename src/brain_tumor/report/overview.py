"""The first section: what was found, at a glance."""

from collections.abc import Mapping

import numpy as np

from brain_tumor.figure_text import decimals
from brain_tumor.model.metrics import confusion
from brain_tumor.report.card import ModelCard
from brain_tumor.report.card_parts import Figure as CardFigure
from brain_tumor.report.evidence import figures
from brain_tumor.report.figures import Interval, intervals_svg
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import (
    Figure,
    KeyFigure,
    KeyFigures,
    Note,
    Part,
    Section,
)
from brain_tumor.report.prose import PHANTOM
from brain_tumor.report.wording import SPLITS, external_cell, figure_name, shown

_KEYS = (
    "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "calibration_slope",
)  # fmt: skip
_SHARES = (
    "balanced_accuracy", "accuracy", "sensitivity", "specificity", "precision", "f1", "auroc",
    "auprc",
)  # fmt: skip
_TWINS = (
    "{} test images share a copy or a patient with an image of training or validation: the figures "
    "of test are those of a leaking split."
)


def summary(found: Findings, card: ModelCard) -> Section:
    """What was found on test images, at a glance."""
    warnings = [PHANTOM] if found.is_phantom else []
    if card.initial_weights.note:
        warnings.append(card.initial_weights.note.partition(" (")[0])
    if found.twins:
        warnings.append(_TWINS.format(found.twins))
    images, headline = card.images["test"], found.headline
    total = images.no + images.yes
    test = _keys(
        card.metrics["test"],
        f"Test: {total} images ({images.no} without, {images.yes} with a tumour) in "
        f"{images.clusters} clusters, with 95 % intervals.",
    )
    crossvalidated = (
        [
            _keys(
                figures(headline["figures"]),
                f"Nested cross-validation of the recipe: {headline['images']} images in "
                f"{headline['clusters']} clusters, {headline['repeats']} times {headline['folds']} "
                "folds, with 95 % intervals.",
            )
        ]
        if headline
        else []
    )
    parts: list[Part] = [*map(Note, warnings), *crossvalidated, test, _in_words(found, card)]
    return Section("Summary", [*parts, _forest(card)])


def _keys(found: Mapping[str, CardFigure], caption: str) -> KeyFigures:
    keys = [
        KeyFigure(figure_name(key), decimals(found[key].value), _interval(found[key]))
        for key in _KEYS
        if key in found
    ]
    return KeyFigures(keys, caption)


def _interval(figure: CardFigure) -> str:
    if figure.low is None or figure.high is None:
        return "no interval"
    return f"{decimals(figure.low)} to {decimals(figure.high)}"


def _in_words(found: Findings, card: ModelCard) -> str:
    rows = found.rows("test")
    truth = np.asarray(rows["label"] == "yes", dtype=np.int64)
    counts = confusion(truth, rows["probability"].to_numpy(np.float64), found.point.threshold)
    (cleared, _), (_, hit) = counts.tolist()
    no, yes = counts.sum(axis=1).tolist()
    test, parts = card.metrics["test"], []
    parts.append(
        f"At a threshold of {decimals(found.point.threshold)} the model found {hit} of {yes} "
        f"tumours and cleared {cleared} of {no} images without one."
    )
    if "balanced_accuracy" in test and "auroc" in test:
        parts.append(
            f"Balanced accuracy is {shown(test['balanced_accuracy'])}, "
            f"AUROC {shown(test['auroc'])}."
        )
    if not found.twins:
        parts.append(
            "No test image, nor a known copy of one, was trained on. This run chose nothing by it."
        )
    parts.append(
        "Training started "
        f"from these weights: `{card.initial_weights.source}`. The research question, the data's "
        "faults and what the model must not be used for stand in the sections that follow."
    )
    return " ".join([*parts, *_elsewhere(found)])


def _elsewhere(found: Findings) -> list[str]:
    """The last evaluation of this model on other data, if there was one."""
    if found.external.empty:
        return []
    last = {str(key): str(value) for key, value in found.external.iloc[-1].items()}
    rates = [f"{name} is {external_cell(last, name)}" for name in ("sensitivity", "specificity")]
    return [f"On data from elsewhere ({external_cell(last, 'folder')}), {' and '.join(rates)}."]


def _forest(card: ModelCard) -> Figure:
    rows = [
        Interval(figure_name(key), figure.value, figure.low, figure.high, SPLITS[split])
        for split in ("val", "test")
        for key in _SHARES
        if (figure := card.metrics[split].get(key)) is not None
    ]
    sizes = {split: card.images[split].no + card.images[split].yes for split in ("val", "test")}
    return Figure(
        intervals_svg(rows),
        f"Figures with 95 % intervals, validation (n = {sizes['val']}) and test "
        f"(n = {sizes['test']}). Intervals by a bootstrap over clusters, for single "
        "proportions of independent images Wilson's. Validation is optimistic: choices "
        "were made by it.",
        "Forest plot of performance on validation and test images; the values are in the table "
        "of section Performance.",
    )
