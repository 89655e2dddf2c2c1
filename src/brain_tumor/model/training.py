"""Training: the head to its optimum, or by epochs, then the top blocks with it.

Gradient descent stopped by validation images gives a head that depends on the seed, the learning
rate and the images it was stopped by. The loss is convex: with a penalty it has one minimum,

    min_w,b  mean_i c_i log(1 + exp(-s_i (w . z_i + b)))  +  penalty / 2 * |w|^2

over training vectors z (standardised), signs s and weights c of mean 1: each class may have the
same share of them, and a phantom may have less than an image. It needs no
validation images, so they can be predicted out of fold. Solved by scikit-learn (L-BFGS).
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.metrics import log_loss
from brain_tumor.model.reading import pieces
from brain_tumor.model.saved import NetworkMeta, predict_in_batches, predict_proba
from brain_tumor.outputs import InitialWeights
from brain_tumor.settings import TrainParams
from brain_tumor.shards import ArrayRows, take

if TYPE_CHECKING:
    from brain_tumor.model.network import Format

Epoch = dict[str, float]
OnEpoch = Callable[[int, Epoch], None]
Weights = list[NDArray[Any]]
SAME = 1e-4  # in probability: float32 in another order of operations stays well below
_PENALTY_FACTORS = (1 / 30, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_TOLERANCE, _ITERATIONS = 1e-6, 2000  # of the solver: gradient, most steps
_BFLOAT16_FLAGS = {"avx512_bf16", "amx_bf16"}


class DivergedError(UserError):
    """The loss of a training is not finite any more."""


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

    The trunk below the trained blocks runs once over all images; all else trains on its outputs:
    the head (solved, or trained by AdamW until the validation loss has not fallen for `patience`
    epochs), then the top blocks and the head together (see `fine_tuning`).
    Same seed, same machine, same library versions: the same weights to the bit. `on_epoch` is
    called with each epoch and its row of the history.

    Raises:
        DivergedError: a loss is not finite.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from brain_tumor.model import fine_tuning, network

    make_repeatable(params.seed)
    vectors, *maps = trunk_outputs(start.weights, data.images, outputs(params), start.cache)
    head = network.make_head(params.head, vectors.shape[1], params.dropout or 0.0, params.seed)
    network.standardise(head, vectors, data.train)
    history, solved = History(params, on_epoch), params.head_penalty is not None
    if solved:
        solve_head(head, vectors, data, params)
        history.record(head_losses(head, vectors, data), rate=0.0, fine_tuning=0.0)
    else:
        train_head(head, vectors, data, history)
    if not maps:
        probability = _predict(head, vectors, data.val)
        return Fitted(head.get_weights(), None, history.rows, probability)
    (val_maps,) = trunk_outputs(
        start.weights, take(data.images, data.val), exact_outputs(params), start.cache
    )
    blocks, probability = fine_tuning.fine_tune(
        head,
        start.weights,
        maps[0],
        val_maps,
        data,
        params,
        head_rate(params) * (1.0 if solved else params.fine_tune_rate_fraction),
        class_weight(params, data) or {0: 1.0, 1: 1.0},
        lambda losses, rate: history.record(losses, rate, fine_tuning=1.0),
    )
    return Fitted(head.get_weights(), blocks, history.rows, probability)


def make_repeatable(seed: int) -> None:
    """Seed Python, NumPy and Keras and ask TensorFlow for deterministic operations."""
    import keras
    import tensorflow as tf

    # One message per shape that a new model meets would drown the lines of progress.
    tf.get_logger().setLevel("ERROR")
    keras.utils.clear_session()
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def number_format(precision: Literal["auto", "float32", "bfloat16"]) -> "Format":
    """The number format tuned blocks compute in: as given, or the fastest of this machine.

    `auto` is bfloat16 where TensorFlow sees a GPU or the processor multiplies it (AVX512-BF16 or
    AMX), float32 elsewhere. (float16 is not offered: its range is too small for the features of
    random weights.)
    Weights are float32 in any of them.
    """
    if precision != "auto":
        return precision
    import tensorflow as tf

    has_gpu = bool(tf.config.list_physical_devices("GPU"))
    return "bfloat16" if has_gpu or _BFLOAT16_FLAGS & _processor_flags() else "float32"


def _processor_flags(cpuinfo: Path = Path("/proc/cpuinfo")) -> set[str]:
    """What the processor can do, as Linux lists it; nothing elsewhere."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8").splitlines()
    except OSError:
        return set()
    return {flag for line in lines if line.startswith("flags") for flag in line.split()}


