"""Checks a data folder: everything wrong with it at once, by file and reason."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from brain_tumor.dataset.splitting.split import SplitError, required_images, split
from brain_tumor.dataset.validation.copies import across_classes, within_class
from brain_tumor.dataset.validation.describe import describe
from brain_tumor.dataset.validation.finding import Finding
from brain_tumor.dataset.validation.layout import find_images
from brain_tumor.settings import LABELS, SplitParams, ValidateParams


class Validation(NamedTuple):
    """The manifest of the images that decode; errors stop the pipeline, warnings do not."""

    manifest: pd.DataFrame
    errors: list[Finding]
    warnings: list[Finding]
    excluded: list[Finding]


def validate(data: Path, params: ValidateParams, split_params: SplitParams) -> Validation:
    """Scan, decode and compare all images of a data folder; there must be enough for the split."""
    found = find_images(data, params)
    manifest, errors, warnings = describe(data, found, params)
    errors = [*found.errors, *errors, *across_classes(manifest)]
    if found.images:
        errors.extend(_shortages(manifest, params, split_params))
    warnings = [*found.warnings, *warnings, *within_class(manifest)]
    return Validation(manifest, sorted(errors), sorted(warnings), found.excluded)


def _shortages(
    manifest: pd.DataFrame, params: ValidateParams, split_params: SplitParams
) -> list[Finding]:
    counts = manifest["label"].value_counts()
    required = required_images(split_params)
    folder_of = {label: folder for folder, label in params.folders.items()}
    short = [
        Finding(
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
        return [Finding(".", str(error))]
    return []
