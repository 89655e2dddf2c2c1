"""A tiny project with all that stage tune reads, and the real commands run in it."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.imaging.augment import copy_names, variants
from brain_tumor.outputs import MANIFEST_COLUMNS, save_image, stored
from brain_tumor.settings import TuneParams
from tests import sections
from tests.stage_here import run_here

ROOT = Path(__file__).parents[2]
FOREIGN = ("MLFLOW", "OPTUNA", "BRAIN_TUMOR", "DVC_")
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
        python, *words = _command(stage).split()
        assert python == "python"
        return [sys.executable, *words]

    def run_here(self, stage: str) -> str:
        """Run a stage to its end in this process; what it printed."""
        done = run_here(_command(stage), self.folder)
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
        yaml, path = YAML(), self.folder / "params.yaml"
        document = yaml.load(path.read_text(encoding="utf-8"))
        document[section].update(values)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)

    def output(self, name: str) -> bytes:
        """Content of a file below outputs/tuning."""
        return (self.folder / "outputs" / "tuning" / name).read_bytes()

    def best(self) -> dict[str, Any]:
        """Content of best.json."""
        found: dict[str, Any] = json.loads(self.output("best.json"))
        return found

    def trials(self) -> pd.DataFrame:
        """trials.csv."""
        return pd.read_csv(self.folder / "outputs" / "tuning" / "trials.csv")

    def copy(self, folder: Path) -> "Project":
        """The same inputs and parameters in another folder, without store, cache and results."""
        left = shutil.ignore_patterns("mlruns", ".cache", "tuning", "train")
        shutil.copytree(self.folder, folder, ignore=left)
        return Project(folder)


def _command(stage: str) -> str:
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
    for path, image in zip(rows["path"], rows["x"], strict=True):
        save_image(stored(outputs / "preprocess" / "images", path), image)
    write_copies(outputs, rows[rows["split"] == "train"])
    write_backbone(outputs / "backbone", weights)


def write_copies(outputs: Path, train: pd.DataFrame) -> None:
    """As stage augment does."""
    params, folder = sections.augment(copies=1), outputs / "augment"
    records = []
    for path, label, image in zip(train["path"], train["label"], train["x"], strict=True):
        (name,), (copy,) = copy_names(path, params), variants(image, path, params)
        save_image(stored(folder / "images", name), copy)
        records.append({"path": name, "source": path, "label": label})
    pd.DataFrame(records).to_csv(folder / "records.csv", index=False)


def write_backbone(folder: Path, weights: Path) -> None:
    """As stage backbone does from random weights."""
    import hashlib

    folder.mkdir()
    shutil.copy(weights, folder / "backbone.weights.h5")
    facts = {
        "requested": "random",
        "source": "random",
        "sha256": hashlib.sha256(weights.read_bytes()).hexdigest(),
        "complete_to_block": 10,
        "note": "",
    }
    (folder / "backbone.json").write_text(json.dumps(facts), encoding="utf-8")


def made(folder: Path, weights: Path) -> Project:
    """A project on these weights that nothing has run in."""
    write_inputs(folder, weights)
    shutil.copy(ROOT / "params.yaml", folder / "params.yaml")
    project = Project(folder)
    for section, values in SMALL.items():
        project.set_params(section, **values)
    return project


@pytest.fixture(scope="session")
def make_project() -> Callable[[Path, Path], Project]:
    """See `made`."""
    return made


_SCRIPT = Path(__file__).with_name("worker.py")
Spawn = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(autouse=True)
def no_storage_of_the_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPTUNA_STORAGE", raising=False)


@pytest.fixture(scope="session")
def worker() -> ModuleType:
    """What the worker processes run, for use in this one."""
    spec = importlib.util.spec_from_file_location("search_worker", _SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def section(worker: ModuleType) -> Callable[..., TuneParams]:
    """Section `tune` with some values other than usual."""

    def with_changes(**changes: Any) -> TuneParams:
        return TuneParams.model_validate_json(
            json.dumps(worker.SECTION.model_dump(mode="json") | changes)
        )

    return with_changes


@pytest.fixture(scope="session")
def fresh_url(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """A new SQLite database at each call."""
    return lambda: f"sqlite:///{tmp_path_factory.mktemp('search')}/optuna.db"


@pytest.fixture
def sqlite_url(fresh_url: Callable[[], str]) -> str:
    return fresh_url()


@pytest.fixture
def spawn() -> Iterator[Spawn]:
    """Start workers; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def start(
        url: str, params: TuneParams, dies_in: int = -1, drawn_before: int = 0
    ) -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "error", str(_SCRIPT), url, params.model_dump_json()]
        started.append(
            subprocess.Popen(
                [*command, str(dies_in), str(drawn_before)],
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield start
    for process in started:
        process.kill()
        process.communicate()
