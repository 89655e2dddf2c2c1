"""Figures and intervals against scikit-learn, known values and their own properties."""

import tracemalloc
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.special import expit, logit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from brain_tumor.model import metrics
from brain_tumor.model.metrics import (
    BOOTSTRAP,
    FIGURES,
    WILSON,
    WILSON_CLUSTERS,
    OutOfFold,
    Rate,
    Sample,
    cluster_rate,
    evaluate_repeats,
    paired_difference,
    rate,
    wilson,
)
from brain_tumor.settings import EvaluateParams

Reference = Callable[..., float]
CALLS: dict[str, Reference] = {
    "accuracy": reference.accuracy_score,
    "balanced_accuracy": reference.balanced_accuracy_score,
    "sensitivity": reference.recall_score,
    "specificity": lambda y, called: reference.recall_score(y, called, pos_label=0),
    "precision": reference.precision_score,
    "f1": reference.f1_score,
}
SCORES: dict[str, Reference] = {
    "auroc": reference.roc_auc_score,
    "auprc": reference.average_precision_score,
    "log_loss": reference.log_loss,
    "brier": reference.brier_score_loss,
}
PARAMS = EvaluateParams(seed=0, bootstrap_resamples=400)


def classified(seed: int = 0, n: int = 60) -> tuple[metrics.Labels, metrics.Floats]:
    rng = np.random.default_rng(seed)
    y = rng.integers(0, 2, n)
    return y, np.clip(0.25 + 0.4 * y + rng.normal(0, 0.2, n), 0.01, 0.99)


def test_wilson_interval_of_the_papers_test_accuracy() -> None:
    estimate = metrics.wilson(36, 40)  # 77-96 %: Wilson (1927), as in Newcombe (1998)
    assert (round(estimate.low or 0, 2), round(estimate.high or 0, 2)) == (0.77, 0.96)


def test_confusion_rows_are_the_truth_and_the_threshold_counts_as_yes() -> None:
    y = np.asarray([0, 0, 0, 1, 1])
    p = np.asarray([0.1, 0.5, 0.2, 0.5, 0.4])
    np.testing.assert_array_equal(metrics.confusion(y, p, 0.5), [[2, 1], [1, 1]])


def test_proportions_of_the_papers_matrices() -> None:
    val = metrics.proportions(np.asarray([[15, 3], [4, 28]]))
    assert val == {"accuracy": (43, 50), "sensitivity": (28, 32), "specificity": (15, 18)}


def test_constant_half_has_the_loss_of_a_coin() -> None:
    assert metrics.log_loss(np.asarray([0, 1]), np.asarray([0.5, 0.5])) == pytest.approx(np.log(2))


def test_every_interval_holds_its_value() -> None:
    y, p = classified()
    group = np.arange(len(y)).astype(str)
    figures = metrics.evaluate(y, p, group, 0.5, PARAMS, intervals=True)
    assert set(figures) == {*FIGURES, "ece_floor"}
    assert figures.pop("ece").as_dict().keys() == {"value"}
    for name, estimate in figures.items():
        assert estimate.low is not None, name
        assert estimate.high is not None, name
        assert estimate.low <= estimate.value <= estimate.high, name


SHARES = ("accuracy", "sensitivity", "specificity")


def test_single_proportions_have_wilsons_interval_where_images_are_independent() -> None:
    y, p = classified()
    figures = metrics.evaluate(y, p, np.arange(len(y)).astype(str), 0.5, PARAMS, intervals=True)
    counts = metrics.proportions(metrics.confusion(y, p, 0.5))
    assert {name: figures[name] for name in SHARES} == {
        name: metrics.wilson(*counts[name]) for name in SHARES
    }


