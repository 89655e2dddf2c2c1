"""One labelled file as the model, the hashes and the file system see it."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from brain_tumor.dataset.metadata import metadata_features
from brain_tumor.external.fingerprint import Fingerprint, fingerprints
from brain_tumor.external.folder import LabelledFile
from brain_tumor.external.known import KnownImages, Match
from brain_tumor.imaging.slices.dicom import is_dicom
from brain_tumor.imaging.slices.nifti import is_nifti
from brain_tumor.inference.finding import Finding


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


def see(file: LabelledFile, findings: tuple[Finding, ...], sha256: str, known: KnownImages) -> Seen:
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


def _of_slice(finding: Finding, label: str) -> dict[str, Any]:
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
