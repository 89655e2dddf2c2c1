"""Why a network says what it says: heat maps, exact for a linear head.

Between the feature maps A (places ij, channels k) and the logit, either head is linear, so the
logit is a sum over places plus a constant. So it is for an empty (black) picture, with maps E:

    logit = sum_ij contributions_ij + bias,   contributions = S(sum_k weights_k (A_k - E_k))

where the bias is the logit of the empty picture, and S, a Gaussian mirrored at the border, spreads
each place over its neighbours and keeps the sum. The parts are exact, not an estimate: without E
and S they are HiResCAM's map (Draelos & Carin 2020, arXiv:2011.08891), which for the `gap` head
equals CAM and Grad-CAM. Without E the background, which has activations too, is the strongest place
of most pictures; S is narrower than what one place sees, and single places are noisy
(docs/evidence/decisions.md has what either does to how well maps point at tumours).
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.model.saved import BATCH, to_unit
from brain_tumor.shards import ImageRows

_POOLING = ("GlobalAveragePooling2D", "Flatten")  # see `network.pooling`


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
    layers = [layer for layer in layers if type(layer).__name__ not in ("InputLayer", "Dropout")]
    kinds = [type(layer).__name__ for layer in layers]
    if kinds not in (["Dense"], ["Normalization", "Dense"]) or not _is_sigmoid_unit(layers[-1]):
        raise ValueError(
            f"the network's head is {kinds}; one sigmoid unit, or Normalization and it"
        )
    slope, bias = (np.asarray(part, np.float64) for part in layers[-1].get_weights())
    slope, offset = slope[:, 0], float(bias[0])
    if len(layers) == 2:
        mean, scale = _standardisation(layers[0])
        slope = slope / scale
        offset -= float(slope @ mean)
    return LinearHead(_by_place(slope, pool).astype(np.float32), offset)


def standardisation(head: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and divisor, float64 (features,), of what the sigmoid unit of a head takes.

    Args:
        head: see `network.make_head`; one without standardisation has means 0 and divisors 1.
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

    mean, variance = (np.asarray(part, np.float64).ravel() for part in (layer.mean, layer.variance))
    return mean, np.maximum(np.sqrt(variance), keras.config.epsilon())


def _by_place(slope: NDArray[np.float64], pool: Any) -> NDArray[np.float64]:
    """The weight of each place and channel, (h, w, channels)."""
    h, w, channels = pool.input.shape[1:]
    if type(pool).__name__ == "Flatten":
        return slope.reshape(h, w, channels)
    return np.broadcast_to(slope / (h * w), (h, w, channels))


SPREAD = 1.0  # standard deviation of S, in places


@dataclass(frozen=True)
class Explanation:
    """What a network makes of N images.

    Attributes:
        probability: of a tumour, float64 (N,) in [0, 1], not calibrated.
        features: global average of the feature maps the head sits on, float32 (N, channels).
        contributions: what each place and its neighbours add to the logit of that probability
            beside what they add in an empty picture, float32 (N, h, w); their sum and the logit of
            an empty picture are the logit.
    """

    probability: NDArray[np.float64]
    features: NDArray[np.float32]
    contributions: NDArray[np.float32]


class Explainer:
    """A network (see `saved.load`), either head, with what its probability comes from.

    Attributes:
        bias: the logit of an empty picture.

    Raises:
        ValueError: the network has no pooling of maps, or its head is not linear.
    """

    def __init__(self, network: Any) -> None:
        """Extend `network`, whose layers are shared; build it once, use it often."""
        import keras

        pool = pooling_layer(network)
        head = linear_head(network)
        maps = pool.input
        # With names: ones that Keras makes up may be those of layers loaded from a file.
        average = keras.layers.GlobalAveragePooling2D(name="pooled_features", dtype="float32")
        contributions = keras.ops.sum(keras.ops.cast(maps, "float32") * head.weights, axis=-1)
        outputs = [network.outputs[0], average(maps), contributions]
        self._model = keras.Model(network.inputs[0], outputs)
        self._empty = self._parts(empty_picture(network.inputs[0].shape[1]))
        self.bias = head.bias + float(self._empty.contributions.sum(dtype=np.float64))

    def see(
        self, images: ImageRows, progress: Callable[[range], Iterable[int]] = iter
    ) -> Explanation:
        """Look at grey images.

        The probabilities are those of `saved.predict_proba`, bit by bit.

        Args:
            images: uint8 (N, size, size).
            progress: passes the starts of the batches on, and shows how far they are.
        """
        to_unit(images[:0])  # wrong images are named before any work
        starts = range(0, len(images), BATCH)
        parts = [self._parts(images[start : start + BATCH]) for start in progress(starts)]
        return beside(parts, self._empty)

    def _parts(self, images: NDArray[np.uint8]) -> Explanation:
        outputs = self._model(to_unit(images), training=False)
        probability, features, contributions = (np.asarray(output) for output in outputs)
        return Explanation(probability[:, 0].astype(np.float64), features, contributions)


def empty_picture(size_px: int) -> NDArray[np.uint8]:
    """One black image, uint8 (1, size, size)."""
    return np.zeros((1, size_px, size_px), np.uint8)


def beside(parts: list[Explanation], empty: Explanation) -> Explanation:
    """Batches of images in one, with contributions beside those of an empty picture.

    Args:
        parts: as the network has it, contributions unspread; may be none.
        empty: the same of the empty picture alone.
    """
    batches = [
        Explanation(empty.probability[:0], empty.features[:0], empty.contributions[:0]),
        *parts,
    ]
    contributions = np.concatenate([batch.contributions for batch in batches])
    return Explanation(
        np.concatenate([batch.probability for batch in batches]),
        np.concatenate([batch.features for batch in batches]),
        ndimage.gaussian_filter(
            contributions - empty.contributions, SPREAD, axes=(1, 2), mode="reflect"
        ),
    )
