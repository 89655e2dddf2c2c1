"""The probability of a tumour and which places of the image it comes from, in one pass.

Between the feature maps A (places ij, channels k) and the logit, either head is linear, so the
logit is a sum over places plus a constant:

    logit = sum_ij contributions_ij + bias,   contributions_ij = sum_k weights_ijk A_ijk

The contributions are exact, not an estimate: they are HiResCAM's map (Draelos & Carin 2020,
arXiv:2011.08891), which for the `gap` head equals CAM and Grad-CAM.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.linear_head import linear_head, pooling_layer
from brain_tumor.model.saved import BATCH, to_unit


@dataclass(frozen=True)
class Seen:
    """What a network makes of N images.

    Attributes:
        probability: of a tumour, float64 (N,) in [0, 1], not calibrated.
        features: global average of the feature maps the head sits on, float32 (N, channels).
        contributions: what each place adds to the logit of that probability, float32 (N, h, w);
            the sum over places and the head's bias are the logit.
    """

    probability: NDArray[np.float64]
    features: NDArray[np.float32]
    contributions: NDArray[np.float32]


class Explainer:
    """A network (see `saved.load`), either head, with what its probability comes from.

    Attributes:
        head: the network's head.

    Raises:
        ValueError: the network has no pooling of maps, or its head is not linear.
    """

    def __init__(self, network: Any) -> None:
        """Extend `network`, whose layers are shared; build it once, use it often."""
        import keras

        pool = pooling_layer(network)
        self.head = linear_head(network)
        maps = pool.input
        # With names: ones that Keras makes up may be those of layers loaded from a file.
        average = keras.layers.GlobalAveragePooling2D(name="pooled_features", dtype="float32")
        contributions = keras.ops.sum(keras.ops.cast(maps, "float32") * self.head.weights, axis=-1)
        outputs = [network.outputs[0], average(maps), contributions]
        self._model = keras.Model(network.inputs[0], outputs)

    def see(self, images: NDArray[np.uint8]) -> Seen:
        """Look at grey images, uint8 (N, size, size).

        The probabilities are those of `saved.predict_proba`, bit by bit.
        """
        to_unit(images[:0])  # wrong images are named before any work
        starts = range(0, len(images), BATCH)
        batches = [self._batch(images[start : start + BATCH]) for start in starts]
        return joined([self._none(), *batches])

    def _batch(self, images: NDArray[np.uint8]) -> Seen:
        outputs = self._model(to_unit(images), training=False)
        probability, features, contributions = (np.asarray(one) for one in outputs)
        return Seen(probability[:, 0].astype(np.float64), features, contributions)

    def _none(self) -> Seen:
        h, w, channels = self.head.weights.shape
        features = np.zeros((0, channels), np.float32)
        return Seen(np.zeros(0), features, np.zeros((0, h, w), np.float32))


def joined(batches: list[Seen]) -> Seen:
    """Batches, at least one, in one."""
    return Seen(
        np.concatenate([one.probability for one in batches]),
        np.concatenate([one.features for one in batches]),
        np.concatenate([one.contributions for one in batches]),
    )
