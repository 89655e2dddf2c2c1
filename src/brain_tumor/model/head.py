"""The head: from the feature maps of a block to a probability, in float32 throughout."""

from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

Head = Literal["gap", "paper"]
Model = Any  # keras ships no types


def pooling(head: Head) -> Model:
    """Maps to the vectors the head takes, in float32."""
    if head == "gap":
        return keras.layers.GlobalAveragePooling2D(dtype="float32")
    return keras.layers.Flatten(dtype="float32")


def make_head(kind: Head, features: int, dropout: float, seed: int) -> Model:
    """Vectors (N, features) to the probability of a tumour (N, 1), in float32.

    Args:
        kind: `gap` (standardised features, dropout, one sigmoid unit) or `paper` (dropout, one
            sigmoid unit).
        features: length of the vectors.
        dropout: fraction dropped in training.
        seed: of weights and dropout.
    """
    vectors = keras.Input((features,))
    x = vectors
    if kind == "gap":
        x = keras.layers.Normalization(name="standardise", dtype="float32")(x)
    x = keras.layers.Dropout(dropout, seed=seed, name="dropout", dtype="float32")(x)
    start = keras.initializers.GlorotUniform(seed)
    unit = keras.layers.Dense(
        1, "sigmoid", kernel_initializer=start, name="probability", dtype="float32"
    )
    return keras.Model(vectors, unit(x), name=f"{kind}_head")


def standardise(head: Model, vectors: NDArray[np.float32]) -> None:
    """Set the `gap` head's standardisation from training vectors (N, features).

    A feature that hardly varies in training keeps a floor of a hundredth of the median variance,
    so that no image can blow it up later.
    """
    if not any(layer.name == "standardise" for layer in head.layers):
        return
    variance = vectors.var(axis=0, dtype=np.float64)
    floor = max(float(np.median(variance)) / 100, 1e-12)
    mean = vectors.mean(axis=0, dtype=np.float64)
    layer = head.get_layer("standardise")
    layer.set_weights([mean, np.maximum(variance, floor), np.asarray(len(vectors), dtype=np.int32)])
    layer.finalize_state()


def restore(head: Model, weights: list[NDArray[Any]]) -> None:
    """Set all weights of a head; its standardisation only follows them when told to."""
    head.set_weights(weights)
    for layer in head.layers:
        if layer.name == "standardise":
            layer.finalize_state()
