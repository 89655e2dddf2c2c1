"""What a training records, and its phase of epochs over stored features or images."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.model.folds import Rows
from brain_tumor.settings import TrainParams

Epoch = dict[str, float]
OnEpoch = Callable[[int, Epoch], None]


@dataclass(frozen=True)
class Samples:
    """What a phase trains on.

    Attributes:
        take: rows to the network's input for them, (len(rows), ...).
        labels: float32 (N,), 1 = tumour.
        train: rows to fit.
        val: rows to stop by.
    """

    take: Callable[[Rows], NDArray[Any]]
    labels: NDArray[np.float32]
    train: Rows
    val: Rows


def most_epochs(params: TrainParams) -> int:
    """How many epochs a training has at most; a solved head counts as one."""
    head = 1 if params.head_penalty is not None else params.head_epochs
    return head + params.fine_tune_epochs * params.fine_tunes


def line(epoch: int, row: Epoch) -> str:
    """What an epoch came to, in a few words."""
    phase = "fine-tuning" if row["fine_tuning"] else "head"
    return f"epoch {epoch} ({phase}): loss {row['loss']:.3f}, val {row['val_loss']:.3f}"


@dataclass
class Training:
    """What the phases of a training share; `history` grows over all of them.

    A solved head is epoch 0: what training starts from. Epochs of training count from 1.
    """

    params: TrainParams
    on_epoch: OnEpoch
    history: list[Epoch] = field(default_factory=list)

    def fine_tune_rate(self) -> float:
        """The highest learning rate of fine-tuning."""
        solved = self.params.head_penalty is not None
        return self.head_rate() * (1.0 if solved else self.params.fine_tune_rate_fraction)

    def head_rate(self) -> float:
        """The learning rate of AdamW while it trains the head.

        Raises:
            ValueError: there is none.
        """
        if self.params.learning_rate is None:
            raise ValueError("train.learning_rate has no value, but AdamW is to train")
        return self.params.learning_rate

    def phase(self, model: Any, samples: Samples, rate: float, epochs: int) -> float:
        """Train `model`, leave its weights of the lowest validation loss and return that loss.

        Stops when the loss has not improved for `patience` epochs.

        Raises:
            DivergedError: the loss is not finite.
        """
        import keras

        model.compile(
            optimizer=keras.optimizers.AdamW(rate, weight_decay=self.params.weight_decay),
            loss="binary_crossentropy",
            metrics=["accuracy"],
        )
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=self.params.patience, restore_best_weights=True
        )
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda _, logs: self.record_epoch(logs, rate, 0.0)
        )
        seed = self.params.seed + len(self.history)
        model.fit(
            batches(samples, samples.train, self.params.batch_size, shuffle_seed=seed),
            validation_data=batches(samples, samples.val, self.params.batch_size),
            epochs=epochs,
            shuffle=False,  # `batches` does
            class_weight=self.class_weight(samples.labels[samples.train]),
            callbacks=[record, stopping],
            verbose=0,
        )
        return float(stopping.best)

    def record_epoch(self, logs: dict[str, float], rate: float, fine_tuning: float) -> None:
        """Add an epoch to the history.

        Args:
            logs: loss, accuracy, val_loss, val_accuracy.
            rate: learning rate.
            fine_tuning: 1 if blocks below the head trained, else 0.

        Raises:
            DivergedError: a loss is not finite.
        """
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {name: float(logs[name]) for name in names}
        epoch = len(self.history) + (self.params.head_penalty is None)
        if not np.isfinite(row["loss"] + row["val_loss"]):
            raise DivergedError(
                f"training diverged in epoch {epoch}: loss {row['loss']}, validation loss "
                f"{row['val_loss']} at learning rate {rate}; lower train.learning_rate"
            )
        row = {"epoch": epoch, "fine_tuning": fine_tuning, "learning_rate": rate, **row}
        self.history.append(row)
        self.on_epoch(epoch, row)

    def class_weight(self, labels: NDArray[np.float32]) -> dict[int, float] | None:
        """How much a row of each class counts (mean 1); None where all count alike."""
        if self.params.class_weight == "none":
            return None
        from sklearn.utils.class_weight import compute_class_weight

        classes = np.asarray([0.0, 1.0])
        weights = compute_class_weight("balanced", classes=classes, y=labels)
        return dict(enumerate(map(float, weights)))


class DivergedError(UserError):
    """The loss of a training is not finite any more."""


def batches(samples: Samples, rows: Rows, size: int, shuffle_seed: int | None = None) -> Any:
    """A tf.data set of (input, labels) of the rows; the next batches are read while one trains.

    Args:
        samples: says how to take rows.
        rows: which.
        size: rows per batch.
        shuffle_seed: fixes the order of every epoch; None keeps the order of `rows`.
    """
    import tensorflow as tf

    first = samples.take(rows[:1])
    order = tf.data.Dataset.from_tensor_slices(rows)
    if shuffle_seed is not None:
        order = order.shuffle(len(rows), seed=shuffle_seed, reshuffle_each_iteration=True)

    def gather(batch: Any) -> Any:
        x = tf.numpy_function(samples.take, [batch], tf.as_dtype(first.dtype))
        x.set_shape([None, *first.shape[1:]])
        return x, tf.gather(samples.labels, batch)

    return order.batch(size).map(gather).prefetch(2)
