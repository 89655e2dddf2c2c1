"""Every image of a data folder decoded, fingerprinted and laid out as a manifest."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from brain_tumor.dataset.validation.duplicates import THUMBNAIL_PX, duplicate_groups
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.image_facts import (
    EXTENSIONS,
    BadImageError,
    ImageFacts,
    read_facts,
)
from brain_tumor.dataset.validation.layout import PATIENTS_FILE, Found
from brain_tumor.dataset.validation.patients import read_patients
from brain_tumor.outputs import MANIFEST_COLUMNS
from brain_tumor.progress import track
from brain_tumor.settings import ValidateParams


class Described(NamedTuple):
    """The manifest of all images that decode, and what was found on the way."""

    manifest: pd.DataFrame
    errors: list[Finding]
    warnings: list[Finding]


def describe(data: Path, found: Found, params: ValidateParams) -> Described:
    """Decode every image in `found.images` and lay out the manifest, sorted by path."""
    described = Described(pd.DataFrame(), [], [])
    rows: list[tuple[str, str, ImageFacts]] = []
    for path, label in track(sorted(found.images), "decode", total=len(found.images)):
        try:
            facts = read_facts(data / path, params)
        except BadImageError as error:
            described.errors.append(Finding(path, str(error)))
            continue
        rows.append((path, label, facts))
        described.warnings.extend(_oddities(path, facts))
    patients, problems = read_patients(
        data / PATIENTS_FILE,
        [path for path, _ in found.images],
        excluded=[item.path for item in found.excluded],
    )
    described.errors.extend(problems)
    return described._replace(manifest=_table(rows, patients, params))


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
    table["patient"] = [patients.get(path, "") for path in paths]
    table["group"] = groups
    return table[list(MANIFEST_COLUMNS)].astype(MANIFEST_COLUMNS)


def _oddities(path: str, facts: ImageFacts) -> list[Finding]:
    odd: list[Finding] = []
    suffix = Path(path).suffix.lower()
    if suffix not in EXTENSIONS.get(facts.format, set()):
        odd.append(Finding(path, f"content is {facts.format}, file name says '{suffix}'"))
    if facts.orientation != 1:
        odd.append(Finding(path, f"EXIF orientation {facts.orientation}: turned when decoded"))
    if facts.blank:
        odd.append(Finding(path, "blank: every pixel has the same value"))
    return odd
