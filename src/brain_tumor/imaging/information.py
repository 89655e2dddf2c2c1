"""Normalised mutual information of binned grey levels."""

import numpy as np
from scipy import ndimage

from brain_tumor.imaging.atlas import ATLAS_PX_MM

BINS = 24
_TOP_PERCENT = 99.0  # brighter pixels share the last bin
_RIM_MM = 10.0  # of background around the head that counts


def region(head: np.ndarray) -> np.ndarray:
    """The pixels of a slice that count: its head and a rim of background, bool (side, side)."""
    distance_mm = ndimage.distance_transform_edt(~head) * ATLAS_PX_MM
    near: np.ndarray = distance_mm <= _RIM_MM
    return near


def binned(image: np.ndarray) -> np.ndarray:
    """Grey levels to bins 0 to `BINS` - 1 of equal width below the 99th percentile, int64."""
    top = max(float(np.percentile(image, _TOP_PERCENT)), 1.0)
    bins: np.ndarray = np.clip(image * (BINS / top), 0, BINS - 1).astype(np.int64)
    return bins


def information(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Normalised mutual information, 0 (unrelated) to 1 (one-to-one).

    2 I(a; b) / (H(a) + H(b)): the normalisation makes slices with much and with little structure
    comparable. Source: Witten & Frank, symmetric uncertainty.

    Args:
        first: int64 (n,), bins of the atlas slice.
        second: int64 (poses, n), bins of the picture under each pose.

    Returns:
        float64 (poses,).
    """
    poses, count = second.shape
    offsets = np.arange(poses)[:, None] * BINS * BINS
    codes = (offsets + first[None, :] * BINS + second).ravel()
    joint = np.bincount(codes, minlength=poses * BINS * BINS).reshape(poses, BINS, BINS) / count
    total = _entropy(joint.sum(axis=2)) + _entropy(joint.sum(axis=1))
    shared = total - _entropy(joint.reshape(poses, -1))
    normalised: np.ndarray = 2.0 * shared / np.maximum(total, 1e-12)
    return normalised


def _entropy(probability: np.ndarray) -> np.ndarray:
    """Shannon entropy in nats along the last axis."""
    logarithm = np.log(probability, out=np.zeros_like(probability), where=probability > 0)
    entropy: np.ndarray = -(probability * logarithm).sum(axis=-1)
    return entropy
