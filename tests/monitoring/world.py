"""A small real model and folders of phantoms for `brain-tumor evaluate`, and what it wrote."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pandas as pd
from typer.testing import CliRunner, Result

from brain_tumor.cli.app import app
from brain_tumor.data.training_images import TRAINING_IMAGES
from brain_tumor.registry.versions import Image, write_training_images
from tests.inference.toy import disc, disc_pixels, write_model
from tests.monitoring.pictures import brighter, larger, save_edited, write_phantoms


@dataclass(frozen=True)
class World:
    """A pulled model, what it was trained on, and a folder from elsewhere with known copies."""

    model: Path
    trained: Path
    folder: Path


def make_world(root: Path) -> World:
    """Write all of it under `root`."""
    write_model(root / "model")
    write_phantoms(root / "trained", 1, 6)
    rows = [
        Image(file.relative_to(root / "trained").as_posix(), "0", 0, "train", frozenset({"g"}))
        for label in ("no", "yes")
        for file in sorted((root / "trained" / label).glob("*.png"))
    ]
    write_training_images(root / "model" / TRAINING_IMAGES, rows, root / "trained")
    folder = root / "elsewhere"
    write_phantoms(folder, 2, 8)
    (folder / "patients.csv").unlink()
    own = sorted((folder / "no").glob("*.png"))
    source = sorted((root / "trained" / "no").glob("*.png"))
    save_edited(source[0], folder / "no" / "copied.jpg", brighter)
    save_edited(source[1], folder / "yes" / "mirrored.jpg", larger, mirrored=True)
    shutil.copy(own[0], folder / "no" / "again.png")
    save_edited(own[1], folder / "no" / "turned.png", larger, mirrored=True)
    (folder / "yes" / "broken.png").write_bytes(disc(120)[:100])
    volume = np.repeat(disc_pixels(150).T[:, ::-1, None], 20, axis=2).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(volume, np.eye(4)), folder / "yes" / "scan.nii.gz")
    return World(root / "model", root / "trained", folder)


def evaluate(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["evaluate", *map(str, arguments)])


def table(out: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(out / name, keep_default_na=False)


def metrics(out: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return content
