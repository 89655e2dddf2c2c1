"""Stage tune where every parameter of train has a value: there is nothing to do."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.model.best import Best

ROOT = Path(__file__).parents[2]
EXPLICIT = {
    "learning_rate": 1e-3,
    "head_block": 6,
    "fine_tune_blocks": 2,
    "dropout": 0.2,
    "weight_decay": 1e-2,
    "head_penalty": 0.1,
}
DEAR = ("tensorflow", "keras", "optuna", "mlflow")


@pytest.fixture
def explicit(tmp_path: Path) -> Path:
    """A folder with parameters and nothing else."""
    yaml = YAML(typ="safe", pure=True)
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["train"].update(EXPLICIT)
    with (tmp_path / "params.yaml").open("w", encoding="utf-8") as file:
        yaml.dump(document, file)
    return tmp_path


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command of dvc.yaml where whatever takes long to import cannot be imported."""
    stage = YAML(typ="safe", pure=True).load((ROOT / "dvc.yaml").read_text(encoding="utf-8"))
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in DEAR)
    _, _, module, *arguments = stage["stages"]["tune"]["cmd"].split()
    code = f"import runpy, sys; {blocked}; runpy.run_module({module!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"DVC_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_no_study_where_all_have_values(explicit: Path) -> None:
    result = run(explicit)
    assert result.returncode == 0, result.stderr
    assert "nothing to tune" in result.stderr
    outputs = explicit / "outputs" / "tuning"
    best = Best.read(outputs / "best.json")
    assert best == Best()
    assert (best.tags(), best.params) == ({}, {})
    assert list(pd.read_csv(outputs / "trials.csv").columns)[:3] == ["number", "state", "value"]
    assert (outputs / "figures").is_dir()
    assert not (explicit / "mlruns").exists()


def test_parameters_are_read_with_care_even_then(explicit: Path) -> None:
    path = explicit / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("n_trials: ", "trials: "), "utf-8")
    result = run(explicit)
    assert result.returncode == 1
    assert "tune.n_trials" in result.stderr
    assert "Traceback" not in result.stderr


def test_unreadable_best_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"best\.json: not readable; run `dvc repro tune`"):
        Best.read(tmp_path / "best.json")
    (tmp_path / "best.json").write_text(json.dumps({"study": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"best\.json: not readable"):
        Best.read(tmp_path / "best.json")
