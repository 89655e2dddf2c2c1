"""Points as one Gaussian cloud, and how far others lie from it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

MIN_CLUSTERS = 4


@dataclass(frozen=True)
class Cloud:
    """A Gaussian of shrunk covariance (1 - s) S + s v I, by the principal axes of S.

    Attributes:
        centre: mean of each channel, float64 (channels,).
        scale: what each channel is divided by, float64 (channels,).
        axes: orthonormal rows, float32 (rank, channels).
        variances: along the axes, shrunk, float64 (rank,).
        rest: variance in all other directions, float64 ().
    """

    centre: Floats
    scale: Floats
    axes: NDArray[np.float32]
    variances: Floats
    rest: Floats

    def distance(self, points: NDArray[np.float32]) -> Floats:
        """Mahalanobis distance over the root of the number of channels, float64 (N,).

        Args:
            points: (N, channels).

        Raises:
            ValueError: another number of channels.
        """
        if points.shape[1] != len(self.centre):
            raise ValueError(
                f"{points.shape[1]} features an image, {len(self.centre)} at the fit: "
                "they come from another network"
            )
        z = (points.astype(np.float64) - self.centre) / self.scale
        along = z @ self.axes.T.astype(np.float64)
        off = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / self.variances).sum(axis=1) + off / float(self.rest)
        return np.asarray(np.sqrt(squared / points.shape[1]))


def fit_cloud(points: NDArray[np.float32]) -> Cloud:
    """The cloud of points, float (N, channels), N at least 2.

    A channel that hardly varies keeps a tenth of the median standard deviation as its scale, so
    that it does not decide alone.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    exact = points.astype(np.float64)
    centre, variance = exact.mean(axis=0), exact.var(axis=0)
    scale = np.sqrt(np.maximum(variance, max(float(np.median(variance)) / 100, 1e-24)))
    z = (exact - centre) / scale
    shrunk = float(ledoit_wolf_shrinkage(z, assume_centered=True))
    _, lengths, axes = np.linalg.svd(z, full_matrices=False)
    round_ = shrunk * float((z**2).sum()) / z.size
    variances = (1 - shrunk) * lengths**2 / len(z) + round_
    floor = max(round_, 1e-12)
    return Cloud(
        centre, scale, axes.astype(np.float32), np.maximum(variances, floor), np.asarray(floor)
    )


def held_out_distance(
    points: NDArray[np.float32], clusters: NDArray[np.str_], folds: int
) -> Floats:
    """Distance of each point from the cloud of those it has nothing to do with, float64 (N,).

    Args:
        points: (N, channels).
        clusters: names, (N,); a cluster is never divided.
        folds: parts the points are held out in, at most one for each cluster.

    Raises:
        ValueError: `clusters` has another length, or names too few.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    if len(clusters) != len(points) or len(names) < MIN_CLUSTERS:
        raise ValueError(
            f"{len(points)} training images, clusters named for {len(clusters)}, {len(names)} "
            f"different clusters: at least {MIN_CLUSTERS} are needed to tell what is unlike them"
        )
    fold = cluster % min(folds, len(names))
    distance = np.zeros(len(points))
    for number in np.unique(fold):
        distance[fold == number] = fit_cloud(points[fold != number]).distance(
            points[fold == number]
        )
    return distance
