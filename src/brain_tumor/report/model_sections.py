"""The sections on the model itself: data, methods, training, performance, calibration, errors."""

import io
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pandas as pd
from PIL import Image

from brain_tumor.escaping import code
from brain_tumor.figure_text import SPLIT_NAMES, UNDEFINED, Split, decimals
from brain_tumor.model.calibration import reliability
from brain_tumor.model.metrics import confusion
from brain_tumor.report.card import (
    FAILURE_HEAD,
    IMAGE_HEAD,
    Failure,
    ModelCard,
    calibration_rows,
    failure_rows,
    figure_rows,
    image_rows,
    split_notes,
    threshold_text,
)
from brain_tumor.report.drawings import (
    confusion_svg,
    epochs_svg,
    probabilities_svg,
    reliability_svg,
    roc_svg,
    trials_svg,
)
from brain_tumor.report.inputs import Inputs
from brain_tumor.report.page import (
    Absent,
    Beside,
    Drawing,
    Heading,
    Link,
    Listing,
    Part,
    Picture,
    Pictures,
    Section,
    Table,
)
from brain_tumor.shards import open_images

_NAMES = {
    "fine_tune_blocks": "Fine-tuning depth (blocks below the head)",
    "learning_rate": "Learning rate",
    "head_block": "Block the head sits on",
    "head_penalty": "L2 penalty of the head",
    "weight_decay": "Weight decay",
    "dropout": "Dropout",
}
_SHOWN_TRIALS = 20
_SIDE_PX = 192
_JPEG_QUALITY = 82
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


def data(inputs: Inputs, card: ModelCard) -> Section:
    """What the images are, and what is wrong with them."""
    facts = card.data
    source = (
        f"{facts.files} images, of them {facts.distinct} distinct, from: {facts.source}. "
        "It is a convenience collection, put together after the fact."
        if not inputs.is_phantom
        else f"{facts.files} images, of them {facts.distinct} distinct, drawn by the project."
    )
    patients = f"{facts.patients} patients are known." if facts.patients else ""
    left_out = len(inputs.validation.get("errors", ()))
    checks = (
        "Every file was decoded and checked before anything else (readable, large enough, one "
        f"frame, copies found by hash and by thumbnail); {left_out or 'none'} could not be used."
    )
    suspects = [
        Heading("Suspect labels"),
        "The labels of these images are doubted: "
        f"{', '.join(map(code, facts.label_suspects))}. The list was drawn up by eye "
        "before any model and is never extended from a model's errors; the images are used as they "
        "are.",
    ]
    return Section(
        "Data",
        [
            f"{source} {patients}".strip(),
            _DRAWN if inputs.is_phantom else _REFERENCE,
            Table(
                IMAGE_HEAD,
                image_rows(card),
                "Images of each split. A cluster is all that copies or a known patient join.",
            ),
            _formats(inputs),
            Heading("Known faults"),
            checks,
            Listing(facts.faults or ("None were found.",)),
            *(suspects if facts.label_suspects else ()),
        ],
    )


def methods(inputs: Inputs, card: ModelCard, *, is_local: bool) -> Section:
    """Design, split, preprocessing, network, training, statistics.

    `is_local`: the report lies in outputs/report of the repository, so that links lead to files.
    """
    point = inputs.point
    statistics = _STATISTICS.format(resamples=inputs.sections.evaluate.bootstrap_resamples)
    why = "Why the recipe is what it is stands in the project's decision log,"
    predictions = (
        f"{point.images} predictions of validation images"
        if point.folds == 1
        else f"{point.images} out-of-fold predictions of training and validation images, in "
        f"{point.folds} folds that divide no cluster"
    )
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
            *_network(inputs),
            Link(why, _DECISIONS, f"../../{_DECISIONS}")
            if is_local
            else f"{why} `{_DECISIONS}` of the commit.",
            Heading("Calibration and threshold"),
            f"The temperature ({point.temperature:.3g}) minimises the log loss of "
            f"{predictions}. The threshold is {threshold_text(card.calibration)}. Test "
            "images play no part in either.",
            Heading("Statistics"),
            statistics,
        ],
    )


def _formats(inputs: Inputs) -> Table:
    """How files differ between the classes, which a model could learn instead of tumours."""
    manifest = inputs.manifest
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


def _network(inputs: Inputs) -> list[str]:
    train, meta, augment = inputs.sections.train, inputs.meta, inputs.sections.augment
    weights = inputs.weights
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


