"""Out-of-fold predictions of development images."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import pandas as pd

from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Start, fit
from brain_tumor.model.train_params import TrainParams
from brain_tumor.progress import track


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
        parts = []
        for number, data in enumerate(track(folds, "inner folds", len(folds))):
            fitted = fit(start, data, params, lambda *_: None)
            columns = {"row": data.val, "y": data.labels[data.val].astype(np.int64), "fold": number}
            parts.append(pd.DataFrame(columns | {"probability": fitted.val_probability}))
        return cls(pd.concat(parts, ignore_index=True))
