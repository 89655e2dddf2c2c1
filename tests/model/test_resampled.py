"""Figures of resamples: what scikit-learn says of the rows repeated as often as they were drawn."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import expit, logit
from sklearn import metrics as reference
from sklearn.linear_model import LogisticRegression

from brain_tumor.model import resampled_calibration as calibrated
from brain_tumor.model.repeated import FIGURES
from brain_tumor.model.resampled import Sample

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


def drawn(seed: int, images: int = 40) -> tuple[Sample, np.ndarray]:
    """Predictions with ties and overlap, and three resamples of them."""
    rng = np.random.default_rng(seed)
    y = np.arange(images) % 3 // 2
    p = np.round(expit(rng.normal(1.2 * y - 0.6, 1.5)), 2).clip(0.01, 0.99)
    weights = np.stack([np.bincount(rng.integers(0, images, images), minlength=images)
                        for _ in range(3)])  # fmt: skip
    return Sample(y.astype(np.int64), p, p >= 0.4), weights.astype(np.float64)


@settings(max_examples=30, deadline=None)
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
        found = {name: FIGURES[name](sample, weights)[number] for name in expected}
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-12)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_recalibration_is_an_unpenalised_logistic_regression(seed: int) -> None:
    sample, weights = drawn(seed, 80)
    intercepts, slopes = calibrated.recalibrated(sample, weights)
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
    said = expit(2.0 * logit(right) - 1.0)  # logit(right) = 0.5 + 0.5 logit(said)
    sample = Sample(y, said, said >= 0.5)
    once = np.ones((1, len(y)))
    assert calibrated.calibration_slope(sample, once)[0] == pytest.approx(0.5, abs=0.01)
    assert calibrated.calibration_intercept(sample, once)[0] == pytest.approx(0.5, abs=0.02)


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
        assert np.isnan(calibrated.calibration_slope(sample, np.ones((2, len(y))))).all()


def test_calibration_error_by_hand_and_its_floor() -> None:
    y, p = np.asarray([1, 0, 1, 1]), np.asarray([0.62, 0.68, 0.95, 1.0])
    # Bins 0.6-0.7: |1/2 - 0.65| over 2 of 4; 0.9-1: |1 - 0.975| over 2 of 4.
    sample = Sample(y, p, p >= 0.5)
    assert calibrated.ece(sample, np.ones((1, 4)))[0] == pytest.approx(0.0875)
    uniform = np.random.default_rng(0).random((500, 253))
    many = np.random.default_rng(1).random(253)
    floor = calibrated.ece_simulated(many, uniform).mean()
    assert floor == pytest.approx(np.sqrt(2 / np.pi / 6 / 25.3), rel=0.1)  # normal, 25.3 a bin
    assert calibrated.ece_simulated(many[:40], uniform[:, :40]).mean() > 0.09
