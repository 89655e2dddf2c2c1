"""The evaluation report: its sections in order, as one page."""

import json
from collections.abc import Mapping
from typing import Any

from brain_tumor.figure_text import (
    SPLIT_NAMES,
    UNDEFINED,
    Number,
    Split,
    cell,
    decimals,
    figure_name,
)
from brain_tumor.model.metrics import confusion
from brain_tumor.report import evidence, model_sections
from brain_tumor.report.card import ModelCard, external_cell
from brain_tumor.report.checklists import CLAIM, PENDING, TRIPOD
from brain_tumor.report.drawings import Interval, intervals_svg
from brain_tumor.report.inputs import Inputs
from brain_tumor.report.page import (
    Absent,
    Drawing,
    Heading,
    KeyFigure,
    KeyFigures,
    Listing,
    Note,
    Part,
    Section,
    Table,
    page,
)
from brain_tumor.report.prose import PHANTOM

_TITLE = "Deep learning classification of brain MRI slices: evaluation report"
_DECISIONS = "docs/evidence/decisions.md (the project's decision log)"
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
_AIMS = (
    "Two things are asked: how well a network that starts from InceptionV3's weights tells slices "
    "with a tumour from slices without, where no copy of an image and no known patient lies on "
    "both sides of the split; and how far its probabilities can be taken at their word. The model "
    "is developed as well as evaluated, after Kim and Ye (2019)."
)
_THEIRS = (
    "On these images they reported an accuracy of 90 % on 40 of the 253 (95 % interval 77 to 96 %)."
)
_USERS = (
    "Users are researchers and engineers who compare methods on such collections. They need no "
    "skill but to bring single slices of adult heads, and must know that an answer is a "
    "probability among images like those of the training. Slices unlike those are flagged; their "
    "probability means little."
)
_NEXT = (
    "Next would be images of known patients from several hospitals, with consecutive cases, a "
    "reference standard from histology or follow-up, and readers to compare with."
)


def document(inputs: Inputs, card: ModelCard, pictures: Mapping[str, bytes] | None) -> str:
    """The report as HTML.

    Args:
        inputs: the files of the stages, and the evidence.
        card: the model's.
        pictures: JPEG of each of the card's failures by path, for the report that stays beside the
            data; None: a copy that leaves it, without any image of the data.
    """
    parts: dict[str, Section | Absent | None] = {
        "summary": _summary(inputs, card),
        "use": _use(inputs, card),
        "data": model_sections.data(inputs, card),
        "methods": model_sections.methods(inputs, card, is_local=pictures is not None),
        "training": model_sections.training(inputs),
        "performance": model_sections.performance(inputs, card),
        "calibration": model_sections.calibration(inputs, card),
        "failures": model_sections.failures(inputs, card, pictures),
        "crossvalidation": evidence.crossvalidation(inputs),
        "published": evidence.published(inputs),
        "external": evidence.external(inputs),
        "explanation": evidence.explanation(inputs),
        "robustness": evidence.robustness(inputs),
        "lineage": _lineage(inputs, card),
        "parameters": _parameters(inputs),
    }
    body = {key: part for key, part in parts.items() if isinstance(part, Section)}
    absent = {key: part for key, part in parts.items() if isinstance(part, Absent)}
    places = {
        key: f"section {number}, {section.title}"
        for number, (key, section) in enumerate(body.items(), 1)
    }
    places |= {key: f"not in this report: {gap.title}" for key, gap in absent.items()}
    places["decisions"] = _DECISIONS
    present = {key for key in PENDING if key in body}
    lists = [checklist.section(present, places) for checklist in (CLAIM, TRIPOD)]
    lead = (
        f"{card.name}, developed and evaluated on {card.data.files} images "
        f"({card.data.source}). For research only, not for diagnosis."
    )
    return page(_TITLE, lead, [*body.values(), *lists], list(absent.values()))


def _summary(inputs: Inputs, card: ModelCard) -> Section:
    """What was found on test images, at a glance."""
    warnings = [PHANTOM] if inputs.is_phantom else []
    if card.initial_weights.note:
        warnings.append(card.initial_weights.note.partition(" (")[0])
    if inputs.twins:
        warnings.append(_TWINS.format(inputs.twins))
    images, headline = card.images["test"], inputs.headline
    total = images.no + images.yes
    parts: list[Part] = [*map(Note, warnings)]
    if headline:
        caption = (
            f"Nested cross-validation of the recipe: {headline['images']} images in "
            f"{headline['clusters']} clusters, {headline['repeats']} times {headline['folds']} "
            "folds, with 95 % intervals."
        )
        parts.append(_keys(headline["figures"], caption))
    caption = (
        f"Test: {total} images ({images.no} without, {images.yes} with a tumour) in "
        f"{images.clusters} clusters, with 95 % intervals."
    )
    parts += [_keys(card.metrics["test"], caption), _in_words(inputs, card), _forest(card)]
    return Section("Summary", parts)


