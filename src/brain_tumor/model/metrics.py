"""Figures of a binary classifier, with 95 % intervals: everything that is measured uses these.

Images of one cluster (copies of one another, slices of one patient) are not independent. So a
percentile bootstrap resamples whole clusters; all resamples are computed at once, as weights that
say how often each image was drawn. With all weights 1 the figures are those of scikit-learn (tests
compare them), a thousand times sooner than one call per resample.

Single proportions have Wilson's interval where every image is a cluster of its own; and, for as
many trials as there are clusters, where all images are right or all wrong, since resampling would
give no width then. The expected calibration error has none: it stands beside its simulated floor.

Over the repeats of a cross-validation a figure is computed in each repeat and averaged;
probabilities never are. Clusters are drawn once for all repeats: repeats are not new images.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from typing import Any, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from brain_tumor.errors import UserError
from brain_tumor.figure_text import with_interval
from brain_tumor.outputs import SPLITS, TEST, TRAIN, VAL
from brain_tumor.settings import POSITIVE, EvaluateParams

Labels = NDArray[np.int64]
Floats = NDArray[np.float64]
Plain = dict[str, float]
SplitFigures = Mapping[str, Mapping[str, Mapping[str, float]]]  # by split and figure: value, ends

CONFIDENCE = 0.95
TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)
BINS = 10  # of equal width, of the expected calibration error and the reliability diagram
SIMULATIONS = 2000  # of the floor of the expected calibration error
WILSON, WILSON_CLUSTERS, BOOTSTRAP = "Wilson", "Wilson, of clusters", "cluster bootstrap"
_PLAIN_DIGITS = 6
_BLOCK = 256  # resamples drawn at once
_HELD = 4_000_000  # numbers of a block of resamples, which bounds the memory
_NEAREST = 1e-6  # in a logit a probability of 0 or 1 counts as this far from it
_STEPS, _LONGEST, _CONVERGED = 60, 5.0, 1e-8  # of Newton; without separation ten steps suffice
_FLAT = 1e-12  # of the determinant: all probabilities are equal, or the classes are separated
_STEEPEST = 1e3  # a slope beyond this: they are separated
_RATES = EvaluateParams(seed=0, bootstrap_resamples=2000)
# What `dvc metrics` and `dvc exp show` compare; a table of more does not fit a terminal.
HEADLINE = ("accuracy", "auroc", "log_loss")
_HEADLINE_DIGITS = 4  # another machine differs by 1e-5, which is no difference


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; None where there is none, as on training figures."""

    value: float
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> Plain:
        """`value`, `low` and `high`, without those that are missing."""
        return {name: value for name, value in asdict(self).items() if value is not None}


@dataclass(frozen=True)
class Rate:
    """A proportion, 0 to 1, and its 95 % interval: how many hits of how many images.

    `clusters` says how many of the images are independent, `interval` how the interval is got:
    `WILSON`, `WILSON_CLUSTERS` or `BOOTSTRAP`.
    """

    value: float
    low: float
    high: float
    hits: int
    images: int
    clusters: int
    interval: str

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """As `0.93 (0.85 to 0.97)`."""
        return with_interval(self.value, self.low, self.high)


def plain(estimates: Mapping[str, Estimate]) -> dict[str, Plain]:
    """As JSON holds them: rounded value, low and high; undefined figures and ends are left out."""
    rounded = {
        name: {
            part: round(float(number), _PLAIN_DIGITS)
            for part, number in estimate.as_dict().items()
            if isfinite(number)
        }
        for name, estimate in estimates.items()
    }
    return {name: figure for name, figure in rounded.items() if "value" in figure}


# Resampling.


