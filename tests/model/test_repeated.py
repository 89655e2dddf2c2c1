"""Repeated cross-validation: averaged over repeats, clusters resampled once for all of them."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit

from brain_tumor.model.repeated import evaluate_repeats, paired_difference
from brain_tumor.settings import EvaluateParams

PARAMS = EvaluateParams(seed=0, bootstrap_resamples=400)


def predicted(
    repeats: int = 3, images: int = 60, noise: float = 1.0, seed: int = 0
) -> pd.DataFrame:
    """Out-of-fold predictions; two images a cluster."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) // 2 % 2
    rows = []
    for repeat in range(repeats):
        p = expit(2.0 * y - 1.0 + rng.normal(0, noise, images))
        fold = (np.arange(images) // 4 + repeat) % 3
        rows.append(pd.DataFrame({"y": y, "probability": p, "fold": fold, "repeat": repeat}))
    table = pd.concat(rows).reset_index(names="number")
    table["path"] = table["number"].map("{:03}".format)
    return table.assign(cluster=(table["number"] // 2).astype(str), threshold=0.5)


def test_figure_is_the_mean_over_repeats_and_not_that_of_mean_probabilities() -> None:
    table = predicted()
    found = evaluate_repeats(table, PARAMS)
    each = [evaluate_repeats(part, PARAMS) for _, part in table.groupby("repeat")]
    for name in ("auroc", "log_loss", "f1", "calibration_slope", "ece", "auroc_per_fold"):
        assert found[name].value == pytest.approx(np.mean([one[name].value for one in each]))
    averaged = table.assign(probability=table.groupby("path")["probability"].transform("mean"))
    assert evaluate_repeats(averaged, PARAMS)["auroc"].value > found["auroc"].value


def test_repeating_the_same_predictions_narrows_nothing() -> None:
    once = predicted(1)
    thrice = pd.concat([once.assign(repeat=number) for number in range(3)])
    one, three = evaluate_repeats(once, PARAMS), evaluate_repeats(thrice, PARAMS)
    assert set(one) == set(three)
    for name, estimate in one.items():
        assert estimate.as_dict() == pytest.approx(three[name].as_dict())


def test_a_class_of_a_single_cluster_has_figures_and_no_intervals() -> None:
    table = predicted(repeats=2, images=40)
    table.loc[table["y"] == 1, "cluster"] = "one"
    for found in (evaluate_repeats(table, PARAMS)["auroc"],
                  paired_difference(table, table, "auroc", PARAMS)):  # fmt: skip
        assert np.isfinite(found.value)
        assert "low" not in found.as_dict() or found.as_dict()["low"] is None


def test_clusters_widen_an_interval() -> None:
    table = predicted(1, 200, noise=2.0)
    table["probability"] = table.groupby("cluster")["probability"].transform("first")
    alone = table.assign(cluster=table["path"])
    width = {
        name: (found["accuracy"].high or 0) - (found["accuracy"].low or 0)
        for name, found in (
            ("clustered", evaluate_repeats(table, PARAMS)),
            ("alone", evaluate_repeats(alone, PARAMS)),
        )
    }
    assert width["clustered"] > 1.2 * width["alone"]


def test_each_row_is_called_by_its_own_threshold() -> None:
    table = predicted(1)
    table["threshold"] = np.where(table["y"] == 1, 0.0, 1.1)
    found = evaluate_repeats(table, PARAMS)
    assert (found["sensitivity"].value, found["specificity"].value) == (1.0, 1.0)


def test_order_of_rows_does_not_matter() -> None:
    table = predicted()
    one, two = (evaluate_repeats(rows, PARAMS) for rows in (table, table.sample(frac=1.0)))
    assert {k: e.as_dict() for k, e in one.items()} == {k: e.as_dict() for k, e in two.items()}


def test_paired_difference_is_narrower_than_two_intervals_and_zero_of_the_same() -> None:
    ours = predicted(noise=1.0)
    theirs = ours.assign(probability=expit(0.8 * logit(ours["probability"])))
    same = paired_difference(ours, ours, "log_loss", PARAMS)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    found = paired_difference(ours, theirs, "log_loss", PARAMS)
    one, two = (evaluate_repeats(table, PARAMS)["log_loss"] for table in (ours, theirs))
    assert found.value == pytest.approx(one.value - two.value)
    apart = (one.high or 0) - (one.low or 0) + (two.high or 0) - (two.low or 0)
    assert (found.high or 0) - (found.low or 0) < apart / 2


def test_undefined_figures_are_left_out() -> None:
    found = evaluate_repeats(predicted().assign(threshold=1.1), PARAMS)
    assert "precision" not in found
    constant = evaluate_repeats(predicted().assign(probability=0.6), PARAMS)
    assert "calibration_slope" not in constant
    assert constant["auroc"].value == 0.5


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop(index=5), "`path` is not the same"),
        (lambda t: pd.concat([t, t]), "predicted twice"),
        (lambda t: t.assign(y=0), "one class only"),
        (
            lambda t: t.assign(cluster=t["path"] + (t["repeat"] == 1).astype(str)),
            "`cluster` is not",
        ),
    ],
)
def test_tables_that_are_no_repeats_are_refused(change: object, problem: str) -> None:
    assert callable(change)
    with pytest.raises(ValueError, match=problem):
        evaluate_repeats(change(predicted()), PARAMS)


def test_unlike_tables_are_not_paired() -> None:
    with pytest.raises(ValueError, match="not paired"):
        paired_difference(predicted(), predicted(images=56), "auroc", PARAMS)
