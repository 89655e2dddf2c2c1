"""The recipe as it was before docs/evidence/decisions.md: what the present one is compared with."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd
from pydantic import Field

from brain_tumor.model.calibration import HALF
from brain_tumor.model.development import Development
from brain_tumor.model.fit import Start, fit, network_of
from brain_tumor.model.recipe import Answer, Pool
from brain_tumor.model.saved import predict_proba
from brain_tumor.settings import Section, TrainParams


class BeforeParams(Section):
    """Section `before` of evidence/params.yaml.

    Attributes:
        folds: one part in so many of the development images stops the training.
        train: the training, nothing tuned.
    """

    folds: int = Field(ge=2)
    train: TrainParams


@dataclass(frozen=True)
class FormerRecipe:
    """Fixed hyperparameters, one held-out part to stop by, no calibration, threshold 0.5.

    Attributes:
        start: initial weights and feature cache.
        params: section `before`.
    """

    start: Start
    params: BeforeParams

    def __call__(
        self, pool: Pool, development: Sequence[str], unseen: Sequence[str], seed: int
    ) -> Answer:
        """Fit on `development`, predict `unseen`; `seed` is added to that of the training."""
        known, rows = Development(pool.images, pool.rows), pool.rows
        originals = pd.Series(rows.index, index=rows["source"])[~rows["copy"].to_numpy()]
        clusters = rows[~rows["copy"]].set_index("source")["cluster"]
        train = self.params.train.model_copy(update={"seed": self.params.train.seed + seed})
        data = next(known.folds(clusters, self.params.folds, seed, among=set(development)))
        fitted = fit(self.start, data, train, lambda *_: None)
        network = network_of(self.start.weights, fitted, train, known.images.shape[1])
        said = predict_proba(network, known.images[originals.loc[list(unseen)].to_numpy()])
        stopped_by = rows["source"].to_numpy()[data.val]
        inner = pd.DataFrame({"path": stopped_by, "probability": fitted.val_probability})
        return Answer(said, said, 1.0, HALF, {}, inner)
