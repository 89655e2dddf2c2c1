"""The probability of a tumour and what the head makes it from, in one pass over the images."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.saved import BATCH, to_unit

_POOLING = ("GlobalAveragePooling2D", "Flatten")  # see `head.pooling`


def predict_with_features(
    network: Any, images: NDArray[np.uint8]
) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """Probabilities, the same as `saved.predict_proba` gives, and pooled features.

    Args:
        network: as `saved.load` gives it, with either head.
        images: uint8 (N, size, size).

    Returns:
        Probability of a tumour, float64 (N,), and the global average of the feature maps the
        head sits on, float32 (N, channels).

    Raises:
        ValueError: the network has no pooling of maps.
    """
    import keras

    to_unit(images[:0])  # wrong images are named before any work
    maps = _maps(network)
    # With a name: one that Keras makes up may be that of a layer loaded from a file.
    pool = keras.layers.GlobalAveragePooling2D(name="pooled_features", dtype="float32")
    pooled = pool(maps)
    both = keras.Model(network.inputs[0], [network.outputs[0], pooled])
    probability, features = [np.zeros((0, 1))], [np.zeros((0, maps.shape[-1]), np.float32)]
    for start in range(0, len(images), BATCH):
        first, second = both(to_unit(images[start : start + BATCH]), training=False)
        probability.append(np.asarray(first, dtype=np.float64))
        features.append(np.asarray(second))
    return np.concatenate(probability)[:, 0], np.concatenate(features)


def _maps(network: Any) -> Any:
    """The feature maps the head sits on: what its pooling layer takes."""
    pools = [layer for layer in network.layers if type(layer).__name__ in _POOLING]
    if not pools:
        raise ValueError(f"the network has no layer of {' or '.join(_POOLING)} to take maps from")
    return pools[-1].input
