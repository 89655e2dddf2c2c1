"""The check of a data folder: its manifest, and what is wrong with it in words."""

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_tumor.data.copies import THUMBNAIL_PX, duplicate_groups
from brain_tumor.data.expectations import CRITICAL, ExpectationResult
from brain_tumor.data.folder import (
    PATIENTS_FILE,
    BadImageError,
    Contents,
    ImageFacts,
    Remark,
    find_images,
    read_all_facts,
)
from brain_tumor.data.patients import read_patients, rows_in_table
from brain_tumor.data.split import SplitError, required_images, split
from brain_tumor.data.suite import facts_table
from brain_tumor.imaging.grey import KINDS, FileFacts
from brain_tumor.outputs import MANIFEST_COLUMNS, VALIDATION
from brain_tumor.settings import LABELS, SplitParams, ValidateParams


def across_classes(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image whose duplicate group holds images of both classes."""
    remarks = []
    for group in _groups(manifest):
        if len({image.label for image in group}) > 1:
            twins = {label: _Twins() for label in LABELS}
            for image in group:
                twins[image.label].add(image)
            for image in group:
                other = next(label for label in LABELS if label != image.label)
                likeness = twins[other].likeness(image)
                reason = f"{likeness}, which is of the other class: one is wrong"
                remarks.append(Remark(image.path, reason))
    return remarks


def within_class(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image that repeats an earlier one, by path, of its class."""
    remarks = []
    for group in _groups(manifest):
        twins = {label: _Twins() for label in LABELS}
        for image in group:
            if twins[image.label].first:
                remarks.append(Remark(image.path, twins[image.label].likeness(image)))
            twins[image.label].add(image)
    return remarks


class _Image(NamedTuple):
    path: str
    label: str
    sha256: str


def _groups(manifest: pd.DataFrame) -> Iterator[list[_Image]]:
    """The images of each duplicate group of several, in the order of the manifest."""
    several = manifest[manifest["group"].duplicated(keep=False)].sort_values("group", kind="stable")
    rows = zip(*(several[column] for column in ("group", *_Image._fields)), strict=True)
    for _, group in groupby(rows, key=itemgetter(0)):
        yield [_Image(*image) for _, *image in group]


class _Twins:
    """Images of a group, among which the one that is most like another image is looked for."""

    def __init__(self) -> None:
        self.first = ""
        self._of_bytes: dict[str, str] = {}

    def add(self, image: _Image) -> None:
        self.first = self.first or image.path
        self._of_bytes.setdefault(image.sha256, image.path)

    def likeness(self, image: _Image) -> str:
        """The first image with the same bytes, else the first, and how it is like this one."""
        if twin := self._of_bytes.get(image.sha256):
            return f"same bytes as {twin}"
        return f"near-duplicate of {self.first}"


def describe(data: Path, contents: Contents, params: ValidateParams) -> pd.DataFrame:
    """Decode every image in `contents.images` and lay out the manifest, sorted by path.

    What is wrong or odd is added to `contents.errors` and `contents.warnings`.
    """
    return _described(data, contents, params)[0]


def _described(
    data: Path, contents: Contents, params: ValidateParams
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The manifest of `describe`, and facts of every file, usable or not."""
    rows: list[tuple[str, str, ImageFacts]] = []
    unusable: dict[str, FileFacts | None] = {}
    images = sorted(contents.images)
    all_facts = read_all_facts([data / path for path, _ in images], params)
    for (path, label), facts in zip(images, all_facts, strict=True):
        if isinstance(facts, BadImageError):
            contents.errors.append(Remark(path, str(facts)))
            unusable[path] = facts.header
            continue
        rows.append((path, label, facts))
        contents.warnings.extend(_oddities(path, facts))
    table, paths = data / PATIENTS_FILE, [path for path, _ in contents.images]
    excluded = [item.path for item in contents.excluded]
    patients, problems = read_patients(table, paths, excluded=excluded)
    contents.errors.extend(problems)
    manifest = _table(rows, patients, params)
    return manifest, facts_table(manifest, rows, unusable, rows_in_table(table, paths))


def _table(
    rows: Sequence[tuple[str, str, ImageFacts]], patients: dict[str, str], params: ValidateParams
) -> pd.DataFrame:
    paths = [path for path, _, _ in rows]
    facts = [fact for _, _, fact in rows]
    groups = duplicate_groups(
        paths,
        [fact.sha256 for fact in facts],
        [fact.dhash for fact in facts],
        np.array([fact.thumbnail for fact in facts], dtype=np.uint8).reshape(
            -1, THUMBNAIL_PX, THUMBNAIL_PX
        ),
        params.near_duplicate_max_hamming,
        params.near_duplicate_min_correlation,
    )
    table = pd.DataFrame([fact._asdict() for fact in facts], columns=list(ImageFacts._fields))
    table["dhash"] = [f"{fact.dhash:016x}" for fact in facts]
    table["path"] = paths
    table["label"] = [label for _, label, _ in rows]
    # (where patients.csv says nothing, the file's own tags may)
    table["patient"] = [patients.get(path) or fact.patient for path, _, fact in rows]
    table["group"] = groups
    return table[list(MANIFEST_COLUMNS)].astype(MANIFEST_COLUMNS)


def _oddities(path: str, facts: ImageFacts) -> list[Remark]:
    suffix = Path(path).suffix.lower()
    others = set().union(*(KINDS[kind] for kind in KINDS if kind != facts.format))
    foreign = suffix in others if facts.format == "DICOM" else True  # whose names may be numbers
    checks = (
        (
            suffix not in KINDS[facts.format] and foreign,
            f"content is {facts.format}, file name says '{suffix}'",
        ),
        (facts.orientation != 1, f"EXIF orientation {facts.orientation}: turned when decoded"),
        *((True, note) for note in facts.notes),
    )
    return [Remark(path, reason) for odd, reason in checks if odd]


def across_patients(manifest: pd.DataFrame) -> list[Remark]:
    """Report every patient who has images of both classes, at the first image of the rarer one."""
    images: dict[str, dict[str, list[str]]] = {}
    for path, label, patient in zip(
        *(manifest[column] for column in ("path", "label", "patient")), strict=True
    ):
        images.setdefault(patient, {}).setdefault(label, []).append(path)
    remarks = []
    for patient in sorted(patient for patient in images if patient and len(images[patient]) > 1):
        of_label = images[patient]
        rarer = min(reversed(of_label), key=lambda label: len(of_label[label]))
        told = " and ".join(f"{len(paths)} {label}" for label, paths in sorted(of_label.items()))
        reason = f"its patient has images of both classes ({told})"
        remarks.append(Remark(of_label[rarer][0], reason))
    return remarks


class Validation(NamedTuple):
    """The manifest of the images that decode; errors stop the pipeline, warnings do not."""

    manifest: pd.DataFrame
    errors: list[Remark]
    warnings: list[Remark]
    excluded: list[Remark]
    facts: pd.DataFrame


def validate(data: Path, params: ValidateParams, split_params: SplitParams) -> Validation:
    """Scan, decode and compare all images of a data folder; there must be enough for the split."""
    contents = find_images(data, params)
    manifest, facts = _described(data, contents, params)
    errors = [*contents.errors, *across_classes(manifest)]
    if contents.images:
        errors.extend(_shortages(manifest, params, split_params))
    warnings = [*contents.warnings, *within_class(manifest), *across_patients(manifest)]
    return Validation(manifest, sorted(errors), sorted(warnings), contents.excluded, facts)


def _shortages(
    manifest: pd.DataFrame, params: ValidateParams, split_params: SplitParams
) -> list[Remark]:
    counts = manifest["label"].value_counts()
    required = required_images(split_params)
    folder_of = {label: folder for folder, label in params.folders.items()}
    short = [
        Remark(
            f"{folder_of[label]}/",
            f"{counts.get(label, 0)} usable images, the split needs at least {required[label]}",
        )
        for label in LABELS
        if counts.get(label, 0) < required[label]
    ]
    if short:
        return short
    try:
        split(manifest, split_params)
    except SplitError as error:
        return [Remark(".", str(error))]
    return []


def to_report(
    validation: Validation, expectations: Sequence[ExpectationResult]
) -> dict[str, object]:
    """Everything found; numbers first.

    Returns:
        `ok`; numbers of usable `images`, of each class, of `distinct` images (duplicate groups and
        single ones), known `patients`; `duplicates` (groups and files, near and byte-identical);
        lists `errors`, `warnings`, `excluded` of path and reason; `expectations`. It holds no
        time and no absolute path: the same for the same data.
    """
    manifest = validation.manifest
    return {
        "ok": not complaints(validation, expectations),
        "images": len(manifest),
        **_class_counts(manifest),
        "distinct": manifest["group"].nunique(),
        "patients": manifest.loc[manifest["patient"] != "", "patient"].nunique(),
        "duplicates": {
            **dict(zip(("groups", "files"), _repeated(manifest["group"]), strict=True)),
            **dict(
                zip(
                    ("identical_groups", "identical_files"),
                    _repeated(manifest["sha256"]),
                    strict=True,
                )
            ),
        },
        **{
            kind: [remark._asdict() for remark in getattr(validation, kind)]
            for kind in ("errors", "warnings", "excluded")
        },
        "expectations": [outcome._asdict() for outcome in expectations],
    }


def complaints(validation: Validation, expectations: Sequence[ExpectationResult]) -> list[str]:
    """One line for each error and each expectation that has to be met and is not."""
    unmet = [item for item in expectations if not item.success and item.severity == CRITICAL]
    return [
        *(f"{path}: {reason}" for path, reason in validation.errors),
        *(
            f"manifest: not met: {outcome.name} (observed: "
            f"{', '.join(outcome.files) or outcome.observed})"
            for outcome in unmet
        ),
    ]


_SHOWN = 1000  # lines on a page or a terminal


def shown(lines: Sequence[str]) -> list[str]:
    """Lines that are still read; of more the number, and where all of them are."""
    more = len(lines) - _SHOWN
    return [*lines[:_SHOWN], *([f"and {more} more: {VALIDATION} has all"] if more > 0 else [])]


def about(validation: Validation, data: str) -> str:
    """Which data were validated, how many images they hold and how many of those are copies.

    `data` is the folder and where its content comes from.
    """
    manifest = validation.manifest
    groups, files = _repeated(manifest["group"])
    identical_groups, identical_files = _repeated(manifest["sha256"])
    labels = ", ".join(f"{count} {label}" for label, count in _class_counts(manifest).items())
    copies = (
        f"{files} lie in {groups} groups of copies or near-copies, of them {identical_files} in "
        f"{identical_groups} groups of identical bytes."
        if groups
        else "No copies were found."
    )
    return (
        f"{data}: {len(manifest)} images ({labels}), {manifest['group'].nunique()} of them "
        f"distinct. {copies}"
    )


def _class_counts(manifest: pd.DataFrame) -> dict[str, int]:
    return {label: int((manifest["label"] == label).sum()) for label in LABELS}


def _repeated(column: pd.Series) -> tuple[int, int]:
    """How many values occur more than once, and in how many rows."""
    sizes = column.value_counts()
    return int((sizes > 1).sum()), int(sizes[sizes > 1].sum())
