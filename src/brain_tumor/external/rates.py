"""Proportions of slices that come in clusters, with 95 % intervals."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.metrics import CONFIDENCE, wilson

SEED, RESAMPLES = 0, 2000
WILSON, WILSON_CLUSTERS, BOOTSTRAP = "Wilson", "Wilson, of clusters", "cluster bootstrap"


@dataclass(frozen=True)
class Rate:
    """A proportion.

    Attributes:
        value: 0 to 1.
        low: lower end of its 95 % interval.
        high: upper end.
        hits: how many.
        images: of how many.
        clusters: how many of these are independent.
        interval: how it was got.
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
        return f"{self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def rate(hit: NDArray[np.bool_], cluster: NDArray[Any]) -> Rate | None:
    """The share of slices that are hits.

    The interval is Wilson's where every slice is a cluster of its own, else the percentile
    interval over resampled clusters. Where all slices are hits, or none is, resampling gives no
    width: Wilson's for as many clusters then.

    Args:
        hit: (N,).
        cluster: (N,) names.

    Returns:
        None if there are no slices.
    """
    sums, sizes = _by_cluster(hit, cluster)
    if not len(sizes):
        return None
    hits, images = int(sums.sum()), int(sizes.sum())
    if images == len(sizes):
        return _rate(hits / images, *_wilson(hits, images), hit, sizes, WILSON)
    if hits in (0, images):
        low, high = _wilson(len(sizes) if hits else 0, len(sizes))
        return _rate(hits / images, low, high, hit, sizes, WILSON_CLUSTERS)
    drawn = _resampled(len(sizes))
    low, high = _tails(sums[drawn].sum(axis=1) / sizes[drawn].sum(axis=1))
    return _rate(hits / images, low, high, hit, sizes, BOOTSTRAP)


def cluster_rate(hit: NDArray[np.bool_], cluster: NDArray[Any]) -> Rate | None:
    """The same with every cluster weighing as much as every other: the mean of their shares.

    Where within each cluster all are hits or none is, a cluster is one trial, and the interval is
    Wilson's.
    """
    sums, sizes = _by_cluster(hit, cluster)
    if not len(sizes):
        return None
    shares = sums / sizes
    value = float(shares.mean())
    if set(np.unique(shares)) <= {0.0, 1.0}:
        low, high = _wilson(int(shares.sum()), len(shares))
        return _rate(value, low, high, hit, sizes, WILSON_CLUSTERS)
    low, high = _tails(shares[_resampled(len(shares))].mean(axis=1))
    return _rate(value, low, high, hit, sizes, BOOTSTRAP)


def _by_cluster(
    hit: NDArray[np.bool_], cluster: NDArray[Any]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Hits and slices of each cluster."""
    _, index = np.unique(cluster, return_inverse=True)
    hits = np.bincount(index, weights=hit).astype(np.float64)
    return hits, np.bincount(index).astype(np.int64)


def _resampled(clusters: int) -> NDArray[np.int64]:
    """Indices of clusters, (RESAMPLES, clusters)."""
    return np.random.default_rng(SEED).integers(0, clusters, (RESAMPLES, clusters))


def _tails(values: NDArray[np.float64]) -> tuple[float, float]:
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(values, [tail, 1 - tail])
    return float(low), float(high)


def _wilson(hits: int, out_of: int) -> tuple[float, float]:
    estimate = wilson(hits, out_of)
    if estimate.low is None or estimate.high is None:
        raise ValueError(f"no interval of {hits} in {out_of}")
    return estimate.low, estimate.high


def _rate(
    value: float,
    low: float,
    high: float,
    hit: NDArray[np.bool_],
    sizes: NDArray[np.int64],
    interval: str,
) -> Rate:
    return Rate(value, low, high, int(hit.sum()), len(hit), len(sizes), interval)