@dataclass(frozen=True)
class Resamples:
    """How often each of n images is in each resample of its clusters, drawn block by block.

    Iterating gives blocks, float64 (resamples, n), and draws the same ones each time. Clusters are
    drawn with replacement, as many as there are. With `y_true` (n,) a resample of one class only
    is drawn again.

    Attributes:
        member: (n,) number of each image's cluster, from 0.
        seed: of the draws.
        count: how many resamples.
        y_true: (n,), None where any resample will do.
    """

    member: NDArray[np.int64]
    seed: int
    count: int
    y_true: Labels | None = None

    def __iter__(self) -> Iterator[Floats]:
        """Draw the resamples: all at once where they are small."""
        rng = np.random.default_rng(self.seed)
        rows = max(1, _HELD // len(self.member))
        for start in range(0, self.count, rows):
            block = np.empty((min(rows, self.count - start), len(self.member)))
            filled = 0
            while wanted := min(_BLOCK, len(block) - filled):
                weights = self._drawn(rng, wanted)
                block[filled : filled + len(weights)] = weights
                filled += len(weights)
            yield block

    def _drawn(self, rng: np.random.Generator, rows: int) -> Floats:
        """So many resamples, less those of one class."""
        clusters = int(self.member.max()) + 1
        drawn = rng.integers(0, clusters, (rows, clusters)) + clusters * np.arange(rows)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=rows * clusters).reshape(rows, clusters)
        weights = counts[:, self.member].astype(np.float64)
        if self.y_true is None:
            return weights
        return weights[(weights @ self.y_true > 0) & (weights @ (1 - self.y_true) > 0)]


def cluster_bootstrap(
    member: NDArray[np.int64], params: EvaluateParams, y_true: Labels | None = None
) -> Resamples:
    """Resamples as the parameters ask for."""
    return Resamples(member, params.seed, params.bootstrap_resamples, y_true)


Compute = Callable[[Floats], Floats]  # from weights (resamples, n) to a figure, (resamples,)


def estimates(
    computed: Mapping[str, Compute], weights: Floats | Resamples
) -> dict[str, Estimate | None]:
    """Figures with their percentile intervals, by name; None where one is undefined.

    Args:
        computed: how to compute each.
        weights: of resamples; those in which a figure is undefined are passed over, and without
            any resample there is no interval.
    """
    blocks, images = (
        (weights, len(weights.member))
        if isinstance(weights, Resamples)
        else ([weights], weights.shape[1])
    )
    once = np.ones((1, images))
    values = {name: float(compute(once)[0]) for name, compute in computed.items()}
    resampled: dict[str, list[Floats]] = {name: [] for name in computed}
    for block in blocks:
        for name, compute in computed.items():
            resampled[name].append(compute(block))
    return {
        name: _interval(values[name], np.concatenate([np.empty(0), *resampled[name]]))
        for name in computed
    }


def _interval(value: float, resampled: Floats) -> Estimate | None:
    if np.isfinite(value) and not len(resampled):
        return Estimate(value)
    if not np.isfinite(value) or not np.isfinite(resampled).any():
        return None
    low, high = np.nanquantile(resampled, TAILS)
    return Estimate(value, float(low), float(high))


def estimate(compute: Compute, weights: Floats | Resamples) -> Estimate | None:
    """One figure, as `estimates` gives it."""
    return estimates({"": compute}, weights)[""]


def wilson(hits: int, out_of: int) -> Estimate:
    """A proportion with its Wilson interval (scipy.stats.binomtest)."""
    from scipy.stats import binomtest

    interval = binomtest(hits, out_of).proportion_ci(CONFIDENCE, method="wilson")
    return Estimate(hits / out_of, float(interval.low), float(interval.high))


def rate(hit: NDArray[np.bool_], cluster: NDArray[Any]) -> Rate | None:
    """The share of images that are hits, by their cluster's names; None if there are no images."""
    hits, images = _by_cluster(hit, cluster)
    return _rate(hits, images, hit, WILSON if len(images) == len(hit) else WILSON_CLUSTERS)


def cluster_rate(hit: NDArray[np.bool_], cluster: NDArray[Any]) -> Rate | None:
    """The same with every cluster weighing as much as every other: the mean of their shares.

    Where within each cluster all are hits or none is, a cluster is one trial, and the interval is
    Wilson's.
    """
    hits, images = _by_cluster(hit, cluster)
    return _rate(hits / images, np.ones(len(images)), hit, WILSON_CLUSTERS)


def _by_cluster(hit: NDArray[np.bool_], cluster: NDArray[Any]) -> tuple[Floats, Floats]:
    """Hits and images of each cluster."""
    member = np.unique(cluster, return_inverse=True)[1]
    hits = np.bincount(member, weights=hit).astype(np.float64)
    return hits, np.bincount(member).astype(np.float64)


