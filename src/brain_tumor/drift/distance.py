"""How far an image lies from the training images, as the network sees them."""

import numpy as np
from numpy.typing import NDArray

_BLOCK = 512  # images at a time


def training_distance(
    features: NDArray[np.float32],
    is_training: NDArray[np.bool_],
    cluster: NDArray[np.str_],
    neighbours: int,
) -> NDArray[np.float64]:
    """Mean distance to the nearest training images of other clusters.

    Features are standardised by the training images (one that hardly varies keeps a floor of a
    hundredth of the median variance, as in the head), and the distance is per feature: 1 is one
    standard deviation in each.

    Args:
        features: of all images, (images, channels).
        is_training: whether the network was trained on it.
        cluster: of each image; copies and slices of one patient are no neighbours.
        neighbours: how many, where there are as many.

    Returns:
        For each image; infinite where there is no training image of another cluster.
    """
    training = features[is_training].astype(np.float64)
    variance = training.var(axis=0)
    scale = np.sqrt(np.maximum(variance, max(float(np.median(variance)) / 100, 1e-24)))
    points = (features - training.mean(axis=0)) / scale
    near, names = points[is_training], cluster[is_training]
    distances = np.full(len(points), np.inf)
    for start in range(0, len(points), _BLOCK):
        block = slice(start, start + _BLOCK)
        squared = _squared(points[block], near)
        squared[cluster[block, None] == names[None]] = np.inf
        nearest = np.sort(squared, axis=1)[:, :neighbours]
        found = np.isfinite(nearest)
        total = np.sqrt(np.where(found, nearest, 0) / points.shape[1]).sum(axis=1)
        counts = found.sum(axis=1)
        distances[block] = np.where(counts > 0, total / np.maximum(counts, 1), np.inf)
    return distances


def _squared(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    lengths = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None]
    return np.asarray(np.maximum(lengths - 2 * (a @ b.T), 0))
