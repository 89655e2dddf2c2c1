"""Fine-tuning: the top blocks and the head train on stored maps, from a trained head.

The recipe, each part of which docs/evidence/decisions.md compares with what it replaced: Adam with
decoupled weight decay (Loshchilov & Hutter 2019), a learning rate that rises over the first tenth
of the steps and falls to zero along a half cosine (Loshchilov & Hutter 2017), and weights averaged
over the steps (Polyak & Juditsky 1992) as the result. It runs for all its epochs: no validation
image stops it, so images held out of it are predicted without having been used.
"""

import math
import os
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model import devices, metrics
from brain_tumor.model.explain import standardisation
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.reading import read_ahead
from brain_tumor.model.saved import BATCH
from brain_tumor.settings import TrainParams
from brain_tumor.shards import ArrayRows

if TYPE_CHECKING:
    from brain_tumor.model.network import Format

_WARM_UP = 0.1  # share of the steps
_DECAY = 0.9  # of the average over steps, once there are many
Weights = list[NDArray[Any]]


def fine_tune(
    head: Any,
    weights: Path,
    maps: ArrayRows,
    val_maps: ArrayRows,
    data: TrainingData,
    params: TrainParams,
    peak_rate: float,
    class_weight: Mapping[int, float],
    record: Callable[[dict[str, float], float], None],
) -> tuple[Weights, NDArray[np.float64]]:
    """Train the top blocks and `head`, whose sigmoid unit is set to the result.

    Every epoch sees the training rows that `data.draw` gives. Its training figures are those of
    these rows as the steps met them; its validation figures are those of the averaged weights, in
    float32.

    Args:
        head: trained on the initial weights.
        weights: initial weights of the backbone.
        maps: (N, h, w, channels), at the cut, in the number format the blocks train in: an array,
            or what reads or computes rows when asked for them. A thread does, a few batches ahead.
        val_maps: float32 (len(data.val), h, w, channels), likewise.
        data: labels, and which rows train and which are held out.
        params: section `train`, tuned values filled in.
        peak_rate: the highest learning rate.
        class_weight: how much a row of each class counts.
        record: called with the losses of each epoch and the learning rate of its last step.

    Returns:
        The weights of the blocks, and the probability of the held-out rows, float64 (len(val),).

    Raises:
        DivergedError: `record` found a loss that is not finite.
    """
    upper = _upper(
        weights.resolve(), weights.stat().st_mtime_ns, params.head, params.head_block,
        params.fine_tune_blocks, maps.dtype.name,
    )  # fmt: skip
    upper.start_from(head)
    rng = np.random.default_rng(params.seed)
    per_epoch = math.ceil(
        len(data.draw(np.random.default_rng(0), params.phantom_weight)) / params.batch_size
    )
    rates = _rates(peak_rate, per_epoch * params.fine_tune_epochs)
    importance = np.where(data.labels > 0.5, class_weight[1], class_weight[0]).astype(np.float32)
    truth = data.labels[data.val].astype(np.int64)
    probability = np.zeros(0)
    for _ in range(params.fine_tune_epochs):
        drawn = data.draw(rng, params.phantom_weight)
        batches = (
            drawn[start : start + params.batch_size]
            for start in range(0, len(drawn), params.batch_size)
        )
        seen, rate = [], 0.0
        for batch in read_ahead(
            lambda rows: devices.divide(*_batch(maps, data.labels, importance, rows)), batches
        ):
            rate = next(rates)
            seen.append(upper.step(batch, rate, params))
        probability = upper.predict(val_maps)
        losses = _losses("", data.labels[drawn].astype(np.int64), np.concatenate(seen))
        record(losses | _losses("val_", truth, probability), rate)
    upper.set_unit(head)
    return upper.exact.get_weights(), probability


def _batch(
    maps: ArrayRows,
    labels: NDArray[np.float32],
    importance: NDArray[np.float32],
    rows: NDArray[np.int64],
) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
    """What a step takes of the rows."""
    return np.asarray(maps[rows]), labels[rows], importance[rows]


