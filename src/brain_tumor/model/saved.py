"""A trained network on disk: `model.keras`, and `model.json`, which says what it is."""

import hashlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from brain_tumor.files import RESTORE, read_artefact, reading, replacing, write_json
from brain_tumor.settings import Section
from brain_tumor.shards import ArrayRows, ImageRows

NETWORK_FILE = "model.keras"
META_FILE = "model.json"
BATCH = 32


class NetworkMeta(Section):
    """What training knows of a network, beside its weights.

    Attributes:
        head: `gap` or `paper`.
        head_block: the InceptionV3 block the head sits on, 0 to 10.
        fine_tuned_blocks: how many blocks below the head were trained.
        size_px: side of the square grey image it takes.
        initial_weights: source of the weights training started from (`imagenet`, `random`, …).
        initial_weights_sha256: their digest.
        parameters: number of weights, trainable or not.
        seed: seed of the training.
    """

    head: str
    head_block: int
    fine_tuned_blocks: int
    size_px: int
    initial_weights: str
    initial_weights_sha256: str
    parameters: int
    seed: int

    @property
    def stride_px(self) -> int:
        """Pixels of the image between neighbouring places of the head's maps, 8 to 32.

        The maps are centred on the image: no padding is asymmetric.
        """
        return 8 << sum(self.head_block >= reduction for reduction in (3, 8))


class ModelMeta(NetworkMeta):
    """What a model is: a network, and how its probabilities become calls.

    Attributes:
        threshold: (calibrated) probability from which an image is called `yes`.
        temperature: probabilities are calibrated with (see `calibration`); None: they are not.
    """

    threshold: float
    temperature: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None = None


@dataclass(frozen=True)
class SavedModel:
    """A network (float32 [0, 1] (N, size, size, 1) to P(yes) (N, 1)) and what it is."""

    network: Any
    meta: ModelMeta


def save(folder: Path, network: Any, meta: ModelMeta) -> None:
    """Write `model.keras` and `model.json` into `folder`, each whole or not at all."""
    save_network(folder / NETWORK_FILE, network)
    write_json(folder / META_FILE, meta.model_dump())


def save_network(path: Path, network: Any) -> None:
    """Write a network, whole or not at all."""
    with replacing(path) as aside:
        network.save(aside)


def load(folder: Path) -> SavedModel:
    """Load a model whose files lie together, as those of a registered model do.

    Raises:
        UserError: a file is missing or not readable; the message names it.
    """
    return load_parts(folder / NETWORK_FILE, folder / META_FILE)


def load_parts(network: Path, meta: Path) -> SavedModel:
    """Load a model of the pipeline, whose files two stages wrote (see `load`)."""
    description = read_meta(meta)
    return SavedModel(load_network(network), description)


def load_network(path: Path) -> Any:
    """Load a network, uncompiled.

    Raises:
        UserError: it is missing or not readable.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    with reading(path, RESTORE), ZipFile(path):  # Keras takes what is no archive for missing
        return keras.models.load_model(path, compile=False)


def load_meta(folder: Path) -> ModelMeta:
    """Load `model.json` from `folder`."""
    return read_meta(folder / META_FILE)


def read_meta(path: Path) -> ModelMeta:
    """Read a `model.json`.

    Raises:
        UserError: it is missing or not readable.
    """
    return read_artefact(path, ModelMeta, RESTORE)


def predict_proba(network: Any, images: ImageRows) -> NDArray[np.float64]:
    """Probability of a tumour for grey images.

    Args:
        network: as loaded.
        images: uint8 (N, size, size).

    Returns:
        float64 (N,) in [0, 1].
    """
    to_unit(images[:0])  # wrong images are named before any work
    return predict_in_batches(lambda batch, **how: network(to_unit(batch), **how), images)


def predict_in_batches(network: Any, inputs: ArrayRows) -> NDArray[np.float64]:
    """Probability, float64 (N,), of a network that gives (N, 1) for its inputs (N, ...)."""
    batches = (
        np.asarray(network(np.asarray(inputs[start : start + BATCH]), training=False))
        for start in range(0, len(inputs), BATCH)
    )
    return np.concatenate([np.zeros(0), *(batch[:, 0].astype(np.float64) for batch in batches)])


def to_unit(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Grey uint8 (N, size, size) to the network's float32 [0, 1] (N, size, size, 1)."""
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(f"images are {images.dtype} {images.shape}; uint8 (N, size, size) needed")
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def digest(saved: SavedModel) -> str:
    """SHA-256 of the description and all weights; equal for equal models.

    (The bytes of `.keras` files differ at every save.)
    """
    sha = hashlib.sha256(json.dumps(saved.meta.model_dump(), sort_keys=True).encode())
    for weight in saved.network.get_weights():
        array = np.ascontiguousarray(weight)
        sha.update(f"{array.dtype}{array.shape}".encode())
        sha.update(array.tobytes())
    return sha.hexdigest()