def _keys(measured: Mapping[str, Any], caption: str) -> KeyFigures:
    figures = {key: Number(**dict(measured[key])) for key in _KEYS if key in measured}
    keys = [
        KeyFigure(figure_name(key), figure.text, figure.interval or "no interval")
        for key, figure in figures.items()
    ]
    return KeyFigures(keys, caption)


def _in_words(inputs: Inputs, card: ModelCard) -> str:
    counts = confusion(*inputs.answers("test"), inputs.point.threshold)
    (cleared, _), (_, hit) = counts.tolist()
    no, yes = counts.sum(axis=1).tolist()
    test = card.metrics["test"]
    parts = [
        f"At a threshold of {decimals(inputs.point.threshold)} the model found {hit} of {yes} "
        f"tumours and cleared {cleared} of {no} images without one."
    ]
    if "balanced_accuracy" in test and "auroc" in test:
        parts.append(
            f"Balanced accuracy is {cell(test, 'balanced_accuracy')}, AUROC {cell(test, 'auroc')}."
        )
    if not inputs.twins:
        parts.append(
            "No test image, nor a known copy of one, was trained on. This run chose nothing by it."
        )
    parts.append(
        "Training started "
        f"from these weights: `{card.initial_weights.source}`. The research question, the data's "
        "faults and what the model must not be used for stand in the sections that follow."
    )
    return " ".join([*parts, *_elsewhere(inputs)])


def _elsewhere(inputs: Inputs) -> list[str]:
    """The last evaluation of this model on other data, if there was one."""
    if inputs.external.empty:
        return []
    last = {str(key): str(value) for key, value in inputs.external.iloc[-1].items()}
    rates = [f"{name} is {external_cell(last, name)}" for name in ("sensitivity", "specificity")]
    return [f"On data from elsewhere ({external_cell(last, 'folder')}), {' and '.join(rates)}."]


def _forest(card: ModelCard) -> Drawing:
    splits: tuple[Split, ...] = ("val", "test")
    rows = [
        Interval(figure_name(key), **dict(card.metrics[split][key]), series=SPLIT_NAMES[split])
        for split in splits
        for key in _SHARES
        if key in card.metrics[split]
    ]
    sizes = {split: card.images[split].no + card.images[split].yes for split in splits}
    return Drawing(
        intervals_svg(rows),
        f"Figures with 95 % intervals, validation (n = {sizes['val']}) and test "
        f"(n = {sizes['test']}). Intervals by a bootstrap over clusters, for single "
        "proportions of independent images Wilson's. Validation is optimistic: choices "
        "were made by it.",
        "Forest plot of performance on validation and test images; the values are in the table "
        "of section Performance.",
    )


def _use(inputs: Inputs, card: ModelCard) -> Section:
    """What the model is for, what not, and what limits it."""
    output = [[f"`{key}`", text] for key, text in card.output.items()]
    return Section(
        "Intended use and limits",
        [
            Note(card.intended_use),
            f"{_AIMS} {_THEIRS}" if inputs.evidence else _AIMS,
            _USERS,
            Heading("Not for"),
            Listing(card.not_for),
            Heading("Limits"),
            Listing(card.limits),
            _NEXT,
            Table(("Output", "Meaning"), output, f"What the model gives. It takes: {card.input}"),
        ],
    )


def _lineage(inputs: Inputs, card: ModelCard) -> Section:
    """What leads to the commit, the data and the run."""
    rows = [
        *([f"`{key}`", f"`{value}`"] for key, value in card.lineage.items()),
        ["`initial_weights.sha256`", f"`{card.initial_weights.sha256}`"],
        ["fast engine", str(inputs.export.get("engine", UNDEFINED))],
    ]
    return Section(
        "Lineage",
        [
            "`git checkout` of the commit, `dvc pull` and `dvc repro` lead from the data to this "
            "report. Training repeats bit by bit on one machine, not across processors. All "
            "versions of packages stand in requirements.txt, every file of the data in data.dvc.",
            Table(("What", "Value"), rows, "What this report was made from (MD5 as in dvc.lock)."),
        ],
    )


def _parameters(inputs: Inputs) -> Section:
    """Every parameter of the stages."""
    rows = [
        [f"`{section}.{key}`", f"`{json.dumps(value)}`"]
        for section, values in vars(inputs.sections).items()
        for key, value in values.model_dump(mode="json").items()
    ]
    return Section(
        "Parameters",
        [Table(("Parameter", "Value"), rows, "As in params.yaml, tuned values put in.")],
    )
