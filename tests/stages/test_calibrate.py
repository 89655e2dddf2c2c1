"""Stage calibrate: from predictions and a description to an operating point, and nothing dear."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.model.calibration import calibrate
from brain_tumor.model.saved import ModelMeta, NetworkMeta, read_meta
from tests import sections

ROOT = Path(__file__).parents[2]
DEAR = ("tensorflow", "keras", "optuna", "mlflow", "sklearn")
NETWORK = NetworkMeta(
    head="gap",
    head_block=6,
    fine_tuned_blocks=2,
    size_px=299,
    initial_weights="imagenet",
    initial_weights_sha256="1" * 64,
    parameters=7_000_000,
    seed=3,
)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """What the stages tune and train leave for it: predictions that are too sure."""
    rng = np.random.default_rng(1)
    right = rng.uniform(0.02, 0.98, 400)
    y = (rng.random(400) < right).astype(int)
    table = pd.DataFrame({"path": [f"{n}.png" for n in range(400)], "y": y, "fold": 0})
    table["fold"] = np.arange(400) % 5
    table["probability"] = calibrate(right, 0.5)
    for folder in ("tuning", "train"):
        (tmp_path / "outputs" / folder).mkdir(parents=True)
    table.to_csv(tmp_path / "outputs" / "tuning" / "out_of_fold.csv", index=False)
    network = tmp_path / "outputs" / "train" / "network.json"
    network.write_text(NETWORK.model_dump_json(), encoding="utf-8")
    sections.write_params(tmp_path, calibrate={"sensitivity": 0.9})
    return tmp_path


def run(project: Path) -> "subprocess.CompletedProcess[str]":
    """The command of dvc.yaml where whatever takes long to import cannot be imported."""
    stage = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in DEAR)
    _, _, module, *arguments = stage["stages"]["calibrate"]["cmd"].split()
    code = f"import runpy, sys; {blocked}; runpy.run_module({module!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=project,
        capture_output=True,
        text=True,
        check=False,
    )


def test_operating_point_is_that_of_the_predictions_and_completes_the_description(
    project: Path,
) -> None:
    done = run(project)
    assert done.returncode == 0, done.stderr
    outputs = project / "outputs"
    point = json.loads((outputs / "calibrate" / "calibration.json").read_text(encoding="utf-8"))
    assert point["temperature"] == pytest.approx(2.0, rel=0.25)
    assert (point["sensitivity"], point["images"], point["folds"]) == (0.9, 400, 5)
    table = pd.read_csv(outputs / "tuning" / "out_of_fold.csv")
    probability = calibrate(table["probability"].to_numpy(), point["temperature"])
    assert np.mean(probability[table["y"] == 1] >= point["threshold"]) == pytest.approx(
        0.9, abs=0.01
    )
    meta = read_meta(outputs / "calibrate" / "model.json")
    assert (meta.threshold, meta.temperature) == (point["threshold"], point["temperature"])
    assert meta.model_dump(include=set(NetworkMeta.model_fields)) == NETWORK.model_dump()


def test_without_a_target_the_threshold_is_one_half(project: Path) -> None:
    sections.write_params(project, calibrate={"sensitivity": None})
    assert run(project).returncode == 0
    assert read_meta(project / "outputs" / "calibrate" / "model.json").threshold == 0.5


def test_description_that_is_missing_is_one_line(project: Path) -> None:
    (project / "outputs" / "train" / "network.json").unlink()
    done = run(project)
    assert done.returncode == 1
    assert done.stderr.startswith("error: outputs/train/network.json: missing")
    assert "Traceback" not in done.stderr


def test_description_of_a_model_registered_before_is_read_as_it_was(tmp_path: Path) -> None:
    before = {
        "head": "gap", "head_block": 6, "fine_tuned_blocks": 0, "size_px": 299,
        "threshold": 0.21, "initial_weights": "imagenet", "initial_weights_sha256": "1" * 64,
        "parameters": 7, "seed": 0,
    }  # fmt: skip
    (tmp_path / "model.json").write_text(json.dumps(before), encoding="utf-8")
    meta = read_meta(tmp_path / "model.json")
    assert meta == ModelMeta.model_validate(before)
    assert meta.temperature is None