def outputs(params: TrainParams) -> list[Output]:
    """What a training needs of the frozen trunk: the head's vectors, and maps if blocks train."""
    vectors = Output(params.head_block, params.head)
    if not params.fine_tunes:
        return [vectors]
    cut = params.head_block - params.fine_tune_blocks
    return [vectors, Output(cut, "maps", number_format(params.precision))]


def exact_outputs(params: TrainParams) -> list[Output]:
    """What judging fine-tuning needs of the trunk for validation images: maps in float32."""
    if not params.fine_tunes:
        return []
    return [Output(params.head_block - params.fine_tune_blocks, "maps")]


def most_epochs(params: TrainParams) -> int:
    """How many epochs a training has at most; a solved head counts as one."""
    head = 1 if params.head_penalty is not None else params.head_epochs
    return head + params.fine_tune_epochs * params.fine_tunes


def epoch_line(epoch: int, row: Epoch) -> str:
    """The losses of an epoch, in a few words."""
    phase = "fine-tuning" if row["fine_tuning"] else "head"
    return f"epoch {epoch} ({phase}): loss {row['loss']:.3f}, val {row['val_loss']:.3f}"


@dataclass
class History:
    """The epochs of a training, of the head and of fine-tuning.

    A solved head is epoch 0: what training starts from. Epochs of training count from 1.
    """

    params: TrainParams
    on_epoch: OnEpoch
    rows: list[Epoch] = field(default_factory=list)

    def record(self, logs: dict[str, float], rate: float, fine_tuning: float) -> None:
        """Add an epoch.

        Args:
            logs: loss, accuracy, val_loss, val_accuracy.
            rate: learning rate.
            fine_tuning: 1 if blocks below the head trained, else 0.

        Raises:
            DivergedError: a loss is not finite.
        """
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {name: float(logs[name]) for name in names}
        epoch = len(self.rows) + (self.params.head_penalty is None)
        if not np.isfinite(row["loss"] + row["val_loss"]):
            raise DivergedError(
                f"training diverged in epoch {epoch}: loss {row['loss']}, validation loss "
                f"{row['val_loss']} at learning rate {rate}; lower train.learning_rate"
            )
        row = {"epoch": epoch, "fine_tuning": fine_tuning, "learning_rate": rate, **row}
        self.rows.append(row)
        self.on_epoch(epoch, row)


def head_rate(params: TrainParams) -> float:
    """The learning rate of AdamW while it trains the head.

    Raises:
        ValueError: there is none.
    """
    if params.learning_rate is None:
        raise ValueError("train.learning_rate has no value, but AdamW is to train")
    return params.learning_rate


def class_weight(params: TrainParams, data: TrainingData) -> dict[int, float] | None:
    """How much a row of each class counts, so that both weigh the same; None: all count alike.

    Raises:
        UserError: no row of a class trains.
    """
    if params.class_weight == "none":
        return None
    weights = data.weights(params.phantom_weight)[data.train].astype(np.float64)
    of_class = [weights[data.labels[data.train] == label].sum() for label in (0, 1)]
    if not all(of_class):
        raise UserError(
            "only one class is among the training images, so they cannot weigh the same "
            "(train.class_weight: balanced); add images of the other, or say none"
        )
    return {label: float(weights.sum() / 2 / of_class[label]) for label in (0, 1)}


def row_weights(params: TrainParams, data: TrainingData) -> NDArray[np.float32]:
    """How much each row counts in training, float32 (N,): by its class, and as a phantom.

    The mean and variance that standardise features count every row once.
    """
    weights = data.weights(params.phantom_weight)
    if (of_class := class_weight(params, data)) is None:
        return weights
    return weights * np.where(data.labels > 0.5, of_class[1], of_class[0]).astype(np.float32)


def train_head(head: Any, vectors: ArrayRows, data: TrainingData, history: History) -> None:
    """Train the head by AdamW and leave its weights of the lowest validation loss.

    Stops when the loss has not improved for `patience` epochs. `vectors`, float32 (N, features),
    are of all images.

    Raises:
        DivergedError: the loss is not finite.
    """
    import keras

    params, rate = history.params, head_rate(history.params)
    weights = row_weights(params, data)
    head.compile(
        optimizer=keras.optimizers.AdamW(rate, weight_decay=params.weight_decay),
        loss="binary_crossentropy",
        metrics=["accuracy"],
    )
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_loss", patience=params.patience, restore_best_weights=True
    )
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda _, logs: history.record(logs, rate, 0.0)
    )
    size = params.batch_size
    head.fit(
        _batches(vectors, [data.labels, weights], data.train, size, shuffle_seed=params.seed),
        validation_data=_batches(vectors, [data.labels], data.val, size),
        epochs=params.head_epochs,
        shuffle=False,  # `_batches` does
        callbacks=[record, stopping],
        verbose=0,
    )


