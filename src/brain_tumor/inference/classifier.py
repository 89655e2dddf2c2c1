"""Raw image bytes to the probability of a tumour."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.preprocess_params import PreprocessParams
from brain_tumor.imaging.statistics import image_statistics
from brain_tumor.imaging.workers import spread
from brain_tumor.inference.bundle import ATLAS_FILE, PREPROCESS_FILE
from brain_tumor.model import saved
from brain_tumor.model.pooled import predict_with_features

_BATCH = 32  # images preprocessed and held at a time


class PredictionError(ValueError):
    """An image cannot be predicted; the message says which and why."""


@dataclass(frozen=True)
class Prediction:
    """What the model says of one image.

    Attributes:
        probability: of a tumour, 0 to 1.
        label: `yes` from the threshold up, else `no`.
        threshold: the one stored with the model.
    """

    probability: float
    label: Literal["yes", "no"]
    threshold: float


@dataclass(frozen=True)
class Classifier:
    """A trained network with the preprocessing it was trained behind.

    Attributes:
        network: Keras; float32 [0, 1] (N, size, size, 1) to P(yes) (N, 1).
        meta: what the network is; holds the threshold.
        atlas: slices that images are normalised to.
        preprocess: section `preprocess` of the training.
    """

    network: Any
    meta: saved.ModelMeta
    atlas: Atlas
    preprocess: PreprocessParams

    @classmethod
    def load(cls, folder: Path) -> "Classifier":
        """Load from a bundle folder (see `inference.bundle`).

        Raises:
            ValueError: a file is missing or unreadable; the message names it.
        """
        model = saved.load(folder)
        return cls(
            network=model.network,
            meta=model.meta,
            atlas=Atlas.load(folder / ATLAS_FILE),
            preprocess=_load_preprocess(folder / PREPROCESS_FILE),
        )

    def predict(self, images: Sequence[bytes]) -> list[Prediction]:
        """Predict encoded images (JPEG, PNG, … as the raw files are).

        Raises:
            PredictionError: an image is not one; the message holds its index.
        """
        starts = range(0, len(images), _BATCH)
        batches = [self._predict_batch(images[start : start + _BATCH], start) for start in starts]
        return [self._prediction(value) for batch in batches for value in batch]

    def describe(self, images: Sequence[bytes]) -> tuple[list[dict[str, float]], np.ndarray]:
        """What encoded images look like to the model, as its profile has it (`Profile`).

        Returns:
            A row of statistics per image, `probability` among them, and the features, float32
            (images, channels).

        Raises:
            PredictionError: an image is not one; the message holds its index.
        """
        see = partial(_see, self.atlas, self.preprocess)
        seen = list(spread(see, list(enumerate(images)), "describe"))
        size_px = self.meta.size_px
        pixels = np.array([image for image, _ in seen], np.uint8).reshape(-1, size_px, size_px)
        probability, features = predict_with_features(self.network, pixels)
        values = [float(value) for value in probability]
        rows = [row | {"probability": p} for (_, row), p in zip(seen, values, strict=True)]
        return rows, features

    def _predict_batch(self, images: Sequence[bytes], start: int) -> list[float]:
        pixels = [self._pixels(data, start + offset) for offset, data in enumerate(images)]
        return [float(value) for value in saved.predict_proba(self.network, np.stack(pixels))]

    def _pixels(self, data: bytes, index: int) -> np.ndarray:
        try:
            return preprocess_image(data, self.atlas, self.preprocess).image
        except ValueError as error:
            raise PredictionError(f"image {index}: {error}") from error

    def _prediction(self, probability: float) -> Prediction:
        threshold = self.meta.threshold
        return Prediction(probability, "yes" if probability >= threshold else "no", threshold)


def _see(
    atlas: Atlas, params: PreprocessParams, task: tuple[int, bytes]
) -> tuple[np.ndarray, dict[str, float]]:
    """The network's input made from an image, and its statistics."""
    index, data = task
    try:
        done = preprocess_image(data, atlas, params)
    except ValueError as error:
        raise PredictionError(f"image {index}: {error}") from error
    return done.image, image_statistics(done.image, done.record, len(data)).row()


def _load_preprocess(path: Path) -> PreprocessParams:
    try:
        return PreprocessParams.model_validate_json(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: no readable preprocessing parameters: {error}") from error
