"""A temperature changes how sure, never which is more probable."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from brain_tumor.model.calibration import calibrate

PROBABILITIES = arrays(np.float64, st.integers(1, 20), elements=st.floats(0, 1))


@given(PROBABILITIES, st.floats(0.1, 10))
def test_order_and_fixed_points_stay(values: np.ndarray, temperature: float) -> None:
    found = calibrate(values, temperature)
    assert ((found >= 0) & (found <= 1)).all()
    order = np.argsort(values, kind="stable")
    assert (np.diff(found[order]) >= 0).all()
    fixed = np.array([0.0, 0.5, 1.0])
    assert calibrate(fixed, temperature) == pytest.approx(fixed)


@given(PROBABILITIES)
def test_none_and_one_change_nothing(values: np.ndarray) -> None:
    assert calibrate(values, None) is values
    assert calibrate(values, 1.0) == pytest.approx(values, abs=1e-12)


def test_high_temperature_is_less_sure() -> None:
    # logit(0.9) / 2 = 1.0986; its sigmoid is 0.75.
    assert calibrate(np.array([0.9]), 2.0) == pytest.approx([0.75])
