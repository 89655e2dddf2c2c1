"""Stage tune where every parameter of train has a value: no study, but predictions out of fold."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from brain_tumor.outputs import Best
from tests.tuning.project import command_of, make_project

EXPLICIT = {
    "learning_rate": 1e-3,
    "head_block": 6,
    "fine_tune_blocks": 2,
    "dropout": 0.2,
    "weight_decay": 1e-2,
    "head_penalty": 0.1,
}
OF_A_STUDY = ("optuna", "mlflow")


@pytest.fixture
def explicit(tmp_path: Path, random_weights: Path) -> Path:
    """A project that leaves nothing to a study."""
    project = make_project(tmp_path / "project", random_weights)
    project.set_params("train", **EXPLICIT)
    project.set_params("tune", folds=2)
    return project.folder


def run(folder: Path) -> "subprocess.CompletedProcess[str]":
    """The command of dvc.yaml where what only a study needs cannot be imported."""
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in OF_A_STUDY)
    _, _, module, *arguments = command_of("tune").split()
    code = f"import runpy, sys; {blocked}; runpy.run_module({module!r}, run_name='__main__')"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=os.environ | {"DVC_ROOT": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
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
    held_out = pd.read_csv(outputs / "out_of_fold.csv")
    split = pd.read_csv(explicit / "outputs" / "split.csv").set_index("path")
    assert list(held_out.columns) == ["path", "y", "fold", "probability"]
    assert set(held_out["path"]) == set(split.index[split["split"] != "test"])
    assert held_out["path"].is_unique
    assert set(held_out["fold"]) == {0, 1}
    assert (held_out["y"] == (split.loc[held_out["path"], "label"] == "yes").to_numpy()).all()
    assert not (explicit / "mlruns").exists()


def test_parameters_are_read_with_care_even_then(explicit: Path) -> None:
    path = explicit / "params.yaml"
    path.write_text(path.read_text(encoding="utf-8").replace("n_trials: ", "trials: "), "utf-8")
    result = run(explicit)
    assert result.returncode == 1
    assert "tune.trials: unknown key, did you mean 'n_trials'?" in result.stderr
    assert "Traceback" not in result.stderr


def test_unreadable_best_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"best\.json: missing; run `dvc repro tune`"):
        Best.read(tmp_path / "best.json")
    (tmp_path / "best.json").write_text(json.dumps({"study": 3}), encoding="utf-8")
    with pytest.raises(ValueError, match=r"best\.json: not readable; run `dvc repro tune`: "):
        Best.read(tmp_path / "best.json")
