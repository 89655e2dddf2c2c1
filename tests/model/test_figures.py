"""What figures draw, read from the drawing itself, and the table beside the paper's."""

import numpy as np
import pandas as pd
import pytest

from brain_tumor.model import figures
from brain_tumor.model.figures import PAPER_ROWS, paper_table
from brain_tumor.model.metrics import auroc


def test_roc_has_the_area_of_the_figure_and_marks_the_threshold() -> None:
    rng = np.random.default_rng(0)
    truth = np.repeat([0, 1], 40)
    probability = rng.beta(2 + truth, 3 - truth)
    area = auroc(truth, probability)
    answers = {"val": (truth, probability)}
    (axes,) = figures.draw_roc(answers, {"val": "0.81 (0.70 to 0.90)"}, 0.5).axes
    (curve,) = (line for line in axes.lines if str(line.get_label()).startswith("val"))
    assert curve.get_label() == "val (n = 80): AUROC 0.81 (0.70 to 0.90)"
    x, y = (np.asarray(values) for values in curve.get_data())
    assert (np.diff(x) * y[:-1]).sum() == pytest.approx(area)
    (point,) = (line for line in axes.lines if line.get_marker() == "o" and len(line.get_xdata()))
    called = probability >= 0.5
    expected = (called[truth == 0].mean(), called[truth == 1].mean())
    assert (point.get_xdata()[0], point.get_ydata()[0]) == pytest.approx(expected)


HISTORY = pd.DataFrame(
    {
        "epoch": [0, 1, 2],
        "fine_tuning": [0.0, 1.0, 1.0],
        "loss": [0.5, 0.4, 0.3],
        "val_loss": [0.6, 0.55, 0.5],
    }
)


def test_learning_curves_have_every_epoch_with_a_marker() -> None:
    axes = figures.draw_curve(HISTORY, "loss").axes[0]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert list(lines["train (augmented)"].get_ydata()) == [0.5, 0.4, 0.3]
    assert list(lines["val"].get_ydata()) == [0.6, 0.55, 0.5]
    assert list(lines["val"].get_xdata()) == [0, 1, 2]
    assert {lines[name].get_marker() for name in ("train (augmented)", "val")} == {"o", "s"}
    assert list(lines["solved head"].get_xdata()) == [0, 0]


def test_penalty_path_marks_the_penalty_that_trained() -> None:
    path = pd.DataFrame(
        {
            "penalty": [0.01, 0.1, 1.0],
            "given": [False, True, False],
            "loss": [0.2, 0.3, 0.5],
            "val_loss": [0.5, 0.4, 0.6],
        }
    )
    lines = figures.draw_penalty_path(path).axes[0].get_lines()
    assert [list(line.get_ydata()) for line in lines[:2]] == [[0.2, 0.3, 0.5], [0.5, 0.4, 0.6]]
    assert list(lines[2].get_xdata()) == [0.1, 0.1]


def test_every_row_of_the_paper_stands_beside_this_run() -> None:
    estimate = {"value": 0.5, "low": 0.25, "high": 0.75}
    names = ("accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss")
    results = {split: dict.fromkeys(names, estimate) for split in ("val", "test")}
    results["train"] = {name: {"value": 0.125} for name in names}
    table = paper_table(results, "random")
    assert all(f"| {name} | {published} |" in table for name, _, _, published in PAPER_ROWS)
    assert "| test accuracy | 0.90 (36/40) | 0.50 [0.25, 0.75] |" in table
    assert "| train accuracy | 0.90 | 0.12 |" in table
