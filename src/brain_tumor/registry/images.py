"""The images a model was trained on, and those two models can be compared on."""

import csv
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

from brain_tumor.atomic import RESTORE
from brain_tumor.dataset import training_images
from brain_tumor.dataset.training_images import TrainingImage


@dataclass(frozen=True)
class Image:
    """A row of the manifest with its place in the split.

    Attributes:
        path: relative to the data folder.
        sha256: of the file.
        is_yes: 1 for `yes`, 0 for `no`.
        split: train, val or test; empty if the split leaves it out.
        groups: of duplicates and of what the split keeps together.
        dhash: of the picture, hexadecimal (see `dataset.validation.duplicates`).
    """

    path: str
    sha256: str
    is_yes: int
    split: str
    groups: frozenset[str]
    dhash: str = ""


def read_images(manifest: Path, split: Path) -> list[Image]:
    """All images of a manifest, in its order.

    Raises:
        ValueError: a file is missing or has not the columns it should.
    """
    placed = {row["path"]: row for row in _rows(split, ("path", "split", "group"))}
    return [
        _image(row, placed.get(row["path"], {}))
        for row in _rows(manifest, ("path", "label", "sha256", "group"))
    ]


def read_probabilities(predictions: Path) -> dict[str, float]:
    """Path to probability of a predictions table."""
    rows = _rows(predictions, ("path", "probability"))
    return {row["path"]: float(row["probability"]) for row in rows}


def write_training_images(path: Path, images: Iterable[Image], data: Path) -> None:
    """Write the table that travels with a model: what it was trained on, and chosen by (val).

    Args:
        path: of the table.
        images: of the manifest.
        data: the data folder; of images that are not there the finer hash stays empty.
    """
    rows = [
        TrainingImage(
            path=image.path,
            sha256=image.sha256,
            group=" ".join(sorted(image.groups)),
            split=image.split,
            dhash=image.dhash,
            fhash=training_images.hash_file(data / image.path),
        )
        for image in images
        if image.split in ("train", "val")
    ]
    training_images.write(path, rows)


def read_training_hashes(path: Path) -> set[str]:
    """SHA-256 of the images a model was trained on (not of those it was chosen by)."""
    return {row.sha256 for row in training_images.read(path) if row.split == "train"}


def unseen(images: Iterable[Image], trained: Collection[str]) -> list[Image]:
    """Images of val and test that have no relation to any of the `trained` hashes.

    An image is left out with its whole groups: a copy of a training image, or another slice of
    the same patient, is no test of the model.
    """
    images = list(images)
    seen = {group for image in images if image.sha256 in trained for group in image.groups}
    return [
        image
        for image in images
        if image.split in ("val", "test")
        and image.sha256 not in trained
        and seen.isdisjoint(image.groups)
    ]


def _image(row: dict[str, str], place: dict[str, str]) -> Image:
    groups = {f"duplicate:{row['group']}"}
    if row.get("patient"):
        groups.add(f"patient:{row['patient']}")
    if place:
        groups.add(f"split:{place['group']}")
    return Image(
        path=row["path"],
        sha256=row["sha256"],
        is_yes=int(row["label"] == "yes"),
        split=place.get("split", ""),
        groups=frozenset(groups),
        dhash=row.get("dhash", ""),
    )


def _rows(path: Path, columns: Collection[str]) -> list[dict[str, str]]:
    try:
        with path.open(newline="", encoding="utf-8") as file:
            reader = csv.DictReader(file)
            missing = set(columns) - set(reader.fieldnames or ())
            if missing:
                raise ValueError(f"{path}: columns {sorted(missing)} are missing")
            return list(reader)
    except FileNotFoundError as error:
        raise ValueError(f"{path}: missing; {RESTORE}") from error
