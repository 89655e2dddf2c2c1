"""Either head as what it is: a linear function of the feature maps, up to the logit."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_POOLING = ("GlobalAveragePooling2D", "Flatten")  # see `head.pooling`


@dataclass(frozen=True)
class LinearHead:
    """A head as a linear function of the feature maps.

    Attributes:
        weights: float32 (h, w, channels).
        bias: the logit of maps that are all zero.
    """

    weights: NDArray[np.float32]
    bias: float


def pooling_layer(network: Any) -> Any:
    """The layer that pools the feature maps the head sits on; its input is the maps.

    Raises:
        ValueError: there is none.
    """
    pools = [layer for layer in network.layers if type(layer).__name__ in _POOLING]
    if not pools:
        raise ValueError(f"the network has no layer of {' or '.join(_POOLING)} to take maps from")
    return pools[-1]


def linear_head(network: Any) -> LinearHead:
    """All that a network does after its feature maps, up to the logit.

    Raises:
        ValueError: that is not pooling, standardisation (or none) and one sigmoid unit.
    """
    pool = pooling_layer(network)
    after = network.layers[network.layers.index(pool) + 1 :]
    layers = [leaf for layer in after for leaf in getattr(layer, "layers", [layer])]
    layers = [one for one in layers if type(one).__name__ not in ("InputLayer", "Dropout")]
    kinds = [type(layer).__name__ for layer in layers]
    if kinds not in (["Dense"], ["Normalization", "Dense"]) or not _is_sigmoid_unit(layers[-1]):
        raise ValueError(
            f"the network's head is {kinds}; one sigmoid unit, or Normalization and it"
        )
    slope, bias = (np.asarray(one, np.float64) for one in layers[-1].get_weights())
    slope, offset = slope[:, 0], float(bias[0])
    if len(layers) == 2:
        mean, scale = _standardisation(layers[0])
        slope = slope / scale
        offset -= float(slope @ mean)
    return LinearHead(_by_place(slope, pool).astype(np.float32), offset)


def standardisation(head: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and divisor, float64 (features,), of what the sigmoid unit of a head takes.

    Args:
        head: see `head.make_head`; one without standardisation has means 0 and divisors 1.
    """
    for layer in head.layers:
        if type(layer).__name__ == "Normalization":
            return _standardisation(layer)
    features = head.input.shape[1]
    return np.zeros(features), np.ones(features)


def _is_sigmoid_unit(dense: Any) -> bool:
    sigmoid = dense.activation.__name__ == "sigmoid"
    return bool(sigmoid and dense.units == 1 and dense.use_bias)


def _standardisation(layer: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and divisor, float64 (channels,), of a keras `Normalization` layer."""
    import keras

    mean, variance = (np.asarray(one, np.float64).ravel() for one in (layer.mean, layer.variance))
    return mean, np.maximum(np.sqrt(variance), keras.config.epsilon())


def _by_place(slope: NDArray[np.float64], pool: Any) -> NDArray[np.float64]:
    """The weight of each place and channel, (h, w, channels)."""
    h, w, channels = pool.input.shape[1:]
    if type(pool).__name__ == "Flatten":
        return slope.reshape(h, w, channels)
    return np.broadcast_to(slope / (h * w), (h, w, channels))