def training(inputs: Inputs) -> Section:
    """What was chosen and by how many trials; learning curves where epochs were trained."""
    acting, metric, complete = inputs.sections.train.acting(), _metric(inputs), _complete(inputs)
    rows = [
        [title, f"{acting[name]:.3g}", "the study" if name in inputs.best.params else "params.yaml"]
        for name, title in _NAMES.items()
        if name in acting
    ]
    parts: list[Part] = [
        _in_words(inputs),
        Table(("Value", "Chosen", "By"), rows, "What the model was trained with."),
    ]
    if _epochs(inputs):
        drawing = Drawing(
            epochs_svg(inputs.history),
            "Loss and accuracy by epoch, of training images (with their variants) and validation "
            "images. Epoch 0, where there is one, is the solved head before any block trains.",
            "Learning curves of training and validation; the last epoch is the model's.",
        )
        parts.append(drawing)
    if len(complete) > 1:
        drawing = Drawing(
            trials_svg(complete, metric, metric == "AUROC"),
            f"Trials that ran to their end (n = {len(complete)}), in order; the line is the best "
            "so far. Trials that were ended early saw a part of the folds and are not shown.",
            f"Validation {metric} of every finished trial by its number.",
        )
        parts.append(drawing)
    if not complete.empty:
        parts.append(_trials_table(complete, metric))
    return Section("Training and tuning", parts)


def _in_words(inputs: Inputs) -> str:
    depth, best = inputs.meta.fine_tuned_blocks, inputs.best
    head, epochs = f"the head on mixed{inputs.meta.head_block}", _epochs(inputs)
    if depth:
        blocks = "block" if depth == 1 else "blocks"
        trained = f"{depth} {blocks} of InceptionV3 below {head} trained with it, {epochs} epochs."
    else:
        how = f"in {epochs} epochs" if epochs else "without epochs"
        trained = (
            f"No block of InceptionV3 trained: {head} was fitted to the features of the initial "
            f"weights, {how}."
        )
    if not best.study:
        return f"{trained} No value was chosen by a study: all stand in params.yaml."
    complete = _complete(inputs)
    tuned = ""
    if "fine_tune_blocks" in complete:
        count = int((complete["fine_tune_blocks"] > 0).sum())
        tuned = f"; {count} of the finished ones train blocks of InceptionV3"
    return (
        f"{trained} The study ran {best.complete + best.pruned} trials, of which {best.complete} "
        f"ran to their end and {best.pruned} were ended early{tuned}. Trial {best.trial} is the "
        f"best by {_metric(inputs)} on development images held out; test images play no part."
    )


def _epochs(inputs: Inputs) -> int:
    return int((inputs.history["learning_rate"] > 0).sum())


def _complete(inputs: Inputs) -> pd.DataFrame:
    return inputs.trials[inputs.trials["state"] == "complete"]


def _metric(inputs: Inputs) -> str:
    return "AUROC" if inputs.best.objective == "auroc" else "log loss"


def _trials_table(complete: pd.DataFrame, metric: str) -> Table:
    names = [name for name in _NAMES if name in complete]
    best = complete.sort_values("value", ascending=metric != "AUROC").head(_SHOWN_TRIALS)
    rows = [
        [
            str(int(row["number"])), f"{row['value']:.4f}",
            *(UNDEFINED if pd.isna(row[name]) else f"{row[name]:.3g}" for name in names),
        ]
        for row in best.to_dict("records")
    ]  # fmt: skip
    head = ("Trial", f"Validation {metric}", *(name.replace("_", " ") for name in names))
    return Table(
        head,
        rows,
        f"The {len(best)} best of {len(complete)} finished trials. A dash: the value does not act "
        "in that trial.",
    )


def performance(inputs: Inputs, card: ModelCard) -> Section:
    """Figures of all splits, confusion matrices, ROC, every probability."""
    sizes = {split: count.no + count.yes for split, count in card.images.items()}
    head = (
        "Figure",
        *(f"{name.capitalize()} (n = {sizes[key]})" for key, name in SPLIT_NAMES.items()),
    )
    caption = "Figures by split, with 95 % intervals where they have one."
    truth, probability = inputs.answers("test")
    threshold = inputs.point.threshold
    return Section(
        "Performance",
        [
            Table(head, figure_rows(card.metrics), caption),
            Listing(split_notes(card)),
            Beside([_confusion(inputs, split) for split in ("val", "test")]),
            Drawing(
                probabilities_svg(truth, probability, threshold),
                f"Every test image (n = {len(truth)}) by its probability. Right of the line "
                f"({decimals(threshold)}) an image is called a tumour.",
                "Strip plot of the probabilities of test images with and without a tumour.",
            ),
            Drawing(
                roc_svg(truth, probability, threshold),
                f"Receiver operating characteristic on test images (n = {len(truth)}), with the "
                "operating point.",
                "ROC curve of the test images with the operating point.",
            ),
        ],
    )