def _rate(hits: Floats, totals: Floats, hit: NDArray[np.bool_], exact: str) -> Rate | None:
    """Hits over totals, both of each cluster; `exact` names the interval where it is Wilson's."""
    if not len(totals):
        return None
    trials = hits / totals  # each a success or a failure, or Wilson's interval does not hold
    if set(np.unique(trials)) <= {0.0, 1.0} and (totals.max() == 1 or np.ptp(trials) == 0):
        share, interval = wilson(int(trials.sum()), len(totals)), exact
    else:
        weights = cluster_bootstrap(np.arange(len(totals)), _RATES)
        share = estimate(lambda w: (w @ hits) / (w @ totals), weights) or Estimate(np.nan)
        interval = BOOTSTRAP
    if share.low is None or share.high is None:
        raise ValueError(f"no interval of {int(hit.sum())} in {len(hit)}")
    ends = (share.value, share.low, share.high)
    return Rate(*ends, int(hit.sum()), len(hit), len(totals), interval)


# Figures of one set of predictions, for many resamples at once; float64 (resamples,), NaN where a
# figure is undefined.


@dataclass(frozen=True)
class Sample:
    """Truth (n,) of n images, 0 or 1, their probability of 1, and whether they are called 1."""

    y_true: Labels
    probability: Floats
    called: NDArray[np.bool_]


Statistic = Callable[[Sample, Floats], Floats]


