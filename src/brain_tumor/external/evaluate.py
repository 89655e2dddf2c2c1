"""A registered model on a folder of labelled images from elsewhere."""

import hashlib
from datetime import UTC, datetime
from pathlib import Path

from brain_tumor.external.baseline import MIN_CLUSTERS, metadata_probability
from brain_tumor.external.evaluation import Evaluation
from brain_tumor.external.folder import content_digest, labelled_files
from brain_tumor.external.known import KnownImages
from brain_tumor.external.predictions import UNREADABLE, Predictions, predict_files
from brain_tumor.external.result import class_figures, contradictions, subgroups
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier
from brain_tumor.inference.engine import EngineName
from brain_tumor.settings import LABELS
from brain_tumor.tracking.model_folder import ModelFolder


def evaluate_folder(model: ModelFolder, folder: Path, engine: EngineName = "fast") -> Evaluation:
    """Judge the labelled images of a folder and compare with their labels.

    Args:
        model: of the store, or pulled.
        folder: with `no/` and `yes/`, and perhaps `patients.csv`.
        engine: what runs the network.

    Raises:
        ValueError: the folder or the model is not as it should be; says what to do.
    """
    files = labelled_files(folder)
    known = KnownImages.load(model.root)
    classifier = Classifier.load(model.bundle, engine, model.name)
    found = predict_files(classifier, known, files)
    baseline = metadata_probability(found.features, found.table)
    return Evaluation(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model.name,
        model_digest=_digest(model),
        engine=classifier.engine.name,
        threshold=classifier.meta.threshold,
        folder=folder.resolve().name,
        folder_digest=content_digest(found.hashes),
        predictions=found,
        table=found.table.assign(baseline_probability=baseline),
        classes=tuple(class_figures(found.table, one, baseline) for one in reversed(LABELS)),
        subgroups=tuple(subgroups(found.table)),
        notes=tuple(_notes(known, found, without_baseline=baseline is None)),
    )


def _digest(model: ModelFolder) -> str:
    """As its card has it; without a card, of the files it is loaded from."""
    told = model.facts.get("digest")
    if told:
        return str(told)
    sha = hashlib.sha256()
    for name in bundle.FILES:
        sha.update(hashlib.sha256((model.bundle / name).read_bytes()).digest())
    return f"files:{sha.hexdigest()}"


def _notes(known: KnownImages, found: Predictions, *, without_baseline: bool) -> list[str]:
    notes = [known.limits] if known.limits else []
    unread = int((found.left_out["why"] == UNREADABLE).sum())
    if unread:
        notes.append(f"Files that could not be read, and are left out: {unread}.")
    both = contradictions(found.table)
    if both:
        notes.append(
            f"Files that have a copy, or a slice of the same patient, in the other class folder: "
            f"{len(both)} ({', '.join(both[:4])}{', ...' if both[4:] else ''}). Of copies one "
            "label is wrong; they are counted as labelled."
        )
    notes += [
        f"All files in {label}/ were left out: there is no figure for them."
        for label in LABELS
        if not (found.table["label"] == label).any()
    ]
    if without_baseline:
        notes.append(
            "There is no metadata baseline: it needs at least "
            f"{MIN_CLUSTERS} clusters of each class."
        )
    return notes
