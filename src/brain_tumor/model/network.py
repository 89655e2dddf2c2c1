"""InceptionV3 with a head: its blocks, its shapes, its number formats.

Blocks are counted as the Keras layer names do, `mixed0` to `mixed10`. The head sits on one of
them (`head_block`), the trunk is truncated there, and fine-tuning reaches a number of blocks down
from it. Batch normalisation always runs in inference mode, in the tuned blocks too.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import reading
from brain_tumor.model.reading import pieces
from brain_tumor.settings import LAST_BLOCK
from brain_tumor.shards import ArrayRows

Head = Literal["gap", "paper"]
Form = Literal["maps", Head]  # of what a block gives: its maps, or the vector a head takes
Format = Literal["float32", "bfloat16"]  # that blocks compute in
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


def standardise(head: Model, vectors: ArrayRows, rows: NDArray[np.int64] | None = None) -> None:
    """Set the `gap` head's standardisation from training vectors (N, features).

    A feature that hardly varies in training keeps a floor of a hundredth of the median variance,
    so that no image can blow it up later.

    Args:
        head: see `make_head`.
        vectors: read a piece at a time.
        rows: which of them train; by default all.
    """
    if not any(layer.name == "standardise" for layer in head.layers):
        return
    train = np.arange(len(vectors)) if rows is None else rows
    mean = _sum(vectors, train, lambda values: values) / len(train)
    variance = _sum(vectors, train, lambda values: np.square(values - mean)) / len(train)
    floor = max(float(np.median(variance)) / 100, 1e-12)
    layer = head.get_layer("standardise")
    layer.set_weights([mean, np.maximum(variance, floor), np.asarray(len(train), dtype=np.int32)])
    layer.finalize_state()


def _sum(
    vectors: ArrayRows,
    rows: NDArray[np.int64],
    of: Callable[[NDArray[np.float64]], NDArray[np.float64]],
) -> NDArray[np.float64]:
    """The sum over rows, float64 (features,), added up row by row as NumPy does for all at once."""
    total = np.zeros((0, *vectors.shape[1:]))
    for piece in pieces(vectors, rows):
        values = of(vectors[piece].astype(np.float64))
        total = np.concatenate([total, values]).sum(axis=0, keepdims=True)
    return np.asarray(total[0])


def restore(head: Model, weights: list[NDArray[Any]]) -> None:
    """Set all weights of a head; its standardisation only follows them when told to."""
    head.set_weights(weights)
    for layer in head.layers:
        if layer.name == "standardise":
            layer.finalize_state()


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


def load_inception_v3(weights: Path) -> Model:
    """The same with the weights of a file.

    Raises:
        UserError: there is no such file, or it does not fit.
    """
    model = inception_v3()
    with reading(weights, "weights of a Keras InceptionV3 without top are needed"):
        model.load_weights(weights)
    return model


def build(
    weights: Path,
    *,
    head: Head,
    head_block: int,
    fine_tune_blocks: int,
    dropout: float,
    size_px: int,
    seed: int = 0,
) -> Network:
    """Build the whole network on initial weights.

    Args:
        weights: a `.weights.h5` file of `inception_v3()`.
        head: see `make_head`; `paper` on `mixed10` at 299 px has the 21,933,857 parameters of
            Kim & Ye 2019.
        head_block: the `mixed` block the head sits on, 0 to 10.
        fine_tune_blocks: how many blocks below the head are trainable, 0 to `head_block + 1`.
        dropout: fraction of the pooled features dropped in training.
        size_px: side of the square images, at least 75.
        seed: of the head's weights and dropout.

    Raises:
        UserError: a block outside its range, or weights that do not fit.
    """
    _check_blocks(head_block, fine_tune_blocks)
    full = load_inception_v3(weights)
    images, rgb = _images(size_px)
    cut = _block_output(full, head_block - fine_tune_blocks)
    lower = keras.Model(full.input, cut, name="frozen_trunk")
    lower.trainable = False
    upper = _tuned_blocks(full, head_block, fine_tune_blocks) if fine_tune_blocks else None
    frozen = keras.Model(images, lower(rgb))
    maps = upper(frozen.output) if upper else frozen.output
    pool = pooling(head)
    vectors = pool(maps)
    top = make_head(head, vectors.shape[-1], dropout, seed)
    whole = keras.Model(images, top(vectors), name="brain_tumor")
    return Network(frozen, upper or keras.layers.Identity(), pool, top, whole)


def trunk(weights: Path, size_px: int, outputs: Sequence[tuple[int, Form]]) -> Model:
    """The untrained trunk in float32, with several outputs.

    Args:
        weights: as for `build`.
        size_px: side of the square images.
        outputs: block (-1: the stem below `mixed0`) and form of each output.

    Returns:
        A model of float32 [0, 1] images (N, size, size, 1) to the list of outputs.
    """
    full = load_inception_v3(weights)
    images, rgb = _images(size_px)
    blocks = sorted({block for block, _ in outputs})
    shared = keras.Model(full.input, [_block_output(full, block) for block in blocks])
    maps = dict(zip(blocks, shared(rgb), strict=True))
    return keras.Model(
        images,
        [maps[block] if form == "maps" else pooling(form)(maps[block]) for block, form in outputs],
    )


def top_blocks(
    weights: Path, head_block: int, fine_tune_blocks: int, number_format: Format
) -> Model:
    """A new copy of the top blocks, at least one, with trainable convolutions.

    It takes maps at the cut to maps at the head and computes in `number_format`; its weights are
    float32. The weights file is read once per process.
    """
    _check_blocks(head_block, fine_tune_blocks)
    template = _template(weights.resolve(), weights.stat().st_mtime_ns)
    blocks = _tuned_blocks(template, head_block, fine_tune_blocks)
    policy = number_format if number_format == "float32" else f"mixed_{number_format}"
    copy = keras.models.clone_model(blocks, clone_function=partial(_layer_computing_in, policy))
    copy.set_weights(blocks.get_weights())
    return copy


@lru_cache(maxsize=1)
def _template(weights: Path, _modified_ns: int) -> Model:
    return load_inception_v3(weights)


def _layer_computing_in(policy: str, layer: Any) -> Any:
    return type(layer).from_config(layer.get_config() | {"dtype": policy})


def _check_blocks(head_block: int, fine_tune_blocks: int) -> None:
    if not 0 <= head_block <= LAST_BLOCK:
        raise UserError(f"head_block is {head_block}; InceptionV3 has blocks 0 to {LAST_BLOCK}")
    if not 0 <= fine_tune_blocks <= head_block + 1:
        raise UserError(
            f"fine_tune_blocks is {fine_tune_blocks}; with head_block {head_block} it may be "
            f"0 to {head_block + 1}"
        )


def _tuned_blocks(full: Model, head_block: int, fine_tune_blocks: int) -> Model:
    """The top blocks of `full`; convolutions train, batch normalisation stays as it is."""
    cut = _block_output(full, head_block - fine_tune_blocks)
    upper = keras.Model(cut, _block_output(full, head_block), name="tuned_trunk")
    for layer in upper.layers:
        layer.trainable = isinstance(layer, keras.layers.Conv2D)
    return upper


def _images(size_px: int) -> tuple[Any, Any]:
    """The grey input in [0, 1] and what InceptionV3 takes: three channels in [-1, 1]."""
    images = keras.Input((size_px, size_px, 1), name="image")
    rgb = keras.layers.Concatenate(name="to_rgb")([images, images, images])
    return images, keras.layers.Rescaling(2.0, -1.0, name="to_minus_one_one")(rgb)


def _block_output(full: Model, block: int) -> Any:
    """Output of `mixed{block}`, or, for block -1, of the stem (its second pooling)."""
    if block >= 0:
        return full.get_layer(f"mixed{block}").output
    pools = [layer for layer in full.layers if isinstance(layer, keras.layers.MaxPooling2D)]
    return pools[1].output
