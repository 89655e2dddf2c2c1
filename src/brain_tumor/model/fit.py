"""Training: the head on the frozen trunk first, then the top blocks at a lower rate."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from brain_tumor.params import Section

Epoch = dict[str, float]
OnEpoch = Callable[[int, Epoch], None]


class TrainParams(Section):
    """Section `train` of params.yaml; every field is explained there."""

    seed: int = Field(ge=0)
    head: Literal["gap", "paper"]
    head_block: int = Field(ge=0, le=10)
    fine_tune_blocks: int = Field(ge=0)
    dropout: float = Field(ge=0.0, lt=1.0)
    learning_rate: float = Field(gt=0.0)
    fine_tune_rate_fraction: float = Field(gt=0.0)
    weight_decay: float = Field(ge=0.0)
    batch_size: int = Field(ge=1)
    head_epochs: int = Field(ge=1)
    fine_tune_epochs: int = Field(ge=0)
    patience: int = Field(ge=1)
    class_weight: Literal["balanced", "none"]
    threshold: float = Field(gt=0.0, lt=1.0)

    @model_validator(mode="after")
    def _blocks_exist(self) -> Self:
        if self.fine_tune_blocks > self.head_block + 1:
            raise ValueError(
                f"fine_tune_blocks is {self.fine_tune_blocks}; below head_block {self.head_block} "
                f"there are {self.head_block + 1}"
            )
        return self


@dataclass(frozen=True)
class TrainingData:
    """Images uint8 (N, size, size) and labels float32 (N,), 1 = tumour, to fit and to stop by."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.float32]
    val_images: NDArray[np.uint8]
    val_labels: NDArray[np.float32]


@dataclass(frozen=True)
class Fitted:
    """A trained network (float32), one row per epoch, and how many blocks training changed.

    `history` holds epoch (from 1), fine_tuning (0 or 1), learning_rate, loss, accuracy, val_loss
    and val_accuracy; the training figures are those of the augmented images with dropout on.
    """

    network: Any
    history: list[Epoch]
    fine_tuned_blocks: int


def fit(weights: Path, data: TrainingData, params: TrainParams, on_epoch: OnEpoch) -> Fitted:
    """Train InceptionV3 on initial weights.

    The trunk below the tuned blocks runs once over all images; both phases train on what it gave.
    Each phase stops when the validation loss has not improved for `patience` epochs and goes back
    to its best weights; fine-tuning that does not beat the head alone is undone.
    Same seed, same machine, same library versions: the same weights to the bit.

    Args:
        weights: initial weights of the backbone.
        data: images and labels.
        params: section `train`.
        on_epoch: called with the epoch (from 1) and its row of the history.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from brain_tumor.model import features, network, precision

    precision.make_repeatable(params.seed)
    with precision.fastest():
        net = network.build(weights, size_px=data.train_images.shape[1], **_architecture(params))
        maps = [
            features.trunk_features(net.frozen, images, f"frozen trunk on {name} images")
            for name, images in (("train", data.train_images), ("val", data.val_images))
        ]
        vectors = [features.pooled(net.pool, net.tuned, part) for part in maps]
        network.standardise(net.head, vectors[0])
        phase = _Phase(params, data.train_labels, data.val_labels, on_epoch)
        best = phase.run(net.head, vectors, params.learning_rate, params.head_epochs)
        tuned = 0
        if params.fine_tune_blocks and params.fine_tune_epochs:
            tuned = _fine_tune(net, maps, phase, best)
    return Fitted(precision.as_float32(net.whole), phase.history, tuned)


def _architecture(params: TrainParams) -> dict[str, Any]:
    names = {"head", "head_block", "fine_tune_blocks", "dropout"}
    return params.model_dump(include=names)


def _fine_tune(net: Any, maps: list[NDArray[np.float32]], phase: "_Phase", best: float) -> int:
    """Train tuned blocks and head together; returns how many blocks it changed for the better."""
    import keras

    params = phase.params
    inputs = keras.Input(maps[0].shape[1:])
    upper = keras.Model(inputs, net.head(net.pool(net.tuned(inputs))))
    before = upper.get_weights()
    rate = params.learning_rate * params.fine_tune_rate_fraction
    if phase.run(upper, maps, rate, params.fine_tune_epochs) < best:
        return params.fine_tune_blocks
    upper.set_weights(before)
    return 0


@dataclass
class _Phase:
    """What the two phases of a training share; `history` grows over both."""

    params: TrainParams
    train_labels: NDArray[np.float32]
    val_labels: NDArray[np.float32]
    on_epoch: OnEpoch

    def __post_init__(self) -> None:
        self.history: list[Epoch] = []

    def run(self, model: Any, inputs: list[NDArray[np.float32]], rate: float, epochs: int) -> float:
        """Train `model` on (train, val) inputs, leave its best weights, return their val loss."""
        import keras

        model.compile(
            optimizer=keras.optimizers.AdamW(rate, weight_decay=self.params.weight_decay),
            loss="binary_crossentropy",
            metrics=["accuracy"],
        )
        stopping = keras.callbacks.EarlyStopping(
            monitor="val_loss", patience=self.params.patience, restore_best_weights=True
        )
        fine_tuning = float(bool(self.history))
        record = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda _, logs: self._record(logs, rate, fine_tuning)
        )
        model.fit(
            inputs[0],
            self.train_labels,
            validation_data=(inputs[1], self.val_labels),
            batch_size=self.params.batch_size,
            epochs=epochs,
            class_weight=self._class_weight(),
            callbacks=[record, stopping],
            verbose=0,
        )
        return float(stopping.best)

    def _record(self, logs: dict[str, float], rate: float, fine_tuning: float) -> None:
        names = ("loss", "accuracy", "val_loss", "val_accuracy")
        row = {name: float(logs[name]) for name in names}
        epoch = len(self.history) + 1
        if not np.isfinite(row["loss"] + row["val_loss"]):
            raise ValueError(
                f"training diverged in epoch {epoch}: loss {row['loss']}, validation loss "
                f"{row['val_loss']} at learning rate {rate}; lower train.learning_rate"
            )
        row = {"epoch": epoch, "fine_tuning": fine_tuning, "learning_rate": rate, **row}
        self.history.append(row)
        self.on_epoch(epoch, row)

    def _class_weight(self) -> dict[int, float] | None:
        if self.params.class_weight == "none":
            return None
        from sklearn.utils.class_weight import compute_class_weight

        classes = np.asarray([0.0, 1.0])
        weights = compute_class_weight("balanced", classes=classes, y=self.train_labels)
        return dict(enumerate(map(float, weights)))