def _batches(
    vectors: ArrayRows,
    others: Sequence[NDArray[np.float32]],
    rows: NDArray[np.int64],
    size: int,
    shuffle_seed: int | None = None,
) -> Any:
    """A tf.data set of (vectors, *others) of the rows, the next batches read while one trains.

    A seed fixes the order of every epoch; without one it is that of `rows`.
    """
    import tensorflow as tf

    order = tf.data.Dataset.from_tensor_slices(rows)
    if shuffle_seed is not None:
        order = order.shuffle(len(rows), seed=shuffle_seed, reshuffle_each_iteration=True)

    def gather(batch: Any) -> Any:
        x = tf.numpy_function(lambda batch: vectors[batch], [batch], tf.as_dtype(vectors.dtype))
        x.set_shape([None, *vectors.shape[1:]])
        return x, *(tf.gather(each, batch) for each in others)

    return order.batch(size).map(gather).prefetch(2)


def solve_head(head: Any, vectors: ArrayRows, data: TrainingData, params: TrainParams) -> None:
    """Set the head's sigmoid unit to the optimum for the training rows, whatever the others are.

    The standardisation of the `gap` head is set already (see `network.standardise`); `vectors`,
    float32 (N, features), are of all images.
    """
    from sklearn.linear_model import LogisticRegression

    truth = data.labels[data.train].astype(np.int64)
    standardise = head.get_layer("standardise")
    standardised = np.empty((len(truth), *vectors.shape[1:]))  # the only copy
    filled = 0
    for rows in pieces(vectors, data.train):
        standardised[filled : filled + len(rows)] = standardise(vectors[rows])
        filled += len(rows)
    importance = row_weights(params, data)[data.train].astype(np.float64)
    solution = LogisticRegression(
        C=1.0 / (float(params.head_penalty or 0.0) * importance.sum()),
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
    ).fit(standardised, truth, sample_weight=importance)
    weights = [solution.coef_.T.astype(np.float32), solution.intercept_.astype(np.float32)]
    head.get_layer("probability").set_weights(weights)


def _predict(head: Any, vectors: ArrayRows, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Probability of some rows, which are read a piece at a time."""
    parts = (predict_in_batches(head, vectors[piece]) for piece in pieces(vectors, rows))
    return np.concatenate([np.zeros(0), *parts])


def head_losses(head: Any, vectors: ArrayRows, data: TrainingData) -> dict[str, float]:
    """Loss and accuracy on training and validation rows, as a row of the history has them."""
    row: dict[str, float] = {}
    for prefix, rows in (("", data.train), ("val_", data.val)):
        truth = data.labels[rows].astype(np.int64)
        probability = _predict(head, vectors, rows)
        row[f"{prefix}loss"] = log_loss(truth, probability)
        row[f"{prefix}accuracy"] = float(np.mean((probability >= 0.5) == truth))
    return row


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
        head = network.make_head(params.head, vectors.shape[1], 0.0, params.seed)
        network.standardise(head, vectors, data.train)
        changed = params.model_copy(update={"head_penalty": given * factor})
        solve_head(head, vectors, data, changed)
        losses = head_losses(head, vectors, data)
        rows.append({"penalty": given * factor, "given": factor == 1.0, **losses})
    return pd.DataFrame(rows)


def network_of(weights: Path, fitted: Fitted, params: TrainParams, size_px: int) -> Any:
    """The whole network in float32: images (N, size, size, 1) in [0, 1] to probability (N, 1)."""
    from brain_tumor.model import network

    names = {"head", "head_block", "fine_tune_blocks", "seed"}
    net = network.build(
        weights, size_px=size_px, dropout=params.dropout or 0.0, **params.model_dump(include=names)
    )
    network.restore(net.head, fitted.head)
    if fitted.tuned is not None:
        net.tuned.set_weights(fitted.tuned)
    return net.whole


def check_same(network: Any, fitted: Fitted, data: TrainingData) -> None:
    """The whole network must predict for validation images what its parts did in training.

    Raises:
        RuntimeError: it predicts something else.
    """
    whole = predict_proba(network, take(data.images, data.val))
    gap = float(np.abs(whole - fitted.val_probability).max())
    if gap > SAME:
        raise RuntimeError(
            f"the whole network and the stored features differ by {gap:.2g} in probability; "
            "delete .cache/features and run again, and report it if it stays"
        )


def network_meta(
    network: Any, fitted: Fitted, params: TrainParams, initial: InitialWeights
) -> NetworkMeta:
    """The description of a fitted network."""
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
