"""A temperature changes how sure, never which is more probable; what is read off predictions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_tumor.model.calibration import (
    calibrate,
    fit_temperature,
    reliability,
    threshold_for_sensitivity,
)
from brain_tumor.model.metrics import Sample, log_loss, recalibrated

PROBABILITIES = arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1))


@given(PROBABILITIES, st.floats(0.1, 10))
def test_order_and_fixed_points_stay(values: np.ndarray, temperature: float) -> None:
    calibrated = calibrate(values, temperature)
    assert ((calibrated >= 0) & (calibrated <= 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(calibrated[order]) >= 0).all()
    fixed = np.array([0.0, 0.5, 1.0])
    assert calibrate(fixed, temperature) == pytest.approx(fixed)


@given(PROBABILITIES)
def test_none_and_one_change_nothing(values: np.ndarray) -> None:
    assert calibrate(values, None) is values
    assert calibrate(values, 1.0) == pytest.approx(values, abs=1e-12)


def test_high_temperature_is_less_sure() -> None:
    # logit(0.9) / 2 = 1.0986; its sigmoid is 0.75.
    assert calibrate(np.array([0.9]), 2.0) == pytest.approx([0.75])


def outcomes(seed: int, temperature: float) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn by probabilities, and these distorted by a temperature."""
    rng = np.random.default_rng(seed)
    right = rng.beta(1.0, 1.0, 4000)
    return (rng.random(4000) < right).astype(np.int64), calibrate(right, 1.0 / temperature)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_fitted_temperature_undoes_a_known_one(temperature: float) -> None:
    y, probability = outcomes(0, temperature)
    assert fit_temperature(y, probability) == pytest.approx(temperature, rel=0.08)


def test_fitted_temperature_is_the_lowest_loss_around() -> None:
    y, probability = outcomes(1, 2.0)
    best = fit_temperature(y, probability)
    losses = [log_loss(y, calibrate(probability, t)) for t in (best, best * 1.02, best / 1.02)]
    assert losses[0] == min(losses)


def test_temperature_of_separated_classes_is_bounded() -> None:
    y, p = np.array([0, 0, 1, 1]), np.array([0.1, 0.2, 0.8, 1.0])
    assert fit_temperature(y, p) == pytest.approx(0.05, rel=1e-3)
    assert fit_temperature(1 - y, p) == pytest.approx(20.0, rel=1e-3)


@given(arrays(np.float64, st.integers(1, 30), elements=st.floats(0, 1)), st.floats(0.01, 1.0))
def test_threshold_is_the_highest_that_meets_the_target(tumours: np.ndarray, target: float) -> None:
    y, p = np.r_[np.ones(len(tumours), int), [0]], np.r_[tumours, [0.5]]
    threshold = threshold_for_sensitivity(y, p, target)
    assert np.mean(tumours >= threshold) >= target - 1e-9
    assert np.mean(tumours >= np.nextafter(threshold, 2.0)) < target


def test_threshold_without_tumours_is_refused() -> None:
    with pytest.raises(ValueError, match="none of 2 images is a tumour"):
        threshold_for_sensitivity(np.zeros(2, int), np.array([0.1, 0.9]), 0.95)


def test_reliability_counts_every_image_once() -> None:
    y, probability = outcomes(2, 1.0)
    table = reliability(y, np.r_[probability[:-2], 0.0, 1.0])
    assert table["images"].sum() == 4000
    assert len(table) == 10
    assert (table["low"] <= table["predicted"]).all()
    assert (table["predicted"] <= table["high"]).all()
    assert (table["observed_low"] <= table["observed"]).all()
    assert (table["observed"] - table["predicted"]).abs().max() < 0.08


def test_slope_is_one_over_the_temperature_of_a_distortion() -> None:
    y, probability = outcomes(3, 0.5)
    intercept, slope = recalibrated(
        Sample(y, probability, probability >= 0.5), np.ones((1, len(y)))
    )
    assert slope[0] == pytest.approx(2.0, rel=0.1)
    assert intercept[0] == pytest.approx(0.0, abs=0.1)
