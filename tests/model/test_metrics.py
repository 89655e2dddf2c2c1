"""Figures and intervals against values known from elsewhere and against their own properties."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.model import metrics
from brain_tumor.model.repeated import FIGURES

PARAMS = metrics.EvaluateParams(seed=0, bootstrap_resamples=300)


def classified(seed: int = 0, n: int = 60) -> tuple[metrics.Labels, metrics.Probabilities]:
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


def test_training_figures_have_no_interval() -> None:
    y, p = classified()
    figures = metrics.evaluate(y, p, y.astype(str), 0.5, PARAMS, intervals=False)
    assert all(set(estimate.as_dict()) == {"value"} for estimate in figures.values())


def test_repeated_images_in_one_group_do_not_narrow_the_interval() -> None:
    y, p = classified(n=40)
    group = np.arange(40).astype(str)
    once = metrics.cluster_bootstrap(metrics.log_loss, y, p, group, PARAMS)
    four_times = metrics.cluster_bootstrap(
        metrics.log_loss, np.tile(y, 4), np.tile(p, 4), np.tile(group, 4), PARAMS
    )
    assert (four_times.low, four_times.high) == pytest.approx((once.low, once.high))


@pytest.mark.slow
def test_bootstrap_covers_the_truth_about_as_often_as_it_says() -> None:
    # AUROC of N(1,1) against N(0,1) is Phi(1/sqrt(2)) = 0.760
    covered = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        y = np.repeat([0, 1], 30)
        p = 1 / (1 + np.exp(-(rng.normal(0, 1, 60) + y)))
        params = metrics.EvaluateParams(seed=seed, bootstrap_resamples=100)
        estimate = metrics.cluster_bootstrap(metrics.auroc, y, p, np.arange(60).astype(str), params)
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
