"""Figures of many resamples at once: images count as often as their cluster was drawn.

Every function takes a sample of n images and weights (resamples, n) and gives float64
(resamples,), NaN where a figure is undefined. With all weights 1 they are the figures that
scikit-learn computes (tests compare them), a thousand times sooner than one call per resample.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Sample:
    """Predictions of n images.

    Attributes:
        y_true: int64 (n,), 0 or 1.
        probability: float64 (n,), of class 1.
        called: bool (n,), whether the image is called 1.
    """

    y_true: NDArray[np.int64]
    probability: Floats
    called: NDArray[np.bool_]


Figure = Callable[[Sample, Floats], Floats]


def share(hits: NDArray[np.bool_], among: NDArray[np.bool_], weights: Floats) -> Floats:
    """The part of `among` that are `hits`."""
    with np.errstate(invalid="ignore"):
        found: Floats = (weights @ (hits & among)) / (weights @ among)
    return found


def accuracy(sample: Sample, weights: Floats) -> Floats:
    """Share of right calls."""
    right = sample.called == (sample.y_true == 1)
    return share(right, np.ones_like(right), weights)


def sensitivity(sample: Sample, weights: Floats) -> Floats:
    """Share of class 1 that is called 1."""
    return share(sample.called, sample.y_true == 1, weights)


def specificity(sample: Sample, weights: Floats) -> Floats:
    """Share of class 0 that is called 0."""
    return share(~sample.called, sample.y_true == 0, weights)


def balanced_accuracy(sample: Sample, weights: Floats) -> Floats:
    """Mean of sensitivity and specificity."""
    return (sensitivity(sample, weights) + specificity(sample, weights)) / 2


def precision(sample: Sample, weights: Floats) -> Floats:
    """Share of the calls of 1 that are right; undefined without such calls."""
    return share(sample.y_true == 1, sample.called, weights)


def f1(sample: Sample, weights: Floats) -> Floats:
    """Harmonic mean of precision and sensitivity."""
    truth = sample.y_true == 1
    with np.errstate(invalid="ignore"):
        found: Floats = (2 * (weights @ (truth & sample.called))) / (
            weights @ truth + weights @ sample.called
        )
    return found


def brier(sample: Sample, weights: Floats) -> Floats:
    """Mean squared difference of probability and truth (Brier 1950)."""
    return _mean((sample.probability - sample.y_true) ** 2, weights)


def log_loss(sample: Sample, weights: Floats) -> Floats:
    """Mean binary cross-entropy in nats."""
    right = np.where(sample.y_true == 1, sample.probability, 1.0 - sample.probability)
    return _mean(-np.log(np.maximum(right, np.finfo(np.float64).eps)), weights)


def auroc(sample: Sample, weights: Floats) -> Floats:
    """Area under the receiver operating characteristic: P(a 1 ranks above a 0), ties half."""
    ones, zeros = _by_value(sample, weights)
    below = np.cumsum(zeros, axis=1) - zeros
    with np.errstate(invalid="ignore"):
        found: Floats = (ones * (below + zeros / 2)).sum(axis=1) / (
            ones.sum(axis=1) * zeros.sum(axis=1)
        )
    return found


def auprc(sample: Sample, weights: Floats) -> Floats:
    """Average precision, the step-wise area under precision over recall."""
    ones, zeros = (part[:, ::-1] for part in _by_value(sample, weights))
    hits, calls = np.cumsum(ones, axis=1), np.cumsum(ones + zeros, axis=1)
    with np.errstate(invalid="ignore"):
        at_value = np.where(calls > 0, hits / calls, 0.0)
        found: Floats = (ones * at_value).sum(axis=1) / ones.sum(axis=1)
    return found


def _mean(values: Floats, weights: Floats) -> Floats:
    found: Floats = (weights @ values) / weights.sum(axis=1)
    return found


def _by_value(sample: Sample, weights: Floats) -> tuple[Floats, Floats]:
    """Weights of ones and of zeros at each distinct probability, ascending."""
    order = np.argsort(sample.probability, kind="stable")
    starts = np.unique(sample.probability[order], return_index=True)[1]
    truth, ordered = sample.y_true[order], weights[:, order]
    ones, zeros = (np.add.reduceat(ordered * (truth == label), starts, axis=1) for label in (1, 0))
    return ones, zeros
