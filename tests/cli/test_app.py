"""`brain-tumor summary`: the last run in a screen, from the outputs alone."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.report.card import CARD_FILE, write_card
from brain_tumor.report.prose import make_card
from tests.report import stage_files
from tests.small_project import ROOT

DEAR = ("tensorflow", "keras", "mlflow", "optuna", "dvc")
NAME = "brain-tumor-inceptionv3"
REASON = "better on validation [0.21 against 0.30]"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The outputs of a run whose model became the champion."""
    inputs = stage_files.inputs(tmp_path)
    write_card(tmp_path / "outputs" / "report" / CARD_FILE, make_card(inputs, stage_files.NAME))
    rows = inputs.predictions[["path", "label", "split"]].assign(group="")
    rows.to_csv(tmp_path / "outputs" / "split.csv", index=False)
    register(tmp_path, alias="champion", version="3")
    return tmp_path


def register(project: Path, **facts: str) -> None:
    """What stage register leaves."""
    registered: dict[str, Any] = {"name": NAME, "decision": {"reason": REASON}, "run_id": "r"}
    registered |= {"digest": "d"} | facts
    path = project / "outputs" / "registered.json"
    path.write_text(json.dumps(registered), encoding="utf-8")


def run(project: Path) -> "subprocess.CompletedProcess[str]":
    """The command where whatever takes long to import cannot be imported."""
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in DEAR)
    code = f"import sys; {blocked}; from brain_tumor.cli.app import app; app(['summary'])"
    return subprocess.run(
        [sys.executable, "-c", code], cwd=project, capture_output=True, text=True, check=False
    )


def test_it_says_which_model_how_good_and_why_it_is_the_champion(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[1:3] == [f"{NAME} version 3", "InceptionV3 (imagenet) to mixed6, head only"]
    figures = json.loads((project / "outputs" / "evaluate" / "figures.json").read_text("utf-8"))
    for key, name in (("auroc", "AUROC"), ("log_loss", "Log loss")):
        (row,) = (line for line in lines if f"│ {name} " in line)
        figure = figures["test"][key]
        assert f"{figure['value']:.2f} ({figure['low']:.2f} to {figure['high']:.2f})" in row
    assert f"@champion: {REASON}" in lines
    assert "Report: outputs/report/report.html" in lines
    *_, first, second = lines
    assert first.strip().startswith("make ui")
    assert second.strip().startswith("brain-tumor predict data/yes/")
    assert max(map(len, lines)) <= 120


def test_a_challenger_is_asked_by_its_number(project: Path) -> None:
    register(project, alias="challenger", version="4")
    assert f"brain-tumor predict --model models:/{NAME}/4 data/yes/" in run(project).stdout


def test_program_of_the_folder_is_called_by_its_path(project: Path) -> None:
    program = project / ".venv" / "bin" / "brain-tumor"
    program.parent.mkdir(parents=True)
    program.write_text("from brain_tumor.cli.app import app; app()\n", encoding="utf-8")
    command = [sys.executable, str(program), "summary"]
    done = subprocess.run(command, cwd=project, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].startswith("  .venv/bin/brain-tumor predict data/yes/")


def test_fine_tuning_and_its_learning_rate_are_named(project: Path) -> None:
    best = project / "outputs" / "tuning" / "best.json"
    facts = json.loads(best.read_text("utf-8"))
    facts["params"] |= {"fine_tune_blocks": 2}
    best.write_text(json.dumps(facts), encoding="utf-8")
    params = project / "params.yaml"
    text = params.read_text("utf-8").replace("fine_tune_blocks: 0", "fine_tune_blocks: tuned")
    params.write_text(text, encoding="utf-8")
    assert "to mixed6, 2 blocks fine-tuned at learning rate 0.001" in run(project).stdout


def test_before_any_run_it_says_what_to_run(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    done = run(tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("error: outputs/registered.json: missing; run")
    assert "Traceback" not in done.stderr
