"""The sections on what was used and what was done: data and methods."""

from collections import Counter
from collections.abc import Iterable

from brain_tumor.report.card import ModelCard
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Heading, Link, Listing, Section, Table
from brain_tumor.report.wording import IMAGE_HEAD, image_rows, threshold_text

_DECISIONS = "docs/evidence/decisions.md"
_REFERENCE = (
    "The reference standard is the folder an image lies in: `yes` where a tumour is visible, `no` "
    "where none is. There is one label an image, by annotators who are not known; there is no "
    "histology, no follow-up and no second reading. Whether labelling was blinded is not known."
)
_DRAWN = (
    "The reference standard is the truth of the drawing: whether a mass was put into the slice."
)
_STATISTICS = (
    "All figures but the expected calibration error have percentile intervals of a bootstrap that "
    "resamples whole clusters, since copies and slices of one patient are not independent "
    "({resamples} resamples). Single proportions (accuracy, sensitivity, specificity) have Wilson "
    "intervals where every image is a cluster of its own and, with the number of clusters in place "
    "of that of images, where all images are right or all are wrong. Intervals are of 95 %. "
    "Training figures have none. The expected calibration error is given beside what a perfectly "
    "calibrated model would show at this number of images, by simulation. No hypothesis "
    "is tested, and nothing is adjusted for the number of figures."
)


def data(found: Findings, card: ModelCard) -> Section:
    """What the images are, and what is wrong with them."""
    facts = card.data
    source = (
        f"{facts.files} images, of them {facts.distinct} distinct, from: {facts.source}. "
        "It is a convenience collection, put together after the fact."
        if not found.is_phantom
        else f"{facts.files} images, of them {facts.distinct} distinct, drawn by the project."
    )
    patients = f"{facts.patients} patients are known." if facts.patients else ""
    left_out = len(found.validation.get("errors", ()))
    checks = (
        "Every file was decoded and checked before anything else (readable, large enough, one "
        f"frame, copies found by hash and by thumbnail); {left_out or 'none'} could not be used."
    )
    suspects = [
        Heading("Suspect labels"),
        "The labels of these images are doubted: "
        f"{', '.join(f'`{path}`' for path in facts.label_suspects)}. The list was drawn up by eye "
        "before any model and is never extended from a model's errors; the images are used as they "
        "are.",
    ]
    return Section(
        "Data",
        [
            f"{source} {patients}".strip(),
            _DRAWN if found.is_phantom else _REFERENCE,
            Table(
                IMAGE_HEAD,
                image_rows(card),
                "Images of each split. A cluster is all that copies or a known patient join.",
            ),
            _formats(found),
            Heading("Known faults"),
            checks,
            Listing(facts.faults or ("None were found.",)),
            *(suspects if facts.label_suspects else ()),
        ],
    )


def methods(found: Findings, card: ModelCard, *, is_local: bool) -> Section:
    """Design, split, preprocessing, network, training, statistics.

    Args:
        found: all that is known.
        card: the model's.
        is_local: whether the report lies in outputs/report of the repository.
    """
    statistics = _STATISTICS.format(resamples=found.settings.evaluate.bootstrap_resamples)
    return Section(
        "Methods",
        [
            "Retrospective development and internal evaluation of a classifier. The only input is "
            "the pixels of one slice; an image that cannot be read is an error, not a gap.",
            Heading("Split"),
            Listing(card.split),
            Heading("Preprocessing"),
            Listing(card.preprocessing),
            Heading("Network and training"),
            *_network(found),
            _why(is_local=is_local),
            Heading("Calibration and threshold"),
            f"The temperature ({found.point.temperature:.3g}) minimises the log loss of "
            f"{_predictions(found)}. The threshold is {threshold_text(card.calibration)}. Test "
            "images play no part in either.",
            Heading("Statistics"),
            statistics,
        ],
    )


def _why(*, is_local: bool) -> Link | str:
    """Where the project's decisions on the recipe stand; they are no part of this report."""
    told = "Why the recipe is what it is stands in the project's decision log,"
    if is_local:
        return Link(told, _DECISIONS, f"../../{_DECISIONS}")
    return f"{told} `{_DECISIONS}` of the commit."


def _formats(found: Findings) -> Table:
    """How files differ between the classes, which a model could learn instead of tumours."""
    manifest = found.manifest
    rows = []
    for label, name in (("no", "No tumour"), ("yes", "Tumour")):
        part = manifest[manifest["label"] == label]
        sides = part[["width", "height"]].min(axis=1)
        size = f"{int(sides.median())} ({sides.min()} to {sides.max()})"
        rows.append([name, str(len(part)), _counts(part["format"]), _counts(part["mode"]), size])
    return Table(
        ("Class", "Files", "Formats", "Colour modes", "Shorter side, px: median (range)"),
        rows,
        "Files of each class. Where these differ, classes can be told without seeing a tumour.",
    )


def _counts(values: Iterable[str]) -> str:
    return ", ".join(f"{name} {count}" for name, count in Counter(values).most_common())


def _predictions(found: Findings) -> str:
    """What temperature and threshold rest on."""
    point = found.point
    if point.folds == 1:
        return f"{point.images} predictions of validation images"
    return (
        f"{point.images} out-of-fold predictions of training and validation images, in "
        f"{point.folds} folds that divide no cluster"
    )


def _network(found: Findings) -> list[str]:
    train, meta, augment = found.settings.train, found.meta, found.settings.augment
    weights = found.weights
    solved = train.head_penalty is not None and meta.fine_tuned_blocks == 0
    how = (
        "The head is a logistic regression, solved to its optimum."
        if solved
        else f"{meta.fine_tuned_blocks} blocks below the head are trained too."
        if meta.fine_tuned_blocks
        else "The network below the head stays as it is."
    )
    balanced = (
        "Both classes weigh the same in training, whatever their numbers."
        if train.class_weight == "balanced"
        else "Every image weighs the same in training."
    )
    return [
        f"InceptionV3 (Szegedy et al. 2016) up to block mixed{meta.head_block}, with a head of "
        f"kind `{meta.head}`: {meta.parameters:,} parameters. In come {meta.size_px} x "
        f"{meta.size_px} pixels, out comes one probability. {how} Networks are not combined.",
        f"Training starts from `{weights.source}` (SHA-256 `{weights.sha256[:16]}`...). {balanced} "
        f"Each training image has {augment.copies} random variants (crop, flip, rotation, "
        "grey levels, blur, noise). Test images are predicted as they are.",
    ]
