"""Outputs of frozen parts of the network, computed once and trained on many times."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.saved import to_unit
from brain_tumor.progress import track

BATCH = 32


def trunk_features(frozen: Any, images: NDArray[np.uint8], description: str) -> NDArray[np.float32]:
    """Feature maps of images at the cut.

    Args:
        frozen: float32 [0, 1] (N, size, size, 1) to maps (N, h, w, channels).
        images: uint8 (N, size, size).
        description: what the progress bar says.

    Returns:
        (N, h, w, channels) in the precision of `frozen`; about 0.9 MB an image at 299 px.
    """
    starts = range(0, len(images), BATCH)
    return np.concatenate(
        [
            np.asarray(frozen.predict_on_batch(to_unit(images[start : start + BATCH])))
            for start in track(starts, description, total=len(starts))
        ]
    )


def pooled(pool: Any, tuned: Any, maps: NDArray[np.float32]) -> NDArray[np.float32]:
    """Vectors the head takes, from feature maps at the cut; float32 (N, features)."""
    return np.concatenate(
        [
            np.asarray(pool(tuned(maps[start : start + BATCH], training=False)), dtype=np.float32)
            for start in range(0, len(maps), BATCH)
        ]
    )
