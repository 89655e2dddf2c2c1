"""A registered model against a folder of labelled images from elsewhere."""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.folder import PATIENTS_FILE
from brain_tumor.data.metadata import metadata_classifier, metadata_features
from brain_tumor.data.patients import read_patients
from brain_tumor.errors import UserError
from brain_tumor.escaping import printable
from brain_tumor.files import read_bytes
from brain_tumor.imaging.read import look_at, patient_of
from brain_tumor.inference import bundle
from brain_tumor.inference.classifier import Classifier, SliceResult
from brain_tumor.inference.engine import EngineName
from brain_tumor.inference.files import examine_files, expand
from brain_tumor.model.metrics import Rate, cluster_rate, rate
from brain_tumor.monitoring.copies import (
    Fingerprint,
    KnownImages,
    Match,
    fingerprints,
    slice_clusters,
)
from brain_tumor.settings import LABELS, NEGATIVE, POSITIVE
from brain_tumor.tracking.models import ModelFolder

_WANTED = "no/ (images without a tumour) and yes/ (with one)"
SEED, FOLDS, MIN_CLUSTERS = 0, 5, 5


def metadata_probability(features: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Probability (N,) of `yes` by a random forest on file metadata, out of fold.

    The forest is trained inside the folder, on the other folds, and no cluster is divided between
    them. So it knows the folder's habits, which the model does not. None where a class has fewer
    than `MIN_CLUSTERS` clusters.

    Args:
        features: `data.metadata.metadata_features`, (N, ...).
        table: N rows with `label` and `cluster`.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    counts = table.groupby("label")["cluster"].nunique()
    if any(counts.get(label, 0) < MIN_CLUSTERS for label in LABELS):
        return None
    y_true = (table["label"] == POSITIVE).to_numpy()
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    probability = cross_val_predict(
        metadata_classifier(SEED),
        features,
        y_true,
        groups=table["cluster"].to_numpy(),
        cv=folds,
        method="predict_proba",
    )
    return np.asarray(probability[:, 1], dtype=np.float64)


@dataclass(frozen=True)
class LabelledFile:
    """A file of a class folder; `path` is relative to the folder, `patient` "" where unknown."""

    file: Path
    path: str
    label: str
    patient: str


def labelled_files(folder: Path) -> list[LabelledFile]:
    """The files of `folder/no` and `folder/yes`, at any depth, sorted within each.

    Hidden files and those that end like text, tables or code are passed over, as `brain-tumor
    predict` does. Where `folder/patients.csv` (columns path,patient) is, it names every file. Where
    it says nothing of a patient, a DICOM file's own tags do.

    Raises:
        UserError: a folder is missing or empty, or patients.csv does not fit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds {_WANTED}")
    files = [(file, label) for label in LABELS for file in _class_files(folder, label)]
    names = [printable(file.relative_to(folder)) for file, _ in files]
    patients, problems = read_patients(folder / PATIENTS_FILE, names)
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise UserError(
            f"{folder / PATIENTS_FILE}: {problems[0].path}: {problems[0].reason}{more}; mend it, "
            "or remove it if patients are not known"
        )
    return [
        LabelledFile(file, name, label, patients.get(name) or patient_of(file))
        for (file, label), name in zip(files, names, strict=True)
    ]


def _class_files(folder: Path, label: str) -> list[Path]:
    class_folder = folder / label
    if not class_folder.is_dir():
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        content = ", ".join(names[:5]) + (", ..." if names[5:] else "")
        raise UserError(
            f"{folder}: has no folder {label}/ (it holds {content or 'nothing'}); put the images "
            f"into {_WANTED}"
        )
    files = expand([str(class_folder)])
    if not files:
        raise UserError(f"{class_folder}: no files that may be images; {_WANTED} are both needed")
    return files


def content_digest(hashes: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of paths within the folder and SHA-256 of the files, whatever their order."""
    lines = sorted(f"{sha256}  {path}\n" for path, sha256 in hashes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def file_sha256(file: Path) -> str:
    """SHA-256 of a file; "" if it cannot be read."""
    try:
        return hashlib.sha256(read_bytes(file)).hexdigest()
    except (OSError, UserError):
        return ""


COPY, RELATED, UNREADABLE = "copy of a training image", "related to such a copy", "unreadable"
LEFT_OUT: Final = ("path", "label", "why", "detail", "training_image", "training_split")
COLUMNS: Final = (
    "path", "slice", "label", "cluster", "patient", "probability", "threshold", "calibrated",
    "call", "right", "out_of_distribution", "ood_score", "warnings", "format", "width", "height",
    "bytes", "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class LabelledPredictions:
    """The slices that count, and the files that do not.

    Attributes:
        table: `COLUMNS`, in the order of the files; `label` is the folder's, `call` the model's,
            `right` whether they agree.
        features: of each row's file, what is known without its picture, in the order of `table`.
        left_out: `LEFT_OUT`, a row per file, in the order of the files.
        hashes: path to SHA-256 of every file there is, left out or not.
    """

    table: pd.DataFrame
    features: pd.DataFrame
    left_out: pd.DataFrame
    hashes: Mapping[str, str]


def predict_files(
    classifier: Classifier, known: KnownImages, files: Sequence[LabelledFile]
) -> LabelledPredictions:
    """Read, hash and judge files, with a progress bar; a bad one does not stop the others.

    A copy of a training image is left out, and with it all that shares its cluster.
    """
    rows: list[dict[str, Any]] = []
    pictures: list[Fingerprint] = []
    features: dict[str, dict[str, float]] = {}
    matches: dict[str, Match] = {}
    errors: dict[str, str] = {}
    hashes = {file.path: file_sha256(file.file) for file in files}
    results = examine_files(classifier, [file.file for file in files])
    for file, result in zip(files, results, strict=True):
        path = file.path
        if result.error:
            errors[path] = result.error
            continue
        slices = fingerprints(finding.prepared.grey for finding in result.slices)
        features[path] = metadata_features(file.file)
        if match := known.match(hashes[path], slices):
            matches[path] = match
        rows += [_row(finding, file, hashes[path], features[path]) for finding in result.slices]
        pictures += slices
    clusters = slice_clusters(
        [f"{row['path']} {row['slice']}".strip() for row in rows],
        [row["sha256"] for row in rows],
        [row["patient"] for row in rows],
        pictures,
    )
    table = pd.DataFrame(rows, columns=list(COLUMNS)).assign(cluster=clusters)
    left_out = _left_out(files, errors, matches, dict(zip(table["path"], clusters, strict=True)))
    counted = table[~table["path"].isin(left_out["path"])].reset_index(drop=True)
    return LabelledPredictions(
        table=counted,
        features=pd.DataFrame([features[path] for path in counted["path"]]),
        left_out=left_out,
        hashes=hashes,
    )


def _row(
    finding: SliceResult, file: LabelledFile, sha256: str, features: Mapping[str, float]
) -> dict[str, Any]:
    """A row of `COLUMNS`, but for the cluster."""
    row = finding.prediction.row()
    height, width = finding.prepared.grey.shape
    call = row.pop("label")
    return row | {
        "call": call,
        "right": call == file.label,
        "width": width,
        "height": height,
        "path": file.path,
        "label": file.label,
        "patient": file.patient,
        "format": _format(file.file),
        "bytes": int(features["bytes"]),
        "sha256": sha256,
    }


def _format(file: Path) -> str:
    """What a file is, by its content."""
    return look_at(file.read_bytes()).kind


def _left_out(
    files: Sequence[LabelledFile],
    errors: Mapping[str, str],
    matches: dict[str, Match],
    cluster: Mapping[str, str],
) -> pd.DataFrame:
    """`LEFT_OUT` of the unreadable, of copies, and of what shares a cluster with a copy."""
    first = {cluster[path]: path for path in reversed(matches)}
    rows = []
    for file in files:
        path, match = file.path, matches.get(file.path)
        if path in errors:
            why, detail = UNREADABLE, errors[path]
        elif match:
            why, detail = COPY, match.reason
        elif copy := first.get(cluster[path]):
            why, detail, match = RELATED, f"copy or patient of {copy}", matches[copy]
        else:
            continue
        image = (match.image.path, match.image.split) if match else ("", "")
        rows.append((path, file.label, why, detail, *image))
    return pd.DataFrame(rows, columns=list(LEFT_OUT))


NAMES: Final = {POSITIVE: "sensitivity", NEGATIVE: "specificity"}
QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SIZES_PX: Final = (0, 128, 256, 512, 1024)  # edges of the shorter side
COVERAGES: Final = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5)
_BIN_COUNT = 10


@dataclass(frozen=True)
class ClassFigures:
    """What the slices of one class came to; None where there are none.

    Attributes:
        label: no or yes.
        right: share of slices called what they are: sensitivity or specificity.
        right_clusters: the same, every cluster weighing as much as every other.
        right_familiar: the same of slices that are like the training images only.
        baseline: as `right`, by file metadata alone; None also where there were too few.
        unlike: share flagged as unlike the training images.
        quantiles: of the probability of a tumour, at `QUANTILES`.
        histogram: slices in each tenth of the probability.
    """

    label: str
    right: Rate | None
    right_clusters: Rate | None
    right_familiar: Rate | None
    baseline: Rate | None
    unlike: Rate | None
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]

    @property
    def name(self) -> str:
        """Sensitivity or specificity."""
        return NAMES[self.label]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        rates = {
            self.name: self.right,
            f"{self.name}_per_cluster": self.right_clusters,
            f"{self.name}_not_flagged": self.right_familiar,
            f"{self.name}_metadata_baseline": self.baseline,
            "out_of_distribution": self.unlike,
        }
        return {name: value and value.as_dict() for name, value in rates.items()} | {
            "probability_quantiles": dict(zip(map(str, QUANTILES), self.quantiles, strict=False)),
            "probability_histogram": list(self.histogram),
        }


@dataclass(frozen=True)
class Subgroup:
    """Slices of one class and one kind, such as `256 to 511 px` of `shorter side`."""

    by: str
    kind: str
    label: str
    right: Rate


def class_figures(
    table: pd.DataFrame, label: str, baseline: NDArray[np.float64] | None
) -> ClassFigures:
    """Figures of one class; `baseline`: probability of each row of `table` by metadata alone."""
    is_of_class = (table["label"] == label).to_numpy()
    rows = table[is_of_class]
    cluster, right = rows["cluster"].to_numpy(), rows["right"].to_numpy(dtype=bool)
    unlike = rows["out_of_distribution"].to_numpy(dtype=bool)
    probability = rows["probability"].to_numpy(dtype=float)
    return ClassFigures(
        label=label,
        right=rate(right, cluster),
        right_clusters=cluster_rate(right, cluster),
        right_familiar=rate(right[~unlike], cluster[~unlike]),
        baseline=None
        if baseline is None
        else rate((baseline[is_of_class] >= 0.5) == (label == POSITIVE), cluster),
        unlike=rate(unlike, cluster),
        quantiles=tuple(np.quantile(probability, QUANTILES).tolist()) if len(rows) else (),
        histogram=tuple(np.histogram(probability, _BIN_COUNT, (0, 1))[0].tolist()),
    )


def subgroups(table: pd.DataFrame) -> list[Subgroup]:
    """Figures by format and by the shorter side, of each class, where there are slices."""
    if table.empty:
        return []
    side = table[["width", "height"]].min(axis=1)
    edges = [*SIZES_PX, np.inf]
    names = [f"{low} to {high - 1:g} px" for low, high in pairwise(edges)]
    names[0], names[-1] = f"below {SIZES_PX[1]} px", f"from {SIZES_PX[-1]} px"
    kinds = {
        "format": table["format"].astype("category"),
        "shorter side": pd.Series(pd.cut(side, edges, right=False, labels=names), table.index),
    }
    return [
        Subgroup(by, str(kind), label, right)
        for by, values in kinds.items()
        for kind in values.cat.categories
        for label in reversed(LABELS)
        for rows in [table[(values == kind) & (table["label"] == label)]]
        if (right := rate(rows["right"].to_numpy(dtype=bool), rows["cluster"].to_numpy()))
    ]


@dataclass(frozen=True)
class Kept:
    """Slices of one class among those most like the training images, and how many are right.

    Attributes:
        coverage: share of the slices of both classes that was asked for, those of the lowest
            score; of slices of equal score all are kept.
        score: the highest of them (`ood_score`); above 1 slices are flagged.
        label: no or yes.
        right: share of the kept slices of that class called what they are; None: there are none.
    """

    coverage: float
    score: float
    label: str
    right: Rate | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        right = {NAMES[self.label]: self.right and self.right.as_dict()}
        return {"coverage": self.coverage, "score": self.score} | right


def kept_slices(table: pd.DataFrame) -> list[Kept]:
    """Figures of what is left when the slices least like the training images are passed over.

    A risk-coverage curve (El-Yaniv & Wiener 2010, JMLR 11:1605), of each class: where figures below
    1 do not rise as coverage falls, there is no sign that the score tells which answers to rely on.
    """
    if table.empty:
        return []
    scores = np.sort(table["ood_score"].to_numpy(dtype=float))
    return [
        Kept(coverage, float(limit), label, right)
        for coverage in COVERAGES
        for limit in [scores[math.ceil(coverage * len(scores)) - 1]]
        for part in [table[table["ood_score"] <= limit]]
        for label in reversed(LABELS)
        for rows in [part[part["label"] == label]]
        for right in [rate(rows["right"].to_numpy(dtype=bool), rows["cluster"].to_numpy())]
    ]


def confident_errors(table: pd.DataFrame, label: str, count: int) -> pd.DataFrame:
    """The rows of a class that are wrong, the furthest from the threshold first."""
    wrong = table[(table["label"] == label) & ~table["right"].astype(bool)]
    return wrong.sort_values("probability", ascending=label == POSITIVE, kind="stable").head(count)


def contradictions(table: pd.DataFrame) -> list[str]:
    """Paths of which the other class folder holds a copy, or a slice of the same patient."""
    labels = table.groupby("cluster")["label"].transform("nunique")
    return sorted(set(table.loc[labels > 1, "path"]))


@dataclass(frozen=True)
class Evaluation:
    """Figures of each class, and what they are of.

    Attributes:
        date: UTC, to the second.
        model: name and version.
        model_digest: of what decides its answers.
        engine: what ran the network.
        threshold: the model's own.
        folder: its name, without its place.
        folder_digest: SHA-256 of paths and contents of the files in it.
        table: that of `predictions` with a column `baseline_probability`, missing where unknown.
        classes: tumours first.
        notes: what a reader must know before the figures.
    """

    date: str
    model: str
    model_digest: str
    engine: str
    threshold: float
    folder: str
    folder_digest: str
    predictions: LabelledPredictions
    table: pd.DataFrame
    classes: tuple[ClassFigures, ...]
    subgroups: tuple[Subgroup, ...]
    kept: tuple[Kept, ...]
    notes: tuple[str, ...]

    def counts(self, label: str) -> dict[str, int]:
        """How many files of a class were given and left out, and what is left of them."""
        rows = self.table[self.table["label"] == label]
        out = self.predictions.left_out
        why = out.loc[out["label"] == label, "why"]
        used = int(rows["path"].nunique())
        return {
            "files": used + len(why),
            "copies_of_training_images": int((why == COPY).sum()),
            "related_to_copies": int((why == RELATED).sum()),
            "unreadable": int((why == UNREADABLE).sum()),
            "used_files": used,
            "slices": len(rows),
            "clusters": int(rows["cluster"].nunique()),
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON; there is no figure of both classes together."""
        return {
            "date": self.date,
            "model": {"name": self.model, "digest": self.model_digest, "engine": self.engine},
            "threshold": self.threshold,
            "folder": {"name": self.folder, "digest": self.folder_digest},
            "notes": list(self.notes),
            "counts": {label: self.counts(label) for label in LABELS},
            "figures": {figures.label: figures.as_dict() for figures in self.classes},
            "subgroups": [
                {"by": group.by, "kind": group.kind, "label": group.label} | group.right.as_dict()
                for group in self.subgroups
            ],
            "kept": [kept.as_dict() for kept in self.kept],
        }


def evaluate_folder(model: ModelFolder, folder: Path, engine: EngineName = "fast") -> Evaluation:
    """Judge the images of a folder with `no/`, `yes/` and perhaps `patients.csv` by a model.

    Raises:
        UserError: the folder or the model is not as it should be; says what to do.
    """
    files = labelled_files(folder)
    known = KnownImages.load(model.root)
    classifier = Classifier.load(model.bundle, engine, model.name)
    predictions = predict_files(classifier, known, files)
    table = predictions.table
    baseline = metadata_probability(predictions.features, table)
    return Evaluation(
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model.name,
        model_digest=_digest(model),
        engine=classifier.engine.name,
        threshold=classifier.meta.threshold,
        folder=folder.resolve().name,
        folder_digest=content_digest(predictions.hashes.items()),
        predictions=predictions,
        table=table.assign(baseline_probability=baseline),
        classes=tuple(class_figures(table, label, baseline) for label in reversed(LABELS)),
        subgroups=tuple(subgroups(table)),
        kept=tuple(kept_slices(table)),
        notes=tuple(_notes(known, predictions, has_baseline=baseline is not None)),
    )


def _digest(model: ModelFolder) -> str:
    """As its card has it; without a card, of the files it is loaded from."""
    if digest := model.facts.get("digest"):
        return str(digest)
    sha = hashlib.sha256()
    for name in bundle.FILES:
        sha.update(hashlib.sha256((model.bundle / name).read_bytes()).digest())
    return f"files:{sha.hexdigest()}"


def _notes(
    known: KnownImages, predictions: LabelledPredictions, *, has_baseline: bool
) -> list[str]:
    notes = [known.limits] if known.limits else []
    unread = int((predictions.left_out["why"] == UNREADABLE).sum())
    if unread:
        notes.append(f"Files that could not be read, and are left out: {unread}.")
    both = contradictions(predictions.table)
    if both:
        notes.append(
            f"Files that have a copy, or a slice of the same patient, in the other class folder: "
            f"{len(both)} ({', '.join(both[:4])}{', ...' if both[4:] else ''}). Of copies one "
            "label is wrong; they are counted as labelled."
        )
    notes += [
        f"All files in {label}/ were left out: there is no figure for them."
        for label in LABELS
        if not (predictions.table["label"] == label).any()
    ]
    if not has_baseline:
        notes.append(
            "There is no metadata baseline: it needs at least "
            f"{MIN_CLUSTERS} clusters of each class."
        )
    return notes