def _ratio(hits: Floats, totals: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.asarray(hits / totals)


def _share(sample: Sample, weights: Floats, truth: int) -> Floats:
    """Share of the images of a class that are called what they are."""
    among = sample.y_true == truth
    return _ratio(weights @ (among & (sample.called == truth)), weights @ among)


def _mean(values: Floats, weights: Floats) -> Floats:
    return np.asarray((weights @ values) / weights.sum(axis=1))


def _f1(sample: Sample, weights: Floats) -> Floats:
    """Harmonic mean of precision and sensitivity."""
    truth = sample.y_true == 1
    hits = weights @ (truth & sample.called)
    return _ratio(2 * hits, weights @ truth + weights @ sample.called)


def _log_loss(sample: Sample, weights: Floats) -> Floats:
    """Mean binary cross-entropy in nats."""
    right = np.where(sample.y_true == 1, sample.probability, 1.0 - sample.probability)
    return _mean(-np.log(np.maximum(right, np.finfo(np.float64).eps)), weights)


def _auroc(sample: Sample, weights: Floats) -> Floats:
    """Area under the receiver operating characteristic: P(a 1 ranks above a 0), ties half."""
    ones, zeros = _by_value(sample, weights)
    below = np.cumsum(zeros, axis=1) - zeros
    pairs = ones.sum(axis=1) * zeros.sum(axis=1)
    return _ratio((ones * (below + zeros / 2)).sum(axis=1), pairs)


def _auprc(sample: Sample, weights: Floats) -> Floats:
    """Average precision, the step-wise area under precision over recall."""
    ones, zeros = (part[:, ::-1] for part in _by_value(sample, weights))
    hits, calls = np.cumsum(ones, axis=1), np.cumsum(ones + zeros, axis=1)
    at_value = np.where(calls > 0, _ratio(hits, calls), 0.0)
    return _ratio((ones * at_value).sum(axis=1), ones.sum(axis=1))


def _by_value(sample: Sample, weights: Floats) -> tuple[Floats, Floats]:
    """Weights of ones and of zeros at each distinct probability, ascending."""
    order = np.argsort(sample.probability, kind="stable")
    starts = np.unique(sample.probability[order], return_index=True)[1]
    truth, ordered = sample.y_true[order], weights[:, order]
    ones, zeros = (np.add.reduceat(ordered * (truth == label), starts, axis=1) for label in (1, 0))
    return ones, zeros


def recalibrated(sample: Sample, weights: Floats) -> tuple[Floats, Floats]:
    """Intercept and slope of logit P(y = 1) = a + b logit(p) (Cox 1958), by Newton's method.

    0 and 1 are ideal; a slope below 1 means that probabilities are too sure. Undefined (NaN) where
    the classes are separated or all probabilities are equal.
    """
    x = logit(np.clip(sample.probability, _NEAREST, 1.0 - _NEAREST))
    ones = np.ones_like(x)
    beta, undefined = np.zeros((2, len(weights))), np.zeros(len(weights), np.bool_)
    for _ in range(_STEPS):
        fitted = expit(beta[0][:, None] + beta[1][:, None] * x)
        residual, curvature = weights * (sample.y_true - fitted), weights * fitted * (1 - fitted)
        a, b, c = (curvature @ term for term in (ones, x, x * x))
        determinant = a * c - b * b
        undefined |= determinant <= _FLAT * np.maximum(a * c, _FLAT)
        undefined |= np.abs(beta[1]) > _STEEPEST
        step = np.stack([c * (residual @ ones) - b * (residual @ x),
                         a * (residual @ x) - b * (residual @ ones)])  # fmt: skip
        step = np.where(undefined, 0.0, step / np.where(undefined, 1.0, determinant))
        beta += np.clip(step, -_LONGEST, _LONGEST)
        if np.abs(step).max(initial=0.0) < _CONVERGED:
            break
    undefined |= np.abs(step).max(axis=0) > _CONVERGED
    beta[:, undefined] = np.nan
    return beta[0], beta[1]


def _calibration_error(y_true: Floats, probability: Floats, weights: Floats) -> Floats:
    """Mean over bins, by weight, of |share of 1 - mean probability|; `y_true` (resamples, n)."""
    inside = np.eye(BINS)[bins_of(probability)]
    gaps = np.abs((weights * (y_true - probability)) @ inside).sum(axis=1)
    return np.asarray(gaps / weights.sum(axis=1))


def bins_of(probability: Floats) -> NDArray[np.int64]:
    """Number of the bin of each probability, 0 to 9; 1.0 is in the last."""
    return np.minimum((probability * BINS).astype(np.int64), BINS - 1)


def ece_floor(
    predicted: Sequence[tuple[Floats, NDArray[np.int64]]], params: EvaluateParams
) -> Estimate:
    """Mean expected calibration error of labels drawn by the probabilities, with its 95 % range.

    Args:
        predicted: of each repeat, probabilities (n,) and numbers of their images (n,), from 0: an
            image's label is the same in all repeats.
        params: seed of the simulation.
    """
    rng = np.random.default_rng(params.seed)
    images = 1 + max(int(places.max()) for _, places in predicted)
    rows, blocks = max(1, _HELD // images), []
    for start in range(0, SIMULATIONS, rows):
        uniform = rng.random((min(rows, SIMULATIONS - start), images))
        repeats = [
            _calibration_error(
                (uniform[:, places] < probability).astype(np.float64),
                probability,
                np.ones((1, len(probability))),
            )
            for probability, places in predicted
        ]
        blocks.append(np.mean(repeats, axis=0))
    errors = np.concatenate(blocks)
    low, high = np.quantile(errors, TAILS)
    return Estimate(float(errors.mean()), float(low), float(high))


FIGURES: dict[str, Statistic] = {
    "accuracy": lambda sample, weights: _mean(sample.called == (sample.y_true == 1), weights),
    "balanced_accuracy": lambda sample, weights: (
        (_share(sample, weights, 1) + _share(sample, weights, 0)) / 2
    ),
    "sensitivity": lambda sample, weights: _share(sample, weights, 1),
    "specificity": lambda sample, weights: _share(sample, weights, 0),
    "precision": lambda sample, weights: _ratio(
        weights @ ((sample.y_true == 1) & sample.called), weights @ sample.called
    ),
    "f1": _f1,
    "auroc": _auroc,
    "auprc": _auprc,
    "log_loss": _log_loss,
    # Mean squared difference of probability and truth (Brier 1950).
    "brier": lambda sample, weights: _mean((sample.probability - sample.y_true) ** 2, weights),
    "calibration_slope": lambda sample, weights: recalibrated(sample, weights)[1],
    "calibration_intercept": lambda sample, weights: recalibrated(sample, weights)[0],
    # Expected calibration error over ten bins of equal width (Naeini 2015).
    "ece": lambda sample, weights: _calibration_error(
        sample.y_true[None].astype(np.float64), sample.probability, weights
    ),
}


# Figures of predictions, with their intervals.


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of the same images in each repeat of a cross-validation, or in one.

    Attributes:
        samples: of each repeat, images in the same order.
        member: int64 (n,), number of each image's cluster, from 0.
        paths: str (n,), name of each image.
    """

    samples: tuple[Sample, ...]
    member: NDArray[np.int64]
    paths: NDArray[np.str_]

    @classmethod
    def single(cls, sample: Sample, cluster: NDArray[np.str_]) -> Self:
        """One set of predictions; `cluster` (n,)."""
        member = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
        return cls((sample,), member, np.arange(len(member)).astype(str))

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Self:
        """Columns as `evaluate_repeats` has them.

        Raises:
            ValueError: a repeat lacks an image, has one twice, or labels or clusters differ.
        """
        parts = [part.sort_values("path") for _, part in table.groupby("repeat")]
        for part in parts:
            for column in ("path", "y", "cluster"):
                if part[column].tolist() != parts[0][column].tolist():
                    raise ValueError(f"`{column}` is not the same in every repeat")
        if parts[0]["path"].duplicated().any():
            raise ValueError("an image is predicted twice in a repeat")
        member = np.unique(parts[0]["cluster"].to_numpy(str), return_inverse=True)[1]
        samples = tuple(_sample(part) for part in parts)
        return cls(samples, member.astype(np.int64), parts[0]["path"].to_numpy(str))

    def mean(self, figure: Statistic, weights: Floats) -> Floats:
        """A figure, averaged over repeats: float64 (resamples,)."""
        return np.asarray(np.mean([figure(sample, weights) for sample in self.samples], axis=0))

    def draw(self, params: EvaluateParams) -> Resamples:
        """Resamples with both classes; none where a class has a single cluster: nothing varies.

        Raises:
            UserError: a class is missing.
        """
        truth = self.samples[0].y_true
        if len(np.unique(truth)) < 2:
            raise UserError("the images are of one class only; both are needed")
        if min(len(np.unique(self.member[truth == label])) for label in (0, 1)) < 2:
            return Resamples(self.member, params.seed, 0)
        return cluster_bootstrap(self.member, params, truth)

    def figures(self, params: EvaluateParams, *, intervals: bool) -> dict[str, Estimate]:
        """All of `FIGURES` that are defined, and `ece_floor` where there are intervals.

        `ece_floor` is what `ece` would be were every probability exactly right. `ece` itself has
        no interval: it is an absolute value, which the repeated images of a resample raise, so
        that percentiles may lie above it.

        Raises:
            UserError: a class is missing.
        """
        if not intervals:
            once = np.ones((1, len(self.member)))
            values = {name: float(self.mean(figure, once)[0]) for name, figure in FIGURES.items()}
            return {name: Estimate(value) for name, value in values.items() if np.isfinite(value)}
        means = {name: partial(self.mean, figure) for name, figure in FIGURES.items()}
        figures = estimates(means, self.draw(params))
        everywhere = np.arange(len(self.member))
        floor = ece_floor([(sample.probability, everywhere) for sample in self.samples], params)
        return with_floor(figures, floor)


def _sample(rows: pd.DataFrame) -> Sample:
    return Sample(
        rows["y"].to_numpy(np.int64),
        rows["probability"].to_numpy(np.float64),
        (rows["probability"] >= rows["threshold"]).to_numpy(np.bool_),
    )


def with_floor(figures: Mapping[str, Estimate | None], floor: Estimate) -> dict[str, Estimate]:
    """The figures that are defined, and `ece_floor` in place of an interval of `ece`."""
    defined = {name: figure for name, figure in figures.items() if figure}
    return defined | {"ece": Estimate(defined["ece"].value), "ece_floor": floor}


def evaluate(
    y_true: Labels,
    probability: Floats,
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
        group: (N,) the cluster, which is resampled.
        threshold: probability from which an image counts as 1.
        params: seed and number of resamples.
        intervals: whether to give intervals (not on training data).

    Returns:
        By name those of `FIGURES`, and `ece_floor` where there are intervals; an undefined one
        (precision without calls of 1, calibration slope where the classes are separated) is left
        out.

    Raises:
        UserError: a class is missing.
    """
    if set(np.unique(y_true)) != {0, 1}:
        raise UserError(f"labels are {np.unique(y_true).tolist()}; both classes (0, 1) are needed")
    predicted = OutOfFold.single(Sample(y_true, probability, probability >= threshold), group)
    figures = predicted.figures(params, intervals=intervals)
    if not intervals:
        return figures
    among = {"accuracy": y_true >= 0, "sensitivity": y_true == 1, "specificity": y_true == 0}
    for name, (hits, images) in proportions(confusion(y_true, probability, threshold)).items():
        clusters = len(np.unique(group[among[name]]))
        if len(np.unique(group)) == len(group) or hits in (0, images):
            figures[name] = wilson(hits * clusters // images, clusters)
    return figures


def evaluate_splits(table: pd.DataFrame, threshold: float, params: EvaluateParams) -> SplitFigures:
    """All figures of each split; val and test have 95 % intervals.

    The table has columns split, label, probability (calibrated) and cluster.
    """
    results = {}
    for split in SPLITS:
        clusters = table.loc[table["split"] == split, "cluster"].to_numpy(str)
        estimates = evaluate(
            *answers_of(table, split), clusters, threshold, params, intervals=split != TRAIN
        )
        results[split] = {key: estimate.as_dict() for key, estimate in estimates.items()}
    return results


def answers_of(table: pd.DataFrame, split: str) -> tuple[Labels, Floats]:
    """Truth (1: tumour) and probability of a split of the table of `evaluate_splits`."""
    rows = table[table["split"] == split]
    truth = np.asarray(rows["label"] == POSITIVE, dtype=np.int64)
    return truth, rows["probability"].to_numpy(np.float64)


def headline(results: SplitFigures) -> dict[str, Plain]:
    """The few figures of val and test that people compare, rounded."""
    return {
        split: {
            key: round(results[split][key]["value"], _HEADLINE_DIGITS)
            for key in HEADLINE
            if key in results[split]
        }
        for split in (VAL, TEST)
    }


def evaluate_repeats(table: pd.DataFrame, params: EvaluateParams) -> dict[str, Estimate]:
    """All figures of out-of-fold predictions, with 95 % intervals (but for `ece`).

    Args:
        table: columns path, y (0 or 1), cluster, repeat, fold, probability and threshold (each
            row's own: from it on an image is called 1); every path once in each repeat.
        params: seed and number of resamples.

    Returns:
        By name: those of `OutOfFold.figures`, and `auroc_per_fold`, the mean over folds of all
        repeats (each fold's network has a scale of its own, which pooling mixes). Undefined ones
        are left out.

    Raises:
        UserError: a class is missing.
    """
    predicted = OutOfFold.of_table(table)
    place = {path: number for number, path in enumerate(predicted.paths)}
    folds = [
        (_sample(fold), fold["path"].map(place).to_numpy(np.int64))
        for _, repeat in table.groupby("repeat")
        for _, fold in repeat.groupby("fold")
    ]

    def per_fold(weights: Floats) -> Floats:
        areas = [_auroc(sample, weights[:, rows]) for sample, rows in folds]
        with np.errstate(invalid="ignore"):
            return np.asarray(np.nansum(areas, axis=0) / np.isfinite(areas).sum(axis=0))

    figures = predicted.figures(params, intervals=True)
    area = estimate(per_fold, predicted.draw(params))
    return figures | ({"auroc_per_fold": area} if area else {})


def paired_difference(
    ours: pd.DataFrame, theirs: pd.DataFrame, figure: str, params: EvaluateParams
) -> Estimate:
    """A figure of ours minus the same of theirs, both of the same resamples.

    Both tables are as `evaluate_repeats` takes them, `figure` is a name of `FIGURES`.

    Raises:
        ValueError: the images or clusters differ, or the figure is undefined in one of them.
    """
    a, b = OutOfFold.of_table(ours), OutOfFold.of_table(theirs)
    if not np.array_equal(a.paths, b.paths) or not np.array_equal(a.member, b.member):
        raise ValueError("the two tables have different images or clusters: they are not paired")
    compute = FIGURES[figure]
    difference = estimate(lambda w: a.mean(compute, w) - b.mean(compute, w), a.draw(params))
    if difference is None:
        raise UserError(f"{figure} is undefined in one of the tables: there is no difference")
    return difference


# Single numbers, as scikit-learn computes them.


def confusion(y_true: Labels, probability: Floats, threshold: float) -> NDArray[np.int64]:
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


def balanced_accuracy(y_true: Labels, probability: Floats, threshold: float) -> float:
    """Mean of sensitivity and specificity."""
    from sklearn.metrics import balanced_accuracy_score

    return float(balanced_accuracy_score(y_true, probability >= threshold))


def auroc(y_true: Labels, probability: Floats) -> float:
    """Area under the receiver operating characteristic."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(y_true, probability))


def log_loss(y_true: Labels, probability: Floats) -> float:
    """Mean binary cross-entropy in nats; a constant 0.5 has 0.693."""
    from sklearn.metrics import log_loss as sklearn_log_loss

    return float(sklearn_log_loss(y_true, probability, labels=[0, 1]))
