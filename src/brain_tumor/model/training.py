"""Training: the head to its optimum, or by epochs, then the top blocks with it.

Gradient descent stopped by validation images gives a head that depends on the seed, the learning
rate and the images it was stopped by. The loss is convex: with a penalty it has one minimum,

    min_w,b  mean_i c_i log(1 + exp(-s_i (w . z_i + b)))  +  penalty / 2 * |w|^2

over training vectors z (standardised), signs s and class weights c of mean 1. It needs no
validation images, so they can be predicted out of fold. Solved by scikit-learn (L-BFGS).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.features import FeatureCache, Output, trunk_outputs
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.metrics import log_loss
from brain_tumor.model.phase import Epoch, OnEpoch, Samples, Training
from brain_tumor.model.saved import NetworkMeta, predict_in_batches, predict_proba
from brain_tumor.outputs import InitialWeights
from brain_tumor.settings import TrainParams

Weights = list[NDArray[Any]]
SAME = 1e-4  # in probability: float32 in another order of operations stays well below
_PENALTY_FACTORS = (1 / 30, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)


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
        tuned: weights of the tuned blocks; None where none trains.
        history: one row per epoch with epoch (0: the solved head), fine_tuning (0 or 1),
            learning_rate, loss, accuracy, val_loss and val_accuracy; the training figures are those
            of the augmented images.
        val_probability: float64 (len(val),), of the network in float32.
    """

    head: Weights
    tuned: Weights | None
    history: list[Epoch]
    val_probability: NDArray[np.float64]


def fit(start: Start, data: TrainingData, params: TrainParams, on_epoch: OnEpoch) -> Fitted:
    """Train InceptionV3 on initial weights.

    The trunk below the trained blocks runs once over all images; all else trains on what it gave:
    the head (solved, or trained by AdamW until the validation loss has not fallen for `patience`
    epochs), then the top blocks and the head together (see `fine_tuning`).
    Same seed, same machine, same library versions: the same weights to the bit.

    Args:
        start: initial weights and the feature cache.
        data: images and labels.
        params: section `train`, tuned values filled in.
        on_epoch: called with the epoch and its row of the history.

    Raises:
        DivergedError: a loss is not finite.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from brain_tumor.model import fine_tuning, network, precision

    precision.make_repeatable(params.seed)
    vectors, *maps = trunk_outputs(start.weights, data.images, outputs(params), start.cache)
    top = network.make_head(params.head, vectors.shape[1], params.dropout or 0.0, params.seed)
    network.standardise(top, vectors[data.train])
    training = Training(params, on_epoch)
    if params.head_penalty is None:
        samples = Samples(lambda rows: vectors[rows], data.labels, data.train, data.val)
        training.phase(top, samples, training.head_rate(), params.head_epochs)
    else:
        solve_head(top, vectors, data, params)
        training.record_epoch(head_losses(top, vectors, data), rate=0.0, fine_tuning=0.0)
    if not maps:
        probability = predict_in_batches(top, vectors[data.val])
        return Fitted(top.get_weights(), None, training.history, probability)
    (val_maps,) = trunk_outputs(
        start.weights, data.images[data.val], exact_outputs(params), start.cache
    )
    blocks, probability = fine_tuning.fine_tune(
        top, start.weights, maps[0], val_maps, data, training
    )
    return Fitted(top.get_weights(), blocks, training.history, probability)


def penalty_path(start: Start, data: TrainingData, params: TrainParams) -> pd.DataFrame:
    """What other penalties would have made of a solved head: its counterpart of learning curves.

    Returns:
        Columns penalty (the one given, and up to 30 times smaller and larger ones, ascending),
        given (whether it is that one), loss, accuracy, val_loss and val_accuracy.
    """
    from brain_tumor.model import network

    (vectors,) = trunk_outputs(
        start.weights, data.images, [Output(params.head_block, params.head)], start.cache
    )
    given = float(params.head_penalty or 0.0)
    rows = []
    for factor in _PENALTY_FACTORS:
        own = params.model_copy(update={"head_penalty": given * factor})
        top = network.make_head(params.head, vectors.shape[1], 0.0, params.seed)
        network.standardise(top, vectors[data.train])
        solve_head(top, vectors, data, own)
        figures = head_losses(top, vectors, data)
        rows.append({"penalty": given * factor, "given": factor == 1.0, **figures})
    return pd.DataFrame(rows)


def outputs(params: TrainParams) -> list[Output]:
    """What a training needs of the frozen trunk: the head's vectors, and maps if blocks train."""
    from brain_tumor.model import precision

    vectors = Output(params.head_block, params.head)
    if not params.fine_tunes:
        return [vectors]
    number_format = precision.resolve(params.precision)
    return [vectors, Output(params.head_block - params.fine_tune_blocks, "maps", number_format)]


