"""What a model says of labelled files, a row per slice, and which files are left out."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pandas as pd

from brain_tumor.external.clusters import slice_clusters
from brain_tumor.external.folder import LabelledFile
from brain_tumor.external.known import KnownImages, Match
from brain_tumor.external.seen import Seen, file_sha256, see
from brain_tumor.inference.classifier import Classifier
from brain_tumor.inference.files import examine_files

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
            seen.append(see(file, result.findings, sha256, known))
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
