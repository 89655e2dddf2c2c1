"""Calibration of many resamples at once; see `resampled` for samples and weights."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from brain_tumor.model.resampled import Floats, Sample

BINS = 10  # of equal width, of the expected calibration error and the reliability diagram
NEAREST = 1e-6  # in a logit a probability of 0 or 1 counts as this far from it
SIMULATIONS = 2000  # of the floor of the expected calibration error
_STEPS, _LONGEST, _CONVERGED = 60, 5.0, 1e-8  # of Newton; without separation ten steps suffice
_FLAT = 1e-12  # of the determinant: all probabilities are equal, or the classes are separated
_STEEPEST = 1e3  # a slope beyond this: they are separated


def calibration_slope(sample: Sample, weights: Floats) -> Floats:
    """Slope of the logistic recalibration; 1 is ideal, below it probabilities are too sure."""
    return recalibrated(sample, weights)[1]


def calibration_intercept(sample: Sample, weights: Floats) -> Floats:
    """Intercept of the logistic recalibration; 0 is ideal."""
    return recalibrated(sample, weights)[0]


def recalibrated(sample: Sample, weights: Floats) -> tuple[Floats, Floats]:
    """Intercept and slope of logit P(y = 1) = a + b logit(p) (Cox 1958), by Newton's method.

    Undefined (NaN) where the classes are separated or all probabilities are equal.
    """
    x = logit(np.clip(sample.probability, NEAREST, 1.0 - NEAREST))
    one = np.ones_like(x)
    beta, undefined = np.zeros((2, len(weights))), np.zeros(len(weights), np.bool_)
    for _ in range(_STEPS):
        fitted = expit(beta[0][:, None] + beta[1][:, None] * x)
        residual, curvature = weights * (sample.y_true - fitted), weights * fitted * (1 - fitted)
        a, b, c = (curvature @ term for term in (one, x, x * x))
        determinant = a * c - b * b
        undefined |= determinant <= _FLAT * np.maximum(a * c, _FLAT)
        undefined |= np.abs(beta[1]) > _STEEPEST
        step = np.stack([c * (residual @ one) - b * (residual @ x),
                         a * (residual @ x) - b * (residual @ one)])  # fmt: skip
        step = np.where(undefined, 0.0, step / np.where(undefined, 1.0, determinant))
        beta += np.clip(step, -_LONGEST, _LONGEST)
        if np.abs(step).max(initial=0.0) < _CONVERGED:
            break
    undefined |= np.abs(step).max(axis=0) > _CONVERGED
    beta[:, undefined] = np.nan
    return beta[0], beta[1]


def ece(sample: Sample, weights: Floats) -> Floats:
    """Expected calibration error over ten bins of equal width (Naeini 2015)."""
    return calibration_error(sample.y_true[None].astype(np.float64), sample.probability, weights)


def calibration_error(y_true: Floats, probability: Floats, weights: Floats) -> Floats:
    """Mean over bins, by their weight, of |share of 1 - mean probability|.

    Args:
        y_true: (1 or resamples, n), 0 or 1.
        probability: (n,).
        weights: (resamples or 1, n).
    """
    inside = np.eye(BINS)[bins_of(probability)]
    gaps: Floats = np.abs((weights * (y_true - probability)) @ inside).sum(axis=1)
    found: Floats = gaps / weights.sum(axis=1)
    return found


def ece_simulated(probability: Floats, uniform: Floats) -> Floats:
    """Expected calibration error of labels drawn by the probabilities themselves: its floor.

    Args:
        probability: (n,).
        uniform: (simulations, n), uniform in [0, 1); of an image the same in all its repeats.

    Returns:
        float64 (simulations,).
    """
    drawn = (uniform < probability).astype(np.float64)
    return calibration_error(drawn, probability, np.ones((1, len(probability))))


def bins_of(probability: Floats) -> NDArray[np.int64]:
    """Number of the bin of each probability, 0 to 9; 1.0 is in the last."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)
