"""Figures of repeated cross-validation: averaged over repeats, clusters resampled jointly.

A resample draws clusters (images that are copies of one another or slices of one patient) once
for all repeats: repeats are not new images. A figure is computed in each repeat and averaged;
probabilities never are. With one repeat it is the ordinary cluster bootstrap.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model import resampled
from brain_tumor.model import resampled_calibration as calibrated
from brain_tumor.model.estimate import Estimate
from brain_tumor.model.repeats import TAILS, Repeats, estimate
from brain_tumor.model.resampled import Figure, Floats, Sample
from brain_tumor.settings import EvaluateParams

Places = NDArray[np.int64]
FIGURES: dict[str, Figure] = {
    "accuracy": resampled.accuracy,
    "balanced_accuracy": resampled.balanced_accuracy,
    "sensitivity": resampled.sensitivity,
    "specificity": resampled.specificity,
    "precision": resampled.precision,
    "f1": resampled.f1,
    "auroc": resampled.auroc,
    "auprc": resampled.auprc,
    "log_loss": resampled.log_loss,
    "brier": resampled.brier,
    "calibration_slope": calibrated.calibration_slope,
    "calibration_intercept": calibrated.calibration_intercept,
    "ece": calibrated.ece,
}


def evaluate_repeats(table: pd.DataFrame, params: EvaluateParams) -> dict[str, Estimate]:
    """All figures of out-of-fold predictions, with 95 % intervals (but for `ece`: see `figures`).

    Args:
        table: columns path, y (0 or 1), cluster, repeat, fold, probability and threshold (each
            row's own: from it on an image is called 1); every path once in each repeat.
        params: seed and number of resamples.

    Returns:
        By name: those of `figures`, and `auroc_per_fold`, the mean over folds of all repeats (each
        fold's network has a scale of its own, which pooling mixes). Undefined ones are left out.

    Raises:
        ValueError: a class is missing.
    """
    repeats = Repeats.of_table(table)
    place = {path: number for number, path in enumerate(repeats.paths)}
    folds = [
        (repeats.samples[number], part["path"].map(place).to_numpy(np.int64))
        for number, (_, repeat) in enumerate(table.groupby("repeat"))
        for _, part in repeat.groupby("fold")
    ]

    def per_fold(weights: Floats) -> Floats:
        each = [resampled.auroc(part(one, rows), weights[:, rows]) for one, rows in folds]
        present = np.isfinite(each)
        with np.errstate(invalid="ignore"):
            found: Floats = np.nansum(each, axis=0) / present.sum(axis=0)
        return found

    found = estimate(per_fold, repeats.draw(params))
    return figures(repeats, params, intervals=True) | ({"auroc_per_fold": found} if found else {})


def part(sample: Sample, rows: np.ndarray) -> Sample:
    """Some images of a sample."""
    return Sample(sample.y_true[rows], sample.probability[rows], sample.called[rows])


def paired_difference(
    ours: pd.DataFrame, theirs: pd.DataFrame, figure: str, params: EvaluateParams
) -> Estimate:
    """A figure of ours minus the same of theirs, both of the same resamples.

    Args:
        ours: see `evaluate_repeats`.
        theirs: the same images, clusters and repeats.
        figure: a name of `FIGURES`.
        params: seed and number of resamples.

    Raises:
        ValueError: the images or clusters differ, or the figure is undefined in one of them.
    """
    one, two = Repeats.of_table(ours), Repeats.of_table(theirs)
    if not np.array_equal(one.paths, two.paths) or not np.array_equal(one.member, two.member):
        raise ValueError("the two tables have different images or clusters: they are not paired")
    compute = FIGURES[figure]
    found = estimate(lambda w: one.mean(compute, w) - two.mean(compute, w), one.draw(params))
    if found is None:
        raise ValueError(f"{figure} is undefined in one of the tables: there is no difference")
    return found


def figures(repeats: Repeats, params: EvaluateParams, *, intervals: bool) -> dict[str, Estimate]:
    """All of `FIGURES` that are defined, and `ece_floor` where there are intervals.

    `ece_floor` is what `ece` would be were every probability exactly right: mean and 95 % range
    of simulated labels. `ece` itself has no interval: it is an absolute value, which the repeated
    images of a resample raise, so that percentiles may lie above it.

    Raises:
        ValueError: a class is missing.
    """
    if not intervals:
        once = np.ones((1, len(repeats.member)))
        values = {name: float(repeats.mean(one, once)[0]) for name, one in FIGURES.items()}
        return {name: Estimate(value) for name, value in values.items() if np.isfinite(value)}
    weights = repeats.draw(params)
    found = {name: estimate(partial(repeats.mean, one), weights) for name, one in FIGURES.items()}
    present = {name: one for name, one in found.items() if one}
    everywhere = np.arange(len(repeats.member))
    floor = ece_floor([(one.probability, everywhere) for one in repeats.samples], params)
    return present | {"ece": Estimate(present["ece"].value), "ece_floor": floor}


def ece_floor(predicted: Sequence[tuple[Floats, Places]], params: EvaluateParams) -> Estimate:
    """Mean expected calibration error of labels drawn by the probabilities, with its 95 % range.

    Args:
        predicted: of each repeat, probabilities (n,) and numbers of their images (n,), from 0: an
            image's label is the same in all repeats.
        params: seed of the simulation.
    """
    rng = np.random.default_rng(params.seed)
    images = 1 + max(int(places.max()) for _, places in predicted)
    uniform = rng.random((calibrated.SIMULATIONS, images))
    simulated = np.mean(
        [calibrated.ece_simulated(said, uniform[:, places]) for said, places in predicted], axis=0
    )
    low, high = np.quantile(simulated, TAILS)
    return Estimate(float(simulated.mean()), float(low), float(high))
