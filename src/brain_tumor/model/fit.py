"""Training: the head on the frozen trunk first, then the top blocks at a lower rate."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model import metrics
from brain_tumor.model.development import TrainingData
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.phase import Epoch, OnEpoch, Samples, Training
from brain_tumor.model.saved import predict_in_batches
from brain_tumor.model.train_params import TrainParams

Weights = list[NDArray[Any]]


@dataclass(frozen=True)
class Start:
    """What a training starts from: initial weights, and where the trunk's features are kept."""

    weights: Path
    cache: FeatureCache


@dataclass(frozen=True)
class Fitted:
    """A training's result.

    Attributes:
        head: weights of the head.
        tuned: weights of the tuned blocks; None where fine-tuning changed nothing for the better.
        history: one row per epoch with epoch (from 1), fine_tuning (0 or 1), learning_rate, loss,
            accuracy, val_loss and val_accuracy; the training figures are those of the augmented
            images with dropout on.
        val_probability: float64 (len(val),), of the network in float32.
    """

    head: Weights
    tuned: Weights | None
    history: list[Epoch]
    val_probability: NDArray[np.float64]


def fit(
    start: Start,
    data: TrainingData,
    params: TrainParams,
    on_epoch: OnEpoch,
    on_head: Callable[[float], None] = lambda _: None,
) -> Fitted:
    """Train InceptionV3 on initial weights.

    The trunk below the tuned blocks runs once over all images; both phases train on what it gave.
    Each phase stops when the validation loss has not improved for `patience` epochs and goes back
    to its best weights; fine-tuning that does not beat the head alone is undone.
    Same seed, same machine, same library versions: the same weights to the bit.

    Args:
        start: initial weights and the feature cache.
        data: images and labels.
        params: section `train`, tuned values filled in.
        on_epoch: called with the epoch (from 1) and its row of the history.
        on_head: called with the validation loss of the trained head, before any fine-tuning.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from brain_tumor.model import head, head_solver, precision

    precision.make_repeatable(params.seed)
    vectors, *maps = trunk_outputs(start.weights, data.images, outputs(params), start.cache)
    top = head.make_head(params.head, vectors.shape[1], params.dropout, params.seed)
    head.standardise(top, vectors[data.train])
    training = Training(params, on_epoch)
    if params.head_penalty is None:
        training.phase(top, _samples(data, vectors), params.learning_rate, params.head_epochs)
    else:
        head_solver.solve(top, vectors, data, params)
        training.record_epoch(head_solver.losses(top, vectors, data), rate=0.0, fine_tuning=0.0)
    probability = predict_in_batches(top, vectors[data.val])
    fitted = Fitted(top.get_weights(), None, training.history, probability)
    on_head(_loss(fitted, data))
    if not maps:
        return fitted
    tuned = _fine_tune(start, data, maps[0], top, training)
    return tuned if _loss(tuned, data) < _loss(fitted, data) else fitted


def outputs(params: TrainParams) -> list[Output]:
    """What a training needs of the frozen trunk: the head's vectors, and maps if blocks train."""
    from brain_tumor.model import precision

    vectors = Output(params.head_block, params.head)
    if not (params.fine_tune_blocks and params.fine_tune_epochs):
        return [vectors]
    number_format = precision.resolve(params.precision)
    return [vectors, Output(params.head_block - params.fine_tune_blocks, "maps", number_format)]


def exact_outputs(params: TrainParams) -> list[Output]:
    """What judging fine-tuning needs of the trunk for validation images: maps in float32."""
    if not (params.fine_tune_blocks and params.fine_tune_epochs):
        return []
    return [Output(params.head_block - params.fine_tune_blocks, "maps")]


def network_of(weights: Path, fitted: Fitted, params: TrainParams, size_px: int) -> Any:
    """The whole network in float32: images (N, size, size, 1) in [0, 1] to probability (N, 1)."""
    from brain_tumor.model import network
    from brain_tumor.model.head import restore

    names = {"head", "head_block", "fine_tune_blocks", "dropout", "seed"}
    net = network.build(weights, size_px=size_px, **params.model_dump(include=names))
    restore(net.head, fitted.head)
    if fitted.tuned is not None:
        net.tuned.set_weights(fitted.tuned)
    return net.whole


def upper_model(top: Any, blocks: Any, maps_dtype: str, params: TrainParams) -> Any:
    """Head on top of blocks: maps at the cut to probability."""
    import keras

    from brain_tumor.model import head

    inputs = keras.Input(blocks.input.shape[1:], dtype=maps_dtype)
    return keras.Model(inputs, top(head.pooling(params.head)(blocks(inputs))))


def _fine_tune(
    start: Start, data: TrainingData, maps: NDArray[Any], top: Any, training: Training
) -> Fitted:
    """Train tuned blocks and head together; judged in float32."""
    from brain_tumor.model import network, precision

    params = training.params
    number_format = precision.resolve(params.precision)
    depth = params.head_block, params.fine_tune_blocks
    blocks = network.top_blocks(start.weights, *depth, number_format)
    upper = upper_model(top, blocks, maps.dtype.name, params)
    rate = params.learning_rate * params.fine_tune_rate_fraction
    training.phase(upper, _samples(data, maps), rate, params.fine_tune_epochs)
    exact = network.top_blocks(start.weights, *depth, "float32")
    exact.set_weights(blocks.get_weights())
    (val_maps,) = trunk_outputs(
        start.weights, data.images[data.val], exact_outputs(params), start.cache
    )
    probability = predict_in_batches(upper_model(top, exact, "float32", params), val_maps)
    return Fitted(top.get_weights(), blocks.get_weights(), training.history, probability)


def _samples(data: TrainingData, features: NDArray[Any]) -> Samples:
    return Samples(lambda rows: features[rows], data.labels, data.train, data.val)


def _loss(fitted: Fitted, data: TrainingData) -> float:
    return metrics.log_loss(data.labels[data.val].astype(np.int64), fitted.val_probability)
