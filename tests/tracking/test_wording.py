"""What people read of a run."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brain_tumor.tracking import wording

PARAMS = Path(__file__).parents[2] / "params.yaml"
TRAIN: dict[str, Any] = {
    "seed": 0,
    "head": "gap",
    "head_block": 6,
    "fine_tune_blocks": 2,
    "head_penalty": 0.0312,
    "dropout": 0.0,
    "learning_rate": 1.2345e-4,
    "fine_tune_rate_fraction": 0.03,
    "weight_decay": 1e-2,
    "batch_size": 32,
    "precision": "auto",
    "head_epochs": 100,
    "fine_tune_epochs": 4,
    "patience": 5,
    "class_weight": "balanced",
}


@pytest.mark.parametrize(
    ("change", "name"),
    [
        ({}, "mixed6, 2 blocks, lr 1.2e-4"),
        ({"fine_tune_blocks": 1}, "mixed6, 1 block, lr 1.2e-4"),
        ({"fine_tune_blocks": 0}, "mixed6, head only, penalty 0.031"),
        ({"fine_tune_blocks": 0, "head_penalty": None}, "mixed6, head only, lr 1.2e-4"),
        (
            {"head": "paper", "head_penalty": None, "head_block": 10, "learning_rate": 1e-5},
            "paper head, mixed10, 2 blocks, lr 1e-5",
        ),
    ],
)
def test_name_says_what_differs(change: dict[str, Any], name: str) -> None:
    assert wording.training_name(TRAIN | change) == name


def test_parameters_that_act_on_nothing_are_left_out() -> None:
    solved = wording.acted_params(PARAMS, TRAIN | {"fine_tune_blocks": 0})
    assert solved["train.head_penalty"] == "0.0312"
    idle = ("learning_rate", "batch_size", "weight_decay", "fine_tune_epochs", "dropout")
    assert not {f"train.{name}" for name in (*idle, "head_epochs", "patience")} & set(solved)
    tuned = wording.acted_params(PARAMS, TRAIN)
    assert tuned["train.learning_rate"] == "0.00012345"
    assert "train.dropout" not in tuned
    by_epochs = wording.acted_params(PARAMS, TRAIN | {"head_penalty": None})
    assert {"train.dropout", "train.head_epochs", "train.patience"} <= set(by_epochs)
    assert "train.head_penalty" not in by_epochs


def test_parameters_are_of_the_sections_that_decided_the_run() -> None:
    sections = {name.partition(".")[0] for name in wording.acted_params(PARAMS, TRAIN)}
    assert sections == set(wording.DECIDING)
    of_phantom = wording.acted_params(PARAMS, TRAIN, ["tune"], phantom=True)
    assert {name.partition(".")[0] for name in of_phantom} == {*sections, "tune", "phantom"}
    assert not [name for name in of_phantom if name.startswith(("tune.space.", "split.counts."))]
    searched = wording.acted_params(PARAMS, TRAIN | {"learning_rate": "tuned"}, ["tune"])
    assert {name.split(".")[2] for name in searched if name.startswith("tune.space.")} == {
        "learning_rate"
    }


METRICS = {
    "train": {"accuracy": {"value": 0.99}},
    "val": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "brier": {"value": 0.1}},
    "test": {"log_loss": {"value": 0.25, "low": 0.1, "high": 0.5}},
}


def test_metrics_are_the_figures_people_compare_without_intervals() -> None:
    assert wording.headline(METRICS) == {"val/accuracy": 0.9, "test/log_loss": 0.25}


def test_intervals_are_in_the_description_and_the_table() -> None:
    note = wording.result_note(METRICS)
    assert "| Accuracy | 0.900 (0.800 to 0.950) | - |" in note
    assert "| Log loss | - | 0.250 (0.100 to 0.500) |" in note
    assert note.startswith("Test: Log loss 0.250 (0.100 to 0.500), with 95 % intervals.")
    assert "Brier" not in note
    rows = wording.figures_csv(METRICS).splitlines()
    assert rows[0] == "split,figure,value,low,high"
    assert {"train,accuracy,0.99,,", "test,log_loss,0.25,0.1,0.5"} <= set(rows)


def test_curves_are_of_what_learns() -> None:
    row = {"epoch": 1.0, "fine_tuning": 0.0, "loss": 0.5, "learning_rate": 0.0}
    assert wording.curves(row) == {"loss": 0.5}
    assert set(wording.curves(row | {"learning_rate": 1e-4})) == {"loss", "learning_rate"}


@pytest.mark.parametrize(
    ("objective", "order"), [("log_loss", ["1", "2", "0"]), ("auroc", ["2", "1", "0"])]
)
def test_trials_of_a_study_are_listed_best_first(objective: str, order: list[str]) -> None:
    trials = pd.DataFrame(
        {
            "number": [0, 1, 2],
            "state": ["pruned", "complete", "complete"],
            "value": [0.1, 0.3, 0.4],
            "learning_rate": [1e-3, None, 2e-3],
        }
    )
    lines = wording.trials_note(trials, int(order[0]), objective).splitlines()
    assert lines[0].startswith(f"Trial {order[0]} is the best of 3")
    assert lines[2] == "| trial | state | value | learning rate |"
    assert [line.split()[1] for line in lines[4:]] == order