def _rates(peak: float, steps: int) -> Iterator[float]:
    """The learning rate of each step."""
    warm = max(1, round(_WARM_UP * steps))
    for step in range(steps):
        if step < warm:
            yield peak * (step + 1) / warm
        else:
            yield peak * 0.5 * (1.0 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def _losses(
    prefix: str, truth: NDArray[np.int64], probability: NDArray[np.float64]
) -> dict[str, float]:
    hits = np.mean((probability >= 0.5) == truth)
    loss = metrics.log_loss(truth, probability) if np.isfinite(probability).all() else math.nan
    return {f"{prefix}loss": loss, f"{prefix}accuracy": float(hits)}


class _Upper:
    """Top blocks and head as one function of maps, to be trained from the start again and again.

    TensorFlow takes seconds to prepare a step, as long as an epoch takes; so trainings that differ
    in data and rates only share it. The head is held in variables: a Keras `Normalization` is a
    constant of the prepared step.
    """

    def __init__(
        self, weights: Path, head: Any, head_block: int, blocks: int, number_format: "Format"
    ) -> None:
        import keras
        import tensorflow as tf

        from brain_tumor.model.network import pooling, top_blocks

        with devices.strategy().scope():
            self._blocks = top_blocks(weights, head_block, blocks, number_format)
            self.exact = top_blocks(weights, head_block, blocks, "float32")
            self._adam: Any = keras.optimizers.Adam(1.0)
        self._initial: Weights = self._blocks.get_weights()
        self._pool, self._format = pooling(head), number_format
        self._head: list[Any] | None = None
        self._tf = tf

    def start_from(self, head: Any) -> None:
        """Set blocks, head, optimiser and averages to where a training starts."""
        tf = self._tf
        mean, scale = standardisation(head)
        slope, bias = head.get_layer("probability").get_weights()
        values = [np.asarray(value, np.float32) for value in (mean, scale, slope, bias)]
        self._blocks.set_weights(self._initial)
        if self._head is None:
            with devices.strategy().scope():
                self._head = [tf.Variable(value) for value in values]
                self._trained = [v.value for v in self._blocks.trainable_variables] + self._head[2:]
                self._average = [tf.Variable(tf.identity(each)) for each in self._trained]
                self._adam.build(self._trained)
            self._prepare()
        for variable, value in zip(self._head, values, strict=True):
            variable.assign(value)
        for slot in self._adam.variables:
            slot.assign(tf.zeros_like(slot.value))
        self._steps = 0
        for average, variable in zip(self._average, self._trained, strict=True):
            average.assign(variable)

    def step(self, batch: devices.Parts, rate: float, params: TrainParams) -> NDArray[np.float64]:
        """Take one step with maps, labels and importance; the probability of its rows before it."""
        self._steps += 1
        decay = min(_DECAY, self._steps / (self._steps + 10))
        numbers = (rate, params.weight_decay or 0.0, params.head_penalty or 0.0, decay)
        (probability,) = self._train(batch, batch.rows, *numbers)
        return probability.astype(np.float64)

    def predict(self, maps: ArrayRows) -> NDArray[np.float64]:
        """Probability by the averaged weights in float32."""
        count = len(self._blocks.trainable_variables)
        self.exact.set_weights(self._initial)
        for variable, average in zip(
            self.exact.trainable_variables, self._average[:count], strict=True
        ):
            variable.assign(average)
        batches = read_ahead(
            lambda start: devices.divide(np.asarray(maps[start : start + BATCH])),
            range(0, len(maps), BATCH),
        )
        seen = [self._judge(batch)[0].astype(np.float64) for batch in batches]
        return np.concatenate([np.zeros(0), *seen])

    def set_unit(self, head: Any) -> None:
        """Set the sigmoid unit of `head` to the averaged one."""
        head.get_layer("probability").set_weights([np.asarray(part) for part in self._unit()])

    def _unit(self) -> list[Any]:
        return self._average[-2:]

    def _logit(self, blocks: Any, maps: Any, slope: Any, bias: Any) -> Any:
        assert self._head is not None
        mean, scale = self._head[:2]
        vectors = self._pool(blocks(maps, training=False))
        return (self._tf.matmul((vectors - mean) / scale, slope) + bias)[:, 0]

    def _prepare(self) -> None:
        """Prepare what trains and what judges the averaged weights, for every device its part."""
        tf = self._tf
        shape = (None, *self._blocks.input.shape[1:])
        numbers = tf.TensorSpec((None,), tf.float32)

        def step(
            x: Any, y: Any, importance: Any, size: Any, rate: Any, shrink: Any, pen: Any, decay: Any
        ) -> list[Any]:
            *_, slope, bias = self._trained
            with tf.GradientTape() as tape:
                logit = self._logit(self._blocks, x, slope, bias)
                losses = tf.nn.sigmoid_cross_entropy_with_logits(y, logit)
                penalty = pen / 2.0 * tf.reduce_sum(tf.square(slope))
                # The optimiser adds up the gradients of all devices: rows count by the size of the
                # whole batch, and filled-up ones, whose importance is 0, not at all.
                loss = tf.reduce_sum(importance * losses) / size + penalty / devices.count()
            gradients = tape.gradient(loss, self._trained)
            self._adam.learning_rate.assign(rate)
            self._adam.apply(gradients, self._trained)
            for variable, average in zip(self._trained, self._average, strict=True):
                variable.assign_sub(rate * shrink * variable)
                average.assign(decay * average + (1.0 - decay) * variable)
            return [tf.sigmoid(logit)]

        def judge(x: Any) -> list[Any]:
            return [tf.sigmoid(self._logit(self.exact, x, *self._unit()))]

        maps = tf.TensorSpec(shape, self._format)
        self._train = devices.everywhere(step, [maps, numbers, numbers], numbers=5)
        self._judge = devices.everywhere(judge, [tf.TensorSpec(shape, tf.float32)])


@lru_cache(maxsize=12)
def _upper(
    weights: Path,
    _modified_ns: int,
    head: Any,
    head_block: int,
    blocks: int,
    number_format: "Format",
) -> _Upper:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return _Upper(weights, head, head_block, blocks, number_format)
