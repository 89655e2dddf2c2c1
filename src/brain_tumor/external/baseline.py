"""How far the classes of a folder are told apart without looking at a picture."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.dataset.metadata import metadata_classifier
from brain_tumor.settings import LABELS, POSITIVE

SEED, FOLDS, MIN_CLUSTERS = 0, 5, 5


def metadata_probability(features: pd.DataFrame, table: pd.DataFrame) -> NDArray[np.float64] | None:
    """Probability of `yes` by a random forest on file metadata, out of fold.

    The forest is trained inside the folder, on the other folds, and no cluster is divided between
    them. So it knows the folder's habits, which the model does not.

    Args:
        features: `dataset.metadata.metadata_features`, (N, ...).
        table: N rows with `label` and `cluster`.

    Returns:
        (N,); None where a class has fewer than `MIN_CLUSTERS` clusters.
    """
    from sklearn.model_selection import StratifiedGroupKFold, cross_val_predict

    counts = table.groupby("label")["cluster"].nunique()
    if any(counts.get(label, 0) < MIN_CLUSTERS for label in LABELS):
        return None
    y_true = (table["label"] == POSITIVE).to_numpy()
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=SEED)
    probability = cross_val_predict(
        metadata_classifier(SEED),
        features,
        y_true,
        groups=table["cluster"].to_numpy(),
        cv=folds,
        method="predict_proba",
    )
    return np.asarray(probability[:, 1], dtype=np.float64)