def exact_outputs(params: TrainParams) -> list[Output]:
    """What judging fine-tuning needs of the trunk for validation images: maps in float32."""
    if not params.fine_tunes:
        return []
    return [Output(params.head_block - params.fine_tune_blocks, "maps")]


def network_of(weights: Path, fitted: Fitted, params: TrainParams, size_px: int) -> Any:
    """The whole network in float32: images (N, size, size, 1) in [0, 1] to probability (N, 1)."""
    from brain_tumor.model import network
    from brain_tumor.model.network import restore

    names = {"head", "head_block", "fine_tune_blocks", "seed"}
    net = network.build(
        weights, size_px=size_px, dropout=params.dropout or 0.0, **params.model_dump(include=names)
    )
    restore(net.head, fitted.head)
    if fitted.tuned is not None:
        net.tuned.set_weights(fitted.tuned)
    return net.whole


def check_same(network: Any, fitted: Fitted, data: TrainingData) -> None:
    """The whole network must say of validation images what its parts said in training.

    Raises:
        RuntimeError: it says something else.
    """
    whole = predict_proba(network, data.images[data.val])
    gap = float(np.abs(whole - fitted.val_probability).max())
    if gap > SAME:
        raise RuntimeError(
            f"the whole network and the stored features differ by {gap:.2g} in probability; "
            "delete .cache/features and run again, and report it if it stays"
        )


def network_meta(
    network: Any, fitted: Fitted, params: TrainParams, initial: InitialWeights
) -> NetworkMeta:
    """What is known of a fitted network."""
    return NetworkMeta(
        head=params.head,
        head_block=params.head_block,
        fine_tuned_blocks=params.fine_tune_blocks if fitted.tuned is not None else 0,
        size_px=network.input_shape[1],
        initial_weights=initial.source,
        initial_weights_sha256=initial.sha256,
        parameters=network.count_params(),
        seed=params.seed,
    )


_TOLERANCE = 1e-6  # of the gradient
_ITERATIONS = 2000


def solve_head(
    top: Any, vectors: NDArray[np.float32], data: TrainingData, params: TrainParams
) -> None:
    """Set the head's sigmoid unit to the optimum for the training rows.

    Args:
        top: a `gap` head whose standardisation is set (see `network.standardise`).
        vectors: float32 (N, features), of all images.
        data: says which rows train; validation rows are not looked at.
        params: head_penalty and class_weight.
    """
    from sklearn.linear_model import LogisticRegression

    truth = data.labels[data.train].astype(np.int64)
    standardised = np.asarray(top.get_layer("standardise")(vectors[data.train]), np.float64)
    found = LogisticRegression(
        C=1.0 / (float(params.head_penalty or 0.0) * len(truth)),
        class_weight="balanced" if params.class_weight == "balanced" else None,
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
    ).fit(standardised, truth)
    weights = [found.coef_.T.astype(np.float32), found.intercept_.astype(np.float32)]
    top.get_layer("probability").set_weights(weights)


def head_losses(top: Any, vectors: NDArray[np.float32], data: TrainingData) -> dict[str, float]:
    """Loss and accuracy on training and validation rows, as a row of the history has them."""
    row: dict[str, float] = {}
    for prefix, rows in (("", data.train), ("val_", data.val)):
        truth = data.labels[rows].astype(np.int64)
        probability = predict_in_batches(top, vectors[rows])
        row[f"{prefix}loss"] = log_loss(truth, probability)
        row[f"{prefix}accuracy"] = float(np.mean((probability >= 0.5) == truth))
    return row
