"""InceptionV3 cut at its `mixed` blocks: a frozen part, a tuned part, a pooling and a head.

Blocks are counted as the Keras layer names do, `mixed0` to `mixed10`. The head sits on one of
them (`head_block`), the trunk is truncated there, and fine-tuning reaches a number of blocks down
from it. Batch normalisation always runs in inference mode, in the tuned blocks too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

LAST_BLOCK = 10
Head = Literal["gap", "paper"]
Model = Any  # keras ships no types


@dataclass(frozen=True)
class Network:
    """The parts of one network; they share their layers with `whole`.

    Attributes:
        frozen: float32 [0, 1] images (N, size, size, 1) to feature maps at the cut.
        tuned: those maps to the feature maps of the head's block (the identity at depth 0).
        pool: those maps to vectors (N, features).
        head: vectors to the probability of a tumour (N, 1).
        whole: images to probability, the model that is saved.
    """

    frozen: Model
    tuned: Model
    pool: Model
    head: Model
    whole: Model


def inception_v3() -> Model:
    """InceptionV3 without its top, random weights, RGB images of any size in [-1, 1]."""
    return keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(None, None, 3)
    )


def build(
    weights: Path,
    *,
    head: Head,
    head_block: int,
    fine_tune_blocks: int,
    dropout: float,
    size_px: int,
) -> Network:
    """Build the network on initial weights.

    Args:
        weights: a `.weights.h5` file of `inception_v3()`.
        head: `gap` (global average pooling, standardised features, dropout, one sigmoid unit) or
            `paper` (every feature of the block to one sigmoid unit: at 299 px on `mixed10` it has
            the 21,933,857 parameters of Kim & Ye 2019).
        head_block: the `mixed` block the head sits on, 0 to 10.
        fine_tune_blocks: how many blocks below the head are trainable, 0 to `head_block + 1`.
        dropout: fraction of the pooled features dropped in training.
        size_px: side of the square images, at least 75.

    Raises:
        ValueError: a block outside its range, or weights that do not fit.
    """
    if not 0 <= head_block <= LAST_BLOCK:
        raise ValueError(f"head_block is {head_block}; InceptionV3 has blocks 0 to {LAST_BLOCK}")
    if not 0 <= fine_tune_blocks <= head_block + 1:
        raise ValueError(
            f"fine_tune_blocks is {fine_tune_blocks}; with head_block {head_block} it may be "
            f"0 to {head_block + 1}"
        )
    full = inception_v3()
    load_weights(full, weights)
    return _assemble(full, head, head_block, fine_tune_blocks, dropout, size_px)


def load_weights(model: Model, weights: Path) -> None:
    """Load a weights file into a model; an error names the file when it does not fit."""
    if not weights.is_file():
        raise ValueError(f"{weights}: no such weights file")
    try:
        model.load_weights(weights)
    except (ValueError, OSError, KeyError) as error:
        raise ValueError(
            f"{weights}: not weights of a Keras InceptionV3 without top: {error}"
        ) from error


def _assemble(
    full: Model, head: Head, head_block: int, fine_tune_blocks: int, dropout: float, size_px: int
) -> Network:
    images = keras.Input((size_px, size_px, 1), name="image")
    rgb = keras.layers.Rescaling(2.0, -1.0, name="to_minus_one_one")(
        keras.layers.Concatenate(name="to_rgb")([images, images, images])
    )
    end = full.get_layer(f"mixed{head_block}").output
    cut = _block_output(full, head_block - fine_tune_blocks)
    lower = keras.Model(full.input, cut, name="frozen_trunk")
    upper = keras.Model(cut, end, name="tuned_trunk") if fine_tune_blocks else None
    freeze(lower, upper)
    frozen = keras.Model(images, lower(rgb))
    maps = upper(frozen.output) if upper else frozen.output
    tuned = upper or keras.layers.Identity()
    pool = keras.layers.GlobalAveragePooling2D() if head == "gap" else keras.layers.Flatten()
    vectors = pool(maps)
    top = _head(head, vectors.shape[-1], dropout)
    return Network(frozen, tuned, pool, top, keras.Model(images, top(vectors), name="brain_tumor"))


def _block_output(full: Model, block: int) -> Any:
    """Output of `mixed{block}`, or, for block -1, of the stem (its second pooling)."""
    if block >= 0:
        return full.get_layer(f"mixed{block}").output
    pools = [layer for layer in full.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    return pools[1].output


def freeze(lower: Model, upper: Model | None) -> None:
    """Train nothing in `lower`, and in `upper` the convolutions only."""
    lower.trainable = False
    for layer in upper.layers if upper else ():
        layer.trainable = isinstance(layer, keras.layers.Conv2D)


def _head(head: Head, features: int, dropout: float) -> Model:
    vectors = keras.Input((features,))
    x = vectors
    if head == "gap":
        x = keras.layers.Normalization(name="standardise", dtype="float32")(x)
    x = keras.layers.Dropout(dropout, name="dropout")(x)
    unit = keras.layers.Dense(1, "sigmoid", name="probability", dtype="float32")
    return keras.Model(vectors, unit(x), name=f"{head}_head")


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
