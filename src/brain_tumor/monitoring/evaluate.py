"""A registered model against a folder of labelled images from elsewhere."""

import csv
import hashlib
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.folder import PATIENTS_FILE, read_patients
from brain_tumor.data.metadata import metadata_classifier, metadata_features
from brain_tumor.errors import UserError
from brain_tumor.imaging.dicom import is_dicom
from brain_tumor.imaging.nifti import is_nifti
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

SEED, FOLDS, MIN_CLUSTERS = 0, 5, 5


def metadata_probability(features: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Probability of `yes` by a random forest on file metadata, out of fold.

    The forest is trained inside the folder, on the other folds, and no cluster is divided between
    them. So it knows the folder's habits, which the model does not.

    Args:
        features: `data.metadata.metadata_features`, (N, ...).
        table: N rows with `label` and `cluster`.

    Returns:
        (N,); None where a class has fewer than `MIN_CLUSTERS` clusters.
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
    """A file of a class folder.

    Attributes:
        file: where it is.
        path: the same relative to the folder, with slashes; bytes that are no text are escaped.
        label: no or yes.
        patient: as patients.csv has it; "" where it is not known.
    """

    file: Path
    path: str
    label: str
    patient: str


def labelled_files(folder: Path) -> list[LabelledFile]:
    """The files of `folder/no` and `folder/yes`, at any depth, sorted within each.

    Hidden files and those that end like text, tables or code are passed over, as `brain-tumor
    predict` does. Where `folder/patients.csv` (columns path,patient) is, it names every file.

    Raises:
        UserError: a folder is missing or empty, or patients.csv does not fit.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder; give one that holds {_wanted()}")
    found = [
        (file, _text(file.relative_to(folder)), label)
        for label in LABELS
        for file in _class_files(folder, label)
    ]
    patients = _patients(folder, [path for _, path, _ in found])
    return [LabelledFile(*one, patients.get(one[1], "")) for one in found]


def content_digest(hashes: Iterable[tuple[str, str]]) -> str:
    """SHA-256 of the folder's files: their paths and contents, whatever their order or place.

    Args:
        hashes: path within the folder and SHA-256 of each file.
    """
    lines = sorted(f"{sha256}  {path}\n" for path, sha256 in hashes)
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _class_files(folder: Path, label: str) -> list[Path]:
    inside = folder / label
    if not inside.is_dir():
        names = sorted(path.name + "/" * path.is_dir() for path in folder.iterdir())
        holds = ", ".join(names[:5]) + (", ..." if names[5:] else "")
        raise UserError(
            f"{folder}: has no folder {label}/ (it holds {holds or 'nothing'}); put the images "
            f"into {_wanted()}"
        )
    files = [file for file in expand([str(inside)]) if not file.is_dir()]
    if not files:
        raise UserError(f"{inside}: no files that may be images; {_wanted()} are both needed")
    return files


def _text(path: Path) -> str:
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _wanted() -> str:
    return "no/ (images without a tumour) and yes/ (with one)"


def _patients(folder: Path, paths: list[str]) -> dict[str, str]:
    patients, problems = read_patients(folder / PATIENTS_FILE, paths)
    if problems:
        more = f" (and {len(problems) - 1} more)" if problems[1:] else ""
        raise UserError(
            f"{folder / PATIENTS_FILE}: {problems[0].path}: {problems[0].reason}{more}; mend it, "
            "or remove it if patients are not known"
        )
    return patients


@dataclass(frozen=True)
class Seen:
    """A file that was read.

    Attributes:
        file: which.
        rows: of `predictions.COLUMNS`, but for the cluster; one per slice.
        pictures: of the slices.
        features: what is known of it without its picture.
        match: the training image it is a copy of, if it is one.
    """

    file: LabelledFile
    rows: tuple[dict[str, Any], ...]
    pictures: tuple[Fingerprint, ...]
    features: dict[str, float]
    match: Match | None


def see(
    file: LabelledFile, findings: tuple[SliceResult, ...], sha256: str, known: KnownImages
) -> Seen:
    """Put together what there is to know of a file that the model has judged.

    Args:
        file: which.
        findings: of its slices.
        sha256: of its bytes.
        known: what the model was made from.
    """
    pictures = fingerprints(file.file, [one.prepared.grey for one in findings])
    features = metadata_features(file.file)
    of_file = {
        "path": file.path,
        "label": file.label,
        "patient": file.patient,
        "format": _format(file.file, features),
        "bytes": int(features["bytes"]),
        "sha256": sha256,
    }
    rows = tuple(_of_slice(finding, file.label) | of_file for finding in findings)
    return Seen(file, rows, tuple(pictures), features, known.match(sha256, pictures))


def file_sha256(file: Path) -> str:
    """SHA-256 of a file; "" if it cannot be read."""
    try:
        return hashlib.sha256(file.read_bytes()).hexdigest()
    except OSError:
        return ""


def _of_slice(finding: SliceResult, label: str) -> dict[str, Any]:
    row = finding.prediction.row()
    height, width = finding.prepared.grey.shape
    call = row.pop("label")
    return row | {"call": call, "right": call == label, "width": width, "height": height}


def _format(file: Path, features: dict[str, float]) -> str:
    """What a file is, by its content."""
    data = file.read_bytes()
    if is_dicom(data):
        return "DICOM"
    if is_nifti(data):
        return "NIfTI"
    names = (name for name, value in features.items() if name.startswith("format_") and value)
    return next(names).removeprefix("format_")


COPY, RELATED, UNREADABLE = "copy of a training image", "related to such a copy", "unreadable"
LEFT_OUT: Final = ("path", "label", "why", "detail", "training_image", "training_split")
COLUMNS: Final = (
    "path", "slice", "label", "cluster", "patient", "probability", "threshold", "calibrated",
    "call", "right", "out_of_distribution", "ood_score", "warnings", "format", "width", "height",
    "bytes", "sha256",
)  # fmt: skip


@dataclass(frozen=True)
class Predictions:
    """The slices that count, and the files that do not.

    Attributes:
        table: `COLUMNS`, in the order of the files; `label` is the folder's, `call` the model's,
            `right` whether they agree.
        features: of each row's file, what is known without its picture, in the order of `table`.
        left_out: `LEFT_OUT`, a row per file, in the order of the files.
        hashes: path and SHA-256 of every file there is, left out or not.
    """

    table: pd.DataFrame
    features: pd.DataFrame
    left_out: pd.DataFrame
    hashes: tuple[tuple[str, str], ...]


def predict_files(
    classifier: Classifier, known: KnownImages, files: Sequence[LabelledFile]
) -> Predictions:
    """Read, hash and judge files, with a progress bar; a bad one does not stop the others.

    A copy of a training image is left out, and with it all that shares its cluster.
    """
    seen: list[Seen] = []
    out: dict[str, dict[str, str]] = {}
    hashes = tuple((one.path, file_sha256(one.file)) for one in files)
    results = examine_files(classifier, [one.file for one in files])
    for file, (_, sha256), result in zip(files, hashes, results, strict=True):
        if result.error:
            out[file.path] = _left_out(file, UNREADABLE, result.error)
        else:
            seen.append(see(file, result.slices, sha256, known))
    table = _clustered(seen)
    out |= _copies(seen, dict(zip(table["path"], table["cluster"], strict=True)))
    kept = table[~table["path"].isin(set(out))].reset_index(drop=True)
    features = {one.file.path: one.features for one in seen}
    rows = [out[file.path] for file in files if file.path in out]
    return Predictions(
        table=kept,
        features=pd.DataFrame([features[path] for path in kept["path"]]),
        left_out=pd.DataFrame(rows, columns=list(LEFT_OUT)),
        hashes=hashes,
    )


def _clustered(seen: Iterable[Seen]) -> pd.DataFrame:
    """All slices that were read, with their clusters."""
    rows: list[dict[str, Any]] = [row for one in seen for row in one.rows]
    pictures = [picture for one in seen for picture in one.pictures]
    clusters = slice_clusters(
        [f"{row['path']} {row['slice']}".strip() for row in rows],
        [row["sha256"] for row in rows],
        [row["patient"] for row in rows],
        pictures,
    )
    return pd.DataFrame(rows, columns=list(COLUMNS)).assign(cluster=clusters)


def _copies(seen: Iterable[Seen], cluster: dict[str, str]) -> dict[str, dict[str, str]]:
    """Rows of `LEFT_OUT` by path."""
    matches = {one.file.path: one.match for one in seen if one.match}
    first = {cluster[path]: path for path in reversed(matches)}
    rows = {}
    for one in seen:
        path, source = one.file.path, first.get(cluster[one.file.path])
        if one.match:
            rows[path] = _left_out(one.file, COPY, one.match.reason, one.match)
        elif source is not None:
            detail = f"copy or patient of {source}"
            rows[path] = _left_out(one.file, RELATED, detail, matches[source])
    return rows


def _left_out(
    file: LabelledFile, why: str, detail: str, match: Match | None = None
) -> dict[str, str]:
    image = ("", "") if match is None else (match.image.path, match.image.split)
    return dict(zip(LEFT_OUT, (file.path, file.label, why, detail, *image), strict=True))


NAMES: Final = {POSITIVE: "sensitivity", NEGATIVE: "specificity"}
QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SIZES_PX: Final = (0, 128, 256, 512, 1024)  # edges of the shorter side
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
        return {
            name: None if value is None else value.as_dict()
            for name, value in (
                (self.name, self.right),
                (f"{self.name}_per_cluster", self.right_clusters),
                (f"{self.name}_not_flagged", self.right_familiar),
                (f"{self.name}_metadata_baseline", self.baseline),
                ("out_of_distribution", self.unlike),
            )
        } | {
            "probability_quantiles": dict(zip(map(str, QUANTILES), self.quantiles, strict=False)),
            "probability_histogram": list(self.histogram),
        }


@dataclass(frozen=True)
class Subgroup:
    """Slices of one class and one kind.

    Attributes:
        by: what divides them: format or size.
        kind: such as PNG, or 256 to 511 px.
        label: no or yes.
        right: share called what they are.
    """

    by: str
    kind: str
    label: str
    right: Rate


def class_figures(
    table: pd.DataFrame, label: str, baseline: NDArray[np.float64] | None
) -> ClassFigures:
    """Figures of one class.

    Args:
        table: see `predictions.Predictions`, with rows of any class.
        label: no or yes.
        baseline: probability of each row of `table` by metadata alone.
    """
    mine = (table["label"] == label).to_numpy()
    rows = table[mine]
    cluster, right = rows["cluster"].to_numpy(), rows["right"].to_numpy(dtype=bool)
    unlike = rows["out_of_distribution"].to_numpy(dtype=bool)
    probability = rows["probability"].to_numpy(dtype=float)
    told = None if baseline is None else (baseline[mine] >= 0.5) == (label == POSITIVE)
    return ClassFigures(
        label=label,
        right=rate(right, cluster),
        right_clusters=cluster_rate(right, cluster),
        right_familiar=rate(right[~unlike], cluster[~unlike]),
        baseline=None if told is None else rate(told, cluster),
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
    sizes = pd.Series(pd.cut(side, edges, right=False, labels=names), index=table.index)
    formats = [(kind, table["format"] == kind) for kind in sorted(set(table["format"]))]
    parts = [("format", kind, chosen) for kind, chosen in formats]
    parts += [("shorter side", kind, sizes == kind) for kind in names]
    return [
        Subgroup(by, kind, label, found)
        for by, kind, chosen in parts
        for label in reversed(LABELS)
        if (found := _right(table[chosen & (table["label"] == label)])) is not None
    ]


def confident_errors(table: pd.DataFrame, label: str, count: int) -> pd.DataFrame:
    """The rows of a class that are wrong, the furthest from the threshold first."""
    wrong = table[(table["label"] == label) & ~table["right"].astype(bool)]
    return wrong.sort_values("probability", ascending=label == POSITIVE, kind="stable").head(count)


def contradictions(table: pd.DataFrame) -> list[str]:
    """Paths of which the other class folder holds a copy, or a slice of the same patient."""
    labels = table.groupby("cluster")["label"].transform("nunique")
    return sorted(set(table.loc[labels > 1, "path"]))


def _right(rows: pd.DataFrame) -> Rate | None:
    return rate(rows["right"].to_numpy(dtype=bool), rows["cluster"].to_numpy())


@dataclass(frozen=True)
class Evaluation:
    """Figures of each class, and what they are of.

    Attributes:
        date: when, UTC, to the second.
        model: name and version.
        model_digest: of what decides its answers.
        engine: what ran the network.
        threshold: the model's own.
        folder: its name, without where it lies.
        folder_digest: SHA-256 of paths and contents of the files in it.
        predictions: of every slice that counts, and what was left out.
        table: that of `predictions` with a column `baseline_probability`, missing where unknown.
        classes: the figures: tumours first.
        subgroups: by format and size.
        notes: what a reader must know before the figures.
    """

    date: str
    model: str
    model_digest: str
    engine: str
    threshold: float
    folder: str
    folder_digest: str
    predictions: Predictions
    table: pd.DataFrame
    classes: tuple[ClassFigures, ...]
    subgroups: tuple[Subgroup, ...]
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
                {"by": one.by, "kind": one.kind, "label": one.label} | one.right.as_dict()
                for one in self.subgroups
            ],
        }


def evaluate_folder(model: ModelFolder, folder: Path, engine: EngineName = "fast") -> Evaluation:
    """Judge the labelled images of a folder and compare with their labels.

    Args:
        model: of the store, or pulled.
        folder: with `no/` and `yes/`, and perhaps `patients.csv`.
        engine: what runs the network.

    Raises:
        UserError: the folder or the model is not as it should be; says what to do.
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


_HEAD = ("date", "model", "model_digest", "engine", "threshold", "folder", "folder_digest")
_COUNTS = ("files", "copies_of_training_images", "related_to_copies", "unreadable", "slices",
           "clusters")  # fmt: skip
_FIGURES = ("sensitivity", "specificity")
_KINDS = ("", "_per_cluster", "_metadata_baseline")
_ENDS = ("", "_low", "_high")
LOG_COLUMNS: Final = (
    *_HEAD,
    *(f"{label}_{count}" for label in LABELS for count in _COUNTS),
    *(f"{figure}{kind}{end}" for figure in _FIGURES for kind in _KINDS for end in _ENDS),
)


def check_log(path: Path) -> None:
    """Raise ValueError, before any work, if a line cannot be added to this file."""
    if not path.parent.is_dir():
        raise UserError(f"{path}: no folder {path.parent}; make it first")
    if path.is_dir():
        raise UserError(f"{path}: is a folder; give a file with --log")
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        head = next(csv.reader(file), [])
    if head != list(LOG_COLUMNS):
        raise UserError(
            f"{path}: is no log of external evaluations (its first line is {','.join(head)[:60]!r})"
            "; give a new file with --log"
        )


def append_line(path: Path, evaluation: Evaluation) -> None:
    """Add a line at the end, in one write; the header first where the file is new.

    Raises:
        UserError: the file is something else.
    """
    check_log(path)
    text = io.StringIO()
    writer = csv.DictWriter(text, LOG_COLUMNS, lineterminator="\n")
    if not path.is_file() or not path.stat().st_size:
        writer.writeheader()
    elif not path.read_bytes().endswith(b"\n"):
        text.write("\n")
    writer.writerow(_line(evaluation))
    with path.open("ab") as file:
        file.write(text.getvalue().encode())
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
            found = rates[f"{figures.name}{kind}"] or {}
            ends = zip(_ENDS, ("value", "low", "high"), strict=True)
            line |= {
                f"{figures.name}{kind}{end}": f"{found[key]:.4f}" for end, key in ends if found
            }
    return line
