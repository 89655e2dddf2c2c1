"""Out-of-fold predictions of development images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Start, fit
from brain_tumor.progress import track
from brain_tumor.settings import TrainParams


@dataclass(frozen=True)
class Inner:
    """Out-of-fold predictions.

    Attributes:
        table: columns row (of the images), y (0 or 1), fold (from 0), probability (of a network
            that was not fitted on the image; where training stops by held-out images, by these).
    """

    table: pd.DataFrame

    @classmethod
    def predict(cls, start: Start, folds: Sequence[TrainingData], params: TrainParams) -> Self:
        """Fit once per fold and predict what it holds out."""
        fitted = (
            fit(start, data, params, lambda *_: None)
            for data in track(folds, "held-out folds", len(folds))
        )
        return cls.of(folds, [one.val_probability for one in fitted])

    @classmethod
    def of(cls, folds: Sequence[TrainingData], probabilities: Sequence[ArrayLike]) -> Self:
        """Put together what was predicted for the held-out rows of each fold."""
        parts = []
        for number, (data, probability) in enumerate(zip(folds, probabilities, strict=True)):
            columns = {"row": data.val, "y": data.labels[data.val].astype(np.int64), "fold": number}
            parts.append(pd.DataFrame(columns | {"probability": np.asarray(probability)}))
        return cls(pd.concat(parts, ignore_index=True))