def calibration(inputs: Inputs, card: ModelCard) -> Section:
    """How far probabilities can be taken at their word."""
    point = card.calibration
    rows = [
        ["Temperature", f"{point.temperature:.3g}", "lowest log loss out of fold"],
        ["Threshold", f"{point.threshold:.3g}", threshold_text(point)],
    ]
    truth, probability = inputs.answers("test")
    parts: list[Part] = [
        Table(
            ("Quantity", "Value", "Chosen as"),
            rows,
            f"Operating point, by {point.images} out-of-fold predictions; stored with the model.",
        ),
        Table(
            ("Figure", "Validation", "Test", "Ideal"),
            calibration_rows(card.metrics),
            "Calibration, with 95 % intervals where a figure has one.",
        ),
        Drawing(
            reliability_svg(reliability(truth, probability)),
            f"Reliability on test images (n = {len(truth)}) in ten bins: the share with a tumour "
            "against the mean prediction, with Wilson 95 % intervals; below, the images in each "
            "bin. The dashed line is perfect calibration.",
            "Reliability diagram of the test images.",
        ),
    ]
    return Section("Calibration and operating point", parts)


def failures(
    inputs: Inputs, card: ModelCard, pictures: Mapping[str, bytes] | None
) -> Section | Absent:
    """The most confident errors by name, and as pictures.

    `pictures`: JPEG of each error by its path; None: this copy must show no image of the data.
    """
    threshold = inputs.point.threshold
    answers = [inputs.answers(split) for split in ("val", "test")]
    total = sum(((chance >= threshold) != (truth == 1)).sum() for truth, chance in answers)
    if not card.failures:
        return Absent(
            "Most confident errors", "there is none, no validation or test image is called wrongly"
        )
    caption = (
        f"The {len(card.failures)} most confident of {total} errors on validation and test images. "
        "Doubted labels stand on a list drawn up before any model."
    )
    table = Table(FAILURE_HEAD, failure_rows(card), caption)
    photographs = (
        "Pictures of these images are in the local report only (outputs/report/report.html): a "
        "registered model holds no image of the data."
        if pictures is None
        else Pictures([_picture(error, pictures[error.path], inputs) for error in card.failures])
    )
    return Section("Most confident errors", [photographs, table])


def _picture(error: Failure, jpeg: bytes, inputs: Inputs) -> Picture:
    truth = "tumour" if error.label == "yes" else "no tumour"
    place = decimals(inputs.point.threshold)
    return Picture(
        jpeg,
        f"{code(error.path)} ({SPLIT_NAMES[error.split]}): labelled {truth}, probability of a "
        f"tumour {error.probability:.3f}",
        f"{error.path} as the network sees it: labelled {truth}, called otherwise with a "
        f"probability of {error.probability:.3f} (threshold {place}).",
    )


def _confusion(inputs: Inputs, split: Split) -> Drawing:
    truth, probability = inputs.answers(split)
    counts = confusion(truth, probability, inputs.point.threshold)
    (tn, fp), (fn, tp) = counts.tolist()
    return Drawing(
        confusion_svg(counts),
        f"{SPLIT_NAMES[split].capitalize()}: calls at the threshold (n = {len(truth)}).",
        f"Confusion matrix, {SPLIT_NAMES[split]}: {tn} of {tn + fp} without a tumour called "
        f"rightly, {tp} of {tp + fn} with one.",
    )


def thumbnails(images: Path, paths: Sequence[str]) -> Mapping[str, bytes]:
    """JPEG of each image of the folder of preprocessed images, by its path in the manifest.

    Raises:
        UserError: an image is missing.
    """
    jpegs = {}
    for path, pixels in zip(paths, open_images(images, paths)[:], strict=True):
        image, file = Image.fromarray(pixels), io.BytesIO()
        image.thumbnail((_SIDE_PX, _SIDE_PX), Image.Resampling.LANCZOS)
        image.save(file, "JPEG", quality=_JPEG_QUALITY)
        jpegs[path] = file.getvalue()
    return jpegs
