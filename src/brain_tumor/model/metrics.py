"""Figures of a binary classifier with 95 % intervals.

A percentile bootstrap resamples whole clusters (patients, duplicates), since images of one cluster
are not independent. Single proportions have Wilson's interval where every image is a cluster of its
own; and, for as many trials as there are clusters, where all images are right or all wrong, since
resampling would give no width then. The expected calibration error has none: it stands beside its
simulated floor.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.estimate import CONFIDENCE as CONFIDENCE
from brain_tumor.model.estimate import Estimate as Estimate
from brain_tumor.model.repeated import figures
from brain_tumor.model.repeats import Repeats
from brain_tumor.model.resampled import Sample
from brain_tumor.settings import EvaluateParams

Labels = NDArray[np.int64]
Probabilities = NDArray[np.float64]


def confusion(y_true: Labels, probability: Probabilities, threshold: float) -> NDArray[np.int64]:
    """Counts (2, 2): rows the truth (no, yes), columns the call."""
    from sklearn.metrics import confusion_matrix

    return np.asarray(confusion_matrix(y_true, probability >= threshold, labels=[0, 1]))


def proportions(counts: NDArray[np.int64]) -> dict[str, tuple[int, int]]:
    """Accuracy, sensitivity and specificity of a confusion matrix as (hits, out of)."""
    (true_no, false_yes), (false_no, true_yes) = counts.tolist()
    return {
        "accuracy": (true_no + true_yes, int(counts.sum())),
        "sensitivity": (true_yes, true_yes + false_no),
        "specificity": (true_no, true_no + false_yes),
    }


def balanced_accuracy(y_true: Labels, probability: Probabilities, threshold: float) -> float:
    """Mean of sensitivity and specificity."""
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(y_true, probability >= threshold))


def auroc(y_true: Labels, probability: Probabilities) -> float:
    """Area under the receiver operating characteristic."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y_true, probability))


def log_loss(y_true: Labels, probability: Probabilities) -> float:
    """Mean binary cross-entropy in nats; a constant 0.5 has 0.693."""
    from sklearn.metrics import log_loss as sklearn_log_loss

    return float(sklearn_log_loss(y_true, probability, labels=[0, 1]))


def wilson(hits: int, out_of: int) -> Estimate:
    """A proportion with its Wilson interval (scipy.stats.binomtest)."""
    from scipy.stats import binomtest

    interval = binomtest(hits, out_of).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / out_of, float(interval.low), float(interval.high))


def cluster_bootstrap(
    statistic: Callable[[Labels, Probabilities], float],
    y_true: Labels,
    probability: Probabilities,
    group: NDArray[np.str_],
    params: EvaluateParams,
) -> Estimate:
    """A figure with the percentile interval over resampled groups.

    Resamples that hold one class only are drawn again: the figures need both.
    """
    rng = np.random.default_rng(params.seed)
    members = [np.flatnonzero(group == name) for name in np.unique(group)]
    values: list[float] = []
    while len(values) < params.bootstrap_resamples:
        drawn = rng.integers(0, len(members), len(members))
        rows = np.concatenate([members[i] for i in drawn])
        if y_true[rows].min() != y_true[rows].max():
            values.append(statistic(y_true[rows], probability[rows]))
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return Estimate(statistic(y_true, probability), float(low), float(high))


def evaluate(
    y_true: Labels,
    probability: Probabilities,
    group: NDArray[np.str_],
    threshold: float,
    params: EvaluateParams,
    *,
    intervals: bool,
) -> dict[str, Estimate]:
    """All figures of one split.

    Args:
        y_true: (N,) 0 or 1; both must occur.
        probability: (N,) of class 1.
        group: (N,) the unit that is resampled.
        threshold: probability from which an image counts as 1.
        params: section `evaluate`.
        intervals: whether to give intervals (not on training data).

    Returns:
        Figures by name, those of `repeated.FIGURES`, and `ece_floor` where there are intervals;
        an undefined one (precision without calls of 1, calibration slope where the classes are
        separated) is left out.

    Raises:
        ValueError: a class is missing.
    """
    if set(np.unique(y_true)) != {0, 1}:
        raise ValueError(f"labels are {np.unique(y_true).tolist()}; both classes (0, 1) are needed")
    repeats = Repeats.of_one(Sample(y_true, probability, probability >= threshold), group)
    found = figures(repeats, params, intervals=intervals)
    if not intervals:
        return found
    among = {"accuracy": y_true >= 0, "sensitivity": y_true == 1, "specificity": y_true == 0}
    for name, (hits, images) in proportions(confusion(y_true, probability, threshold)).items():
        clusters = len(np.unique(group[among[name]]))
        if len(np.unique(group)) == len(group) or hits in (0, images):
            found[name] = wilson(hits * clusters // images, clusters)
    return found
