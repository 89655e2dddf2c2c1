"""A tiny project with all that stage tune reads, and the real commands run in it."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from ruamel.yaml import YAML

from brain_tumor.imaging.augment import copy_names, variants
from brain_tumor.outputs import MANIFEST_COLUMNS, InitialWeights
from brain_tumor.shards import write_images
from tests import sections
from tests.small_project import FOREIGN, ROOT
from tests.stage_here import run_here

SIDE_PX = 75
SMALL: dict[str, dict[str, Any]] = {
    "augment": {"copies": 1},
    "tune": {
        "n_trials": 3,
        "startup_trials": 2,
        "folds": 1,
        "space": {
            "learning_rate": {"low": 1e-4, "high": 1e-1, "log": True},
            "head_block": {"low": 2, "high": 3},
            "fine_tune_blocks": {"low": 0, "high": 1},
            "dropout": {"low": 0.0, "high": 0.6, "log": False},
            "weight_decay": {"low": 1e-4, "high": 1e-1, "log": True},
            "head_penalty": {"low": 1e-2, "high": 1.0, "log": True},
        },
    },
    "train": {
        "fine_tune_blocks": "tuned",
        "learning_rate": "tuned",
        "dropout": "tuned",
        "weight_decay": "tuned",
        "batch_size": 8,
        "head_epochs": 4,
        "fine_tune_epochs": 1,
    },
}


@dataclass(frozen=True)
class Project:
    """A folder with the outputs of the stages before `tune`, a store and small parameters."""

    folder: Path

    @property
    def env(self) -> dict[str, str]:
        """The environment of its commands: nothing of the user's, the project's own store."""
        kept = {key: text for key, text in os.environ.items() if not key.startswith(FOREIGN)}
        return kept | {"DVC_ROOT": str(self.folder)}

    def command(self, stage: str) -> list[str]:
        """The command line of a stage."""
        python, *words = command_of(stage).split()
        assert python == "python"
        return [sys.executable, *words]

    def run_here(self, stage: str) -> str:
        """Run a stage to its end in this process; what it printed."""
        done = run_here(command_of(stage), self.folder)
        assert done.returncode == 0, done.stderr
        return done.stdout + done.stderr

    def worker(self) -> list[str]:
        """The command line of one more worker."""
        return [str(Path(sys.executable).with_name("brain-tumor")), "tune-worker"]

    def start(self, command: list[str]) -> "subprocess.Popen[str]":
        """Start a command in the project, as leader of a process group."""
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    def run(self, command: list[str], *, code: int = 0) -> str:
        """Run a command to its end; what it printed."""
        process = self.start(command)
        output, _ = process.communicate(timeout=400)
        assert process.returncode == code, output
        return output

    def set_params(self, section: str, **values: Any) -> None:
        """Change values of params.yaml."""
        sections.change_params(self.folder / "params.yaml", {section: values})

    def output(self, name: str) -> bytes:
        """Content of a file below outputs/tuning."""
        return (self.folder / "outputs" / "tuning" / name).read_bytes()

    def best(self) -> dict[str, Any]:
        """Content of best.json."""
        content: dict[str, Any] = json.loads(self.output("best.json"))
        return content

    def trials(self) -> pd.DataFrame:
        """trials.csv."""
        return pd.read_csv(self.folder / "outputs" / "tuning" / "trials.csv")

    def copy(self, folder: Path) -> "Project":
        """The same inputs and parameters in another folder, without store, cache and results."""
        results = shutil.ignore_patterns("mlruns", ".cache", "tuning", "train")
        shutil.copytree(self.folder, folder, ignore=results)
        return Project(folder)


def command_of(stage: str) -> str:
    """As dvc.yaml has it."""
    pipeline = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    return str(pipeline["stages"][stage]["cmd"])


def pictures() -> pd.DataFrame:
    """The rows of the manifest, with split and pixels: noise, with a bright square where `yes`."""
    rng = np.random.default_rng(3)
    rows = []
    for number in range(24):
        label = ("no", "yes")[number % 2]
        image = rng.integers(0, 120, (SIDE_PX, SIDE_PX)).astype(np.uint8)
        if label == "yes":
            row, column = rng.integers(5, 45, 2)
            image[row : row + 25, column : column + 25] = 150
        split = ("train", "train", "val", "test")[number // 2 % 4]
        rows.append({"path": f"{label}/{number}.png", "label": label, "split": split, "x": image})
    return pd.DataFrame(rows)


def write_inputs(folder: Path, weights: Path) -> None:
    """Write what the stages validate to backbone would have written."""
    rows, outputs = pictures(), folder / "outputs"
    manifest = rows.assign(
        format="PNG",
        mode="L",
        width=SIDE_PX,
        height=SIDE_PX,
        bytes=1,
        sha256="0",
        dhash="0",
        patient="",
        group=rows["path"],
    )
    outputs.mkdir(parents=True)
    manifest[list(MANIFEST_COLUMNS)].to_csv(outputs / "manifest.csv", index=False)
    rows[["path", "label", "split"]].to_csv(outputs / "split.csv", index=False)
    write_images(outputs / "preprocess" / "images", zip(rows["path"], rows["x"], strict=True))
    write_copies(outputs, rows[rows["split"] == "train"])
    write_backbone(outputs / "backbone", weights)


def write_copies(outputs: Path, train: pd.DataFrame) -> None:
    """As stage augment does."""
    params, folder = sections.augment(copies=1), outputs / "augment"
    records, images = [], []
    for path, label, image in zip(train["path"], train["label"], train["x"], strict=True):
        (name,), (copy,) = copy_names(path, params), variants(image, path, params)
        images.append((name, copy))
        records.append({"path": name, "source": path, "label": label})
    write_images(folder / "images", images)
    pd.DataFrame(records).to_csv(folder / "records.csv", index=False)


def write_backbone(folder: Path, weights: Path) -> None:
    """As stage backbone does from random weights."""
    folder.mkdir()
    shutil.copy(weights, folder / "backbone.weights.h5")
    digest = hashlib.sha256(weights.read_bytes()).hexdigest()
    initial = InitialWeights(
        requested="random", source="random", sha256=digest, complete_to_block=10, note=""
    )
    initial.write(folder / "backbone.json")


def make_project(folder: Path, weights: Path | None = None) -> Project:
    """A project on these weights that nothing has run in.

    Without weights they are only named, which is enough where nothing trains.
    """
    if weights is None:
        weights = folder.with_name("some.weights.h5")
        weights.write_bytes(b"weights")
    write_inputs(folder, weights)
    sections.write_params(folder, sections.PARAMS, **SMALL)
    return Project(folder)
