"""Predictions of the same images in several repeats, and resamples of their clusters."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.estimate import CONFIDENCE, Estimate
from brain_tumor.model.resampled import Figure, Floats, Sample
from brain_tumor.settings import EvaluateParams

TAILS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Repeats:
    """Predictions of the same images in each repeat.

    Attributes:
        samples: of each repeat, images in the same order.
        member: int64 (n,), number of each image's cluster, from 0.
        paths: str (n,), name of each image.
    """

    samples: tuple[Sample, ...]
    member: NDArray[np.int64]
    paths: NDArray[np.str_]

    @classmethod
    def of_one(cls, sample: Sample, cluster: NDArray[np.str_]) -> Self:
        """One set of predictions; `cluster` (n,)."""
        member = np.unique(cluster, return_inverse=True)[1].astype(np.int64)
        return cls((sample,), member, np.arange(len(member)).astype(str))

    @classmethod
    def of_table(cls, table: pd.DataFrame) -> Self:
        """Columns as `repeated.evaluate_repeats` has them.

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

    def mean(self, figure: Figure, weights: Floats) -> Floats:
        """A figure, averaged over repeats: float64 (resamples,)."""
        found: Floats = np.mean([figure(sample, weights) for sample in self.samples], axis=0)
        return found

    def draw(self, params: EvaluateParams) -> Floats:
        """How often each image is in each resample: float64 (resamples, n).

        Clusters are drawn with replacement, as many as there are; a resample of one class only
        is drawn again. Where a class has a single cluster there is none: nothing varies by it.

        Raises:
            ValueError: a class is missing.
        """
        truth = self.samples[0].y_true
        if len(np.unique(truth)) < 2:
            raise ValueError("the images are of one class only; both are needed")
        if min(len(np.unique(self.member[truth == label])) for label in (0, 1)) < 2:
            return np.empty((0, len(truth)))
        rng = np.random.default_rng(params.seed)
        clusters = int(self.member.max()) + 1
        drawn = np.empty((params.bootstrap_resamples, len(truth)))
        for row in drawn:
            row[:] = 0.0
            while not row @ truth or not row @ (1 - truth):
                counts = np.bincount(rng.integers(0, clusters, clusters), minlength=clusters)
                row[:] = counts[self.member]
        return drawn


def estimate(compute: Callable[[Floats], Floats], weights: Floats) -> Estimate | None:
    """A figure with its percentile interval; None where it is undefined.

    Args:
        compute: from weights (resamples, n) to the figure, (resamples,).
        weights: of the resamples; those in which the figure is undefined are passed over. Without
            any there is no interval.
    """
    value = float(compute(np.ones((1, weights.shape[1])))[0])
    if np.isfinite(value) and not len(weights):
        return Estimate(value)
    values = compute(weights)
    if not np.isfinite(value) or not np.isfinite(values).any():
        return None
    low, high = np.nanquantile(values, TAILS)
    return Estimate(value, float(low), float(high))


def _sample(rows: pd.DataFrame) -> Sample:
    return Sample(
        rows["y"].to_numpy(np.int64),
        rows["probability"].to_numpy(np.float64),
        (rows["probability"] >= rows["threshold"]).to_numpy(np.bool_),
    )
