"""Runs end with the status they deserve, hold what was logged, and say it in plain words."""

import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from brain_tumor.tracking import connection, runs

_HOLD_A_RUN_OPEN = """
import sys, time
from brain_tumor.tracking import runs
with runs.start_run("held", {}, {}) as run:
    print(run.run_id, flush=True)
    time.sleep(60)
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests here: making one takes longer than what they test."""
    return tmp_path_factory.mktemp("repository")


@pytest.fixture(autouse=True)
def one_store(root: Path, no_store_of_the_user: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DVC_ROOT", str(root))


def status(run_id: str) -> str:
    return str(connection.connect().get_run(run_id).info.status)


def test_run_holds_what_was_logged(tmp_path: Path) -> None:
    (tmp_path / "curve.png").write_bytes(b"picture")
    many = {f"section.number_{i}": str(i) for i in range(150)}
    with runs.start_run("train", many, {"git.commit": "abc"}) as run:
        run.log_epoch(1, {"loss": 0.7, "val_loss": 0.8})
        run.log_epoch(2, {"loss": 0.5, "val_loss": float("nan")})
        run.log_metrics({"test/accuracy": 0.9})
        run.log_figures(tmp_path)
        run.log_dataset("data", "0" * 32 + ".dir", "training")
        assert status(run.run_id) == "RUNNING"

    stored = connection.connect().get_run(run.run_id)
    assert stored.info.status == "FINISHED"
    assert stored.info.run_name == "train"
    assert stored.data.params == many
    assert stored.data.tags["git.commit"] == "abc"
    assert stored.data.metrics["test/accuracy"] == 0.9
    losses = connection.connect().get_metric_history(run.run_id, "loss")
    assert [(point.step, point.value) for point in losses] == [(1, 0.7), (2, 0.5)]
    assert stored.inputs is not None
    assert stored.inputs.dataset_inputs[0].dataset.digest == "0" * 32 + ".dir"
    assert [file.path for file in connection.connect().list_artifacts(run.run_id, "figures")] == [
        "figures/curve.png"
    ]


def test_exception_fails_the_run() -> None:
    with (
        pytest.raises(ValueError, match="broken"),
        runs.start_run("train", {}, {}) as run,
    ):
        raise ValueError("broken")
    assert status(run.run_id) == "FAILED"


def test_interrupt_marks_the_run_killed() -> None:
    with pytest.raises(KeyboardInterrupt), runs.start_run("train", {}, {}) as run:
        raise KeyboardInterrupt
    assert status(run.run_id) == "KILLED"


def test_sigterm_marks_the_run_killed_and_is_handled_as_before_afterwards() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended, runs.start_run("train", {}, {}) as run:
        signal.raise_signal(signal.SIGTERM)
    assert ended.value.code == 128 + signal.SIGTERM
    assert status(run.run_id) == "KILLED"
    assert signal.getsignal(signal.SIGTERM) == before


def test_run_of_a_killed_process_is_closed_and_that_of_a_living_one_is_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _HOLD_A_RUN_OPEN], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        run_id = process.stdout.readline().strip()
        with runs.start_run("meanwhile", {}, {}):
            assert status(run_id) == "RUNNING"
        process.kill()
        process.wait()
        with runs.start_run("afterwards", {}, {}):
            assert status(run_id) == "KILLED"


def test_resumed_run_takes_more_and_keeps_its_status() -> None:
    with runs.start_run("train", {}, {}) as run:
        pass
    resumed = runs.resume_run(run.run_id)
    assert resumed is not None
    resumed.log_metrics({"test/accuracy": 0.5})
    stored = connection.connect().get_run(run.run_id)
    assert stored.data.metrics == {"test/accuracy": 0.5}
    assert stored.info.status == "FINISHED"


def test_unknown_and_deleted_runs_are_not_resumed() -> None:
    with runs.start_run("train", {}, {}) as run:
        pass
    connection.connect().delete_run(run.run_id)
    assert runs.resume_run(run.run_id) is None
    assert runs.resume_run("0" * 32) is None


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
def test_name_says_what_differs(train: dict[str, Any], change: dict[str, Any], name: str) -> None:
    assert runs.training_name(train | change) == name


METRICS = {
    "train": {"accuracy": {"value": 0.99}},
    "val": {"accuracy": {"value": 0.9, "low": 0.8, "high": 0.95}, "brier": {"value": 0.1}},
    "test": {"log_loss": {"value": 0.25, "low": 0.1, "high": 0.5}},
}


def test_metrics_are_the_figures_people_compare_without_intervals() -> None:
    assert runs.headline(METRICS) == {"val/accuracy": 0.9, "test/log_loss": 0.25}


def test_intervals_are_in_the_description_and_the_table() -> None:
    note = runs.result_note(METRICS)
    assert "| Accuracy | 0.900 (0.800 to 0.950) | - |" in note
    assert "| Log loss | - | 0.250 (0.100 to 0.500) |" in note
    assert note.startswith("Test: Log loss 0.250 (0.100 to 0.500), with 95 % intervals.")
    assert "Brier" not in note
    rows = runs.figures_csv(METRICS).splitlines()
    assert rows[0] == "split,figure,value,low,high"
    assert {"train,accuracy,0.99,,", "test,log_loss,0.25,0.1,0.5"} <= set(rows)


def test_curves_are_of_what_learns() -> None:
    row = {"epoch": 1.0, "fine_tuning": 0.0, "loss": 0.5, "learning_rate": 0.0}
    assert runs.curves(row) == {"loss": 0.5}
    assert set(runs.curves(row | {"learning_rate": 1e-4})) == {"loss", "learning_rate"}


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
    lines = runs.trials_note(trials, int(order[0]), objective).splitlines()
    assert lines[0].startswith(f"Trial {order[0]} is the best of 3")
    assert lines[2] == "| trial | state | value | learning rate |"
    assert [line.split()[1] for line in lines[4:]] == order
