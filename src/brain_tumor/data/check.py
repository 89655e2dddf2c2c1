"""The check of a data folder: its manifest, and what is wrong with it in words."""

from collections.abc import Sequence
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
from brain_tumor.outputs import MANIFEST_COLUMNS
from brain_tumor.settings import LABELS, SplitParams, ValidateParams


def across_classes(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image whose duplicate group holds images of both classes."""
    return [
        Remark(path, f"{_likeness(group, path, twin)}, which is of the other class: one is wrong")
        for _, group in manifest.groupby("group")
        for path, label in zip(group["path"], group["label"], strict=True)
        if (twin := _closest(group[group["label"] != label], group, path))
    ]


def within_class(manifest: pd.DataFrame) -> list[Remark]:
    """Report every image that repeats an earlier one, by path, of its class."""
    return [
        Remark(path, _likeness(group, path, twin))
        for _, group in manifest.groupby(["group", "label"])
        for path in group["path"].iloc[1:]
        if (twin := _closest(group[group["path"] < path], group, path))
    ]


def _closest(others: pd.DataFrame, group: pd.DataFrame, path: str) -> str:
    """The first of `others` with the same bytes as `path`, else the first; "" if there is none."""
    digest = group.loc[group["path"] == path, "sha256"].iloc[0]
    identical = others.loc[others["sha256"] == digest, "path"]
    return next(iter([*identical, *others["path"]]), "")


def _likeness(group: pd.DataFrame, path: str, twin: str) -> str:
    digests = group.set_index("path")["sha256"]
    return f"{'same bytes as' if digests[path] == digests[twin] else 'near-duplicate of'} {twin}"


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
    known = manifest[manifest["patient"] != ""]
    remarks = []
    for _, images in known.groupby("patient"):
        counts = images["label"].value_counts()
        if len(counts) > 1:
            path = images.loc[images["label"] == counts.index[-1], "path"].iloc[0]
            told = " and ".join(f"{count} {label}" for label, count in sorted(counts.items()))
            remarks.append(Remark(path, f"its patient has images of both classes ({told})"))
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