def test_copies_do_not_narrow_the_intervals_of_single_proportions() -> None:
    y, p = classified()
    group = np.arange(len(y)).astype(str)
    once = metrics.evaluate(y, p, group, 0.5, PARAMS, intervals=True)
    four_times = metrics.evaluate(
        np.tile(y, 4), np.tile(p, 4), np.tile(group, 4), 0.5, PARAMS, intervals=True
    )
    counts = metrics.proportions(4 * metrics.confusion(y, p, 0.5))
    for name in SHARES:
        independent, wide = metrics.wilson(*counts[name]), width(four_times[name])
        assert four_times[name].value == pytest.approx(once[name].value)
        assert wide == pytest.approx(width(once[name]), rel=0.25), name  # bootstrap and Wilson
        assert wide > 1.5 * width(independent), name


@pytest.mark.parametrize("right", [True, False])
def test_proportions_of_all_or_none_have_the_width_of_as_many_clusters(right: bool) -> None:
    y = np.repeat([0, 1], 20)
    p = np.where((y == 1) == right, 0.9, 0.1)
    group = (np.arange(40) // 2).astype(str)
    figures = metrics.evaluate(y, p, group, 0.5, PARAMS, intervals=True)
    for name, clusters in (("accuracy", 20), ("sensitivity", 10), ("specificity", 10)):
        assert figures[name] == metrics.wilson(clusters * right, clusters), name
        assert width(figures[name]) > 0.1


def width(estimate: metrics.Estimate) -> float:
    return (estimate.high or 0.0) - (estimate.low or 0.0)


def test_training_figures_have_no_interval() -> None:
    y, p = classified()
    figures = metrics.evaluate(y, p, y.astype(str), 0.5, PARAMS, intervals=False)
    assert all(set(estimate.as_dict()) == {"value"} for estimate in figures.values())


def bootstrapped(
    name: str,
    y: metrics.Labels,
    p: metrics.Floats,
    group: NDArray[np.str_],
    params: EvaluateParams = PARAMS,
) -> metrics.Estimate:
    predicted = OutOfFold.single(Sample(y, p, p >= 0.5), group)
    weights = predicted.draw(params)
    estimate = metrics.estimate(lambda drawn: predicted.mean(FIGURES[name], drawn), weights)
    assert estimate is not None
    return estimate


def test_figures_do_not_depend_on_how_many_resamples_are_held_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    y, p = classified(n=60)
    group = np.random.default_rng(2).integers(0, 7, 60).astype(str)  # some resamples are refused
    whole = metrics.evaluate(y, p, group, 0.5, PARAMS, intervals=True)
    drawn = [*OutOfFold.single(Sample(y, p, p >= 0.5), group).draw(PARAMS)]
    monkeypatch.setattr(metrics, "_HELD", 600)
    again = [*OutOfFold.single(Sample(y, p, p >= 0.5), group).draw(PARAMS)]
    assert (len(drawn), len(again)) == (1, 40)
    np.testing.assert_array_equal(np.concatenate(again), drawn[0])
    parted = metrics.evaluate(y, p, group, 0.5, PARAMS, intervals=True)
    for name, figure in whole.items():
        assert parted[name].as_dict() == pytest.approx(figure.as_dict(), abs=1e-9), name


def test_memory_does_not_grow_with_the_number_of_resamples_times_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(metrics, "_HELD", 100_000)
    y, p = classified(n=4000)
    group = (np.arange(4000) // 2).astype(str)
    params = EvaluateParams(seed=0, bootstrap_resamples=500)
    predicted = OutOfFold.single(Sample(y, p, p >= 0.5), group)
    tracemalloc.start()
    assert len(next(iter(predicted.draw(params)))) < 500
    figure = metrics.estimate(lambda weights: weights @ (p > 0.5), predicted.draw(params))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert figure is not None
    assert peak < 8 * 500 * 4000  # less than all weights


def test_repeated_images_in_one_group_do_not_narrow_the_interval() -> None:
    y, p = classified(n=40)
    group = np.arange(40).astype(str)
    once = bootstrapped("log_loss", y, p, group)
    four_times = bootstrapped("log_loss", np.tile(y, 4), np.tile(p, 4), np.tile(group, 4))
    assert (four_times.low, four_times.high) == pytest.approx((once.low, once.high))


@pytest.mark.slow
def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    # AUROC of N(1,1) against N(0,1) is Phi(1/sqrt(2)) = 0.760
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.repeat([0, 1], 30)
        p = 1 / (1 + np.exp(-(rng.normal(0, 1, 60) + y)))
        params = EvaluateParams(seed=seed, bootstrap_resamples=100)
        estimate = bootstrapped("auroc", y, p, np.arange(60).astype(str), params)
        covered += (estimate.low or 0) <= 0.760 <= (estimate.high or 1)
    assert covered >= 50  # P(fewer) < 1e-3 at 93 % coverage


def test_a_split_with_one_class_is_refused() -> None:
    with pytest.raises(ValueError, match="both classes"):
        metrics.evaluate(
            np.ones(4, dtype=int),
            np.full(4, 0.5),
            np.arange(4).astype(str),
            0.5,
            PARAMS,
            intervals=True,
        )


@given(st.integers(0, 1000), st.floats(0.05, 0.95))
def test_figures_do_not_depend_on_the_order_of_images(seed: int, threshold: float) -> None:
    y, p = classified(seed)
    if y.min() == y.max():
        return
    order = np.random.default_rng(seed).permutation(len(y))
    group = np.zeros(len(y), dtype=str)
    a = metrics.evaluate(y, p, group, threshold, PARAMS, intervals=False)
    b = metrics.evaluate(y[order], p[order], group, threshold, PARAMS, intervals=False)
    assert all(a[name].value == pytest.approx(b[name].value) for name in a)


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
    averaged_figures = evaluate_repeats(table, PARAMS)
    each = [evaluate_repeats(part, PARAMS) for _, part in table.groupby("repeat")]
    for name in ("auroc", "log_loss", "f1", "calibration_slope", "ece", "auroc_per_fold"):
        assert averaged_figures[name].value == pytest.approx(
            np.mean([figures[name].value for figures in each])
        )
    averaged = table.assign(probability=table.groupby("path")["probability"].transform("mean"))
    assert evaluate_repeats(averaged, PARAMS)["auroc"].value > averaged_figures["auroc"].value


def test_repeating_the_same_predictions_narrows_nothing() -> None:
    once = predicted(1)
    thrice = pd.concat([once.assign(repeat=number) for number in range(3)])
    single, triple = evaluate_repeats(once, PARAMS), evaluate_repeats(thrice, PARAMS)
    assert set(single) == set(triple)
    for name, estimate in single.items():
        assert estimate.as_dict() == pytest.approx(triple[name].as_dict())


def test_a_class_of_a_single_cluster_has_figures_and_no_intervals() -> None:
    table = predicted(repeats=2, images=40)
    table.loc[table["y"] == 1, "cluster"] = "one"
    for figure in (evaluate_repeats(table, PARAMS)["auroc"],
                  paired_difference(table, table, "auroc", PARAMS)):  # fmt: skip
        assert np.isfinite(figure.value)
        assert "low" not in figure.as_dict() or figure.as_dict()["low"] is None


def test_clusters_widen_an_interval() -> None:
    table = predicted(1, 200, noise=2.0)
    table["probability"] = table.groupby("cluster")["probability"].transform("first")
    alone = table.assign(cluster=table["path"])
    width = {
        name: (figures["accuracy"].high or 0) - (figures["accuracy"].low or 0)
        for name, figures in (
            ("clustered", evaluate_repeats(table, PARAMS)),
            ("alone", evaluate_repeats(alone, PARAMS)),
        )
    }
    assert width["clustered"] > 1.2 * width["alone"]


def test_each_row_is_called_by_its_own_threshold() -> None:
    table = predicted(1)
    table["threshold"] = np.where(table["y"] == 1, 0.0, 1.1)
    figures = evaluate_repeats(table, PARAMS)
    assert (figures["sensitivity"].value, figures["specificity"].value) == (1.0, 1.0)


def test_order_of_rows_does_not_matter() -> None:
    table = predicted()
    first, second = (evaluate_repeats(rows, PARAMS) for rows in (table, table.sample(frac=1.0)))
    assert {k: e.as_dict() for k, e in first.items()} == {k: e.as_dict() for k, e in second.items()}


def test_paired_difference_is_narrower_than_two_intervals_and_zero_of_the_same() -> None:
    ours = predicted(noise=1.0)
    theirs = ours.assign(probability=expit(0.8 * logit(ours["probability"])))
    same = paired_difference(ours, ours, "log_loss", PARAMS)
    assert (same.value, same.low, same.high) == (0.0, 0.0, 0.0)
    difference = paired_difference(ours, theirs, "log_loss", PARAMS)
    first, second = (evaluate_repeats(table, PARAMS)["log_loss"] for table in (ours, theirs))
    assert difference.value == pytest.approx(first.value - second.value)
    apart = (first.high or 0) - (first.low or 0) + (second.high or 0) - (second.low or 0)
    assert (difference.high or 0) - (difference.low or 0) < apart / 2


def test_undefined_figures_are_left_out() -> None:
    figures = evaluate_repeats(predicted().assign(threshold=1.1), PARAMS)
    assert "precision" not in figures
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


def drawn(seed: int, images: int = 40) -> tuple[Sample, np.ndarray]:
    """Predictions with ties and overlap, and three resamples of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) % 3 // 2
    p = np.round(expit(rng.normal(1.2 * y - 0.6, 1.5)), 2).clip(0.01, 0.99)
    weights = np.stack([np.bincount(rng.integers(0, images, images), minlength=images)
                        for _ in range(3)])  # fmt: skip
    return Sample(y.astype(np.int64), p, p >= 0.4), weights.astype(np.float64)


@settings(max_examples=30)
@given(st.integers(0, 10_000))
def test_weights_are_repetitions_to_scikit_learn(seed: int) -> None:
    sample, weights = drawn(seed)
    for number, row in enumerate(weights.astype(int)):
        y, p, called = (
            np.repeat(a, row) for a in (sample.y_true, sample.probability, sample.called)
        )
        if len(np.unique(y)) < 2 or not called.any():
            continue
        expected = {name: f(y, called) for name, f in CALLS.items()}
        expected |= {name: f(y, p) for name, f in SCORES.items()}
        figures = {name: FIGURES[name](sample, weights)[number] for name in expected}
        assert figures == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=20)
@given(st.integers(0, 10_000))
def test_recalibration_is_an_unpenalised_logistic_regression(seed: int) -> None:
    sample, weights = drawn(seed, 80)
    intercepts, slopes = metrics.recalibrated(sample, weights)
    x = logit(sample.probability)[:, None]
    for row, intercept, slope in zip(weights, intercepts, slopes, strict=True):
        model = LogisticRegression(C=np.inf, tol=1e-10, solver="newton-cholesky")
        model.fit(x, sample.y_true, sample_weight=row)
        assert slope == pytest.approx(model.coef_[0, 0], abs=1e-4)
        assert intercept == pytest.approx(model.intercept_[0], abs=1e-4)


def test_slope_and_intercept_of_a_known_distortion() -> None:
    rng = np.random.default_rng(0)
    right = expit(rng.normal(0, 1.5, 200_000))
    y = (rng.random(len(right)) < right).astype(np.int64)
    distorted = expit(2.0 * logit(right) - 1.0)  # logit(right) = 0.5 + 0.5 logit(said)
    sample = Sample(y, distorted, distorted >= 0.5)
    once = np.ones((1, len(y)))
    assert FIGURES["calibration_slope"](sample, once)[0] == pytest.approx(0.5, abs=0.01)
    assert FIGURES["calibration_intercept"](sample, once)[0] == pytest.approx(0.5, abs=0.02)


@pytest.mark.parametrize(
    ("y", "p"),
    [([0, 0, 1, 1], [0.1, 0.2, 0.8, 0.9]), ([0, 1, 0, 1], [0.3] * 4), ([0, 0, 0], [0.1, 0.5, 0.9])],
)
def test_slope_is_undefined_where_classes_are_separated_or_nothing_differs(
    y: list[int], p: list[float]
) -> None:
    sample = Sample(np.asarray(y), np.asarray(p), np.asarray(p) >= 0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(FIGURES["calibration_slope"](sample, np.ones((2, len(y))))).all()


def test_calibration_error_by_hand_and_its_floor() -> None:
    y, p = np.asarray([1, 0, 1, 1]), np.asarray([0.62, 0.68, 0.95, 1.0])
    # Bins 0.6-0.7: |1/2 - 0.65| over 2 of 4; 0.9-1: |1 - 0.975| over 2 of 4.
    sample = Sample(y, p, p >= 0.5)
    assert FIGURES["ece"](sample, np.ones((1, 4)))[0] == pytest.approx(0.0875)
    many = np.random.default_rng(1).random(253)
    floor = metrics.ece_floor([(many, np.arange(253))], PARAMS).value
    assert floor == pytest.approx(np.sqrt(2 / np.pi / 6 / 25.3), rel=0.1)  # normal, 25.3 a bin
    assert metrics.ece_floor([(many[:40], np.arange(40))], PARAMS).value > 0.09


def by_cluster(hits: list[int], clusters: list[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    return np.array(hits, dtype=bool), np.array(clusters)


def defined(share: Rate | None) -> Rate:
    assert share is not None
    return share


def test_singletons_have_wilsons_interval() -> None:
    share = defined(rate(*by_cluster([1] * 9 + [0] * 3, list(range(12)))))
    expected = wilson(9, 12)
    assert (share.value, share.low, share.high) == (expected.value, expected.low, expected.high)
    assert (share.hits, share.images, share.clusters) == (9, 12, 12)
    assert share.interval == WILSON


def test_copies_do_not_make_the_interval_narrower() -> None:
    hits, names = [1] * 30 + [0] * 10, list(range(40))
    once, thrice = (
        defined(rate(*by_cluster(hits, names))),
        defined(rate(*by_cluster(hits * 3, names * 3))),
    )
    naive = wilson(90, 120)
    assert naive.low is not None
    assert naive.high is not None
    assert thrice.interval == BOOTSTRAP
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.15)
    assert thrice.high - thrice.low > 1.4 * (naive.high - naive.low)


@pytest.mark.parametrize("hit", [0, 1])
def test_an_interval_has_width_where_all_are_alike(hit: int) -> None:
    share = defined(rate(*by_cluster([hit] * 20, list(range(10)) * 2)))
    expected = wilson(10 * hit, 10)
    assert (share.value, share.low, share.high) == (hit, expected.low, expected.high)
    assert share.interval == WILSON_CLUSTERS


def test_a_cluster_counts_once() -> None:
    share = defined(cluster_rate(*by_cluster([1] * 50 + [0, 0], ["big"] * 50 + ["a", "b"])))
    assert share.value == pytest.approx(1 / 3)
    assert (share.low, share.high) == (wilson(1, 3).low, wilson(1, 3).high)


def test_a_cluster_may_be_partly_right() -> None:
    share = defined(cluster_rate(*by_cluster([1, 0, 1, 1], ["a", "a", "b", "c"])))
    assert share.value == pytest.approx((0.5 + 1 + 1) / 3)
    assert share.interval == BOOTSTRAP


def test_no_slices_no_figure() -> None:
    assert rate(*by_cluster([], [])) is None
    assert cluster_rate(*by_cluster([], [])) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40))
def test_the_interval_holds_the_value_and_the_order_does_not_matter(
    slices: list[tuple[bool, int]],
) -> None:
    for function in (rate, cluster_rate):
        share = defined(function(*by_cluster([int(h) for h, _ in slices], [c for _, c in slices])))
        assert 0 <= share.low <= share.value + 1e-12
        assert share.value - 1e-12 <= share.high <= 1
        turned = slices[::-1]
        assert function(*by_cluster([int(h) for h, _ in turned], [c for _, c in turned])) == share
