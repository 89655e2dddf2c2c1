"""The baseline that fine-tuning must earn its cost against: a linear probe of frozen features."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.evidence.folds import Fold
from brain_tumor.evidence.pool import is_tumour

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)  # scikit-learn's C, the inverse of the penalty
_INNER_FOLDS = 5


def predict_probe(
    features: NDArray[np.float32], rows: pd.DataFrame, fold: Fold
) -> NDArray[np.float64]:
    """Logistic regression on standardised features, fitted on images and copies.

    Its penalty is the one with the lowest log loss over inner folds of the development images (no
    cluster is divided). The probability of an image is the mean over it and its copies.

    Args:
        features: float32 (N, channels), of the pool.
        rows: of the pool: source, label, copy, cluster.
        fold: what fits and what is unseen.

    Returns:
        float64 (unseen,), in the order of the fold.
    """
    fits = rows["source"].isin(fold.development).to_numpy(np.bool_)
    development = rows[fits].reset_index(drop=True)
    best = _strength(features[fits], development, fold)
    model = _model(best).fit(features[fits], is_tumour(development["label"]))
    return _views_averaged(model, features, rows, list(fold.unseen))


def _strength(features: NDArray[np.float32], rows: pd.DataFrame, fold: Fold) -> float:
    from sklearn.metrics import log_loss
    from sklearn.model_selection import StratifiedGroupKFold

    own = rows[~rows["copy"].to_numpy(np.bool_)]
    count = min(_INNER_FOLDS, int(own.groupby("label")["cluster"].nunique().min()))
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=fold.repeat)
    losses = dict.fromkeys(STRENGTHS, 0.0)
    for _, held in splitter.split(own, own["label"], own["cluster"]):
        unseen = own.iloc[held]
        fits = ~rows["cluster"].isin(set(unseen["cluster"])).to_numpy(np.bool_)
        for strength in STRENGTHS:
            model = _model(strength).fit(features[fits], is_tumour(rows.loc[fits, "label"]))
            said = _views_averaged(model, features, rows, list(unseen["source"]))
            losses[strength] += log_loss(is_tumour(unseen["label"]), said, labels=[0, 1]) * len(
                unseen
            )
    return min(losses, key=lambda strength: losses[strength])


def _model(strength: float) -> Any:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))


def _views_averaged(
    model: Any, features: NDArray[np.float32], rows: pd.DataFrame, paths: list[str]
) -> NDArray[np.float64]:
    wanted = rows["source"].isin(paths).to_numpy(np.bool_)
    said = pd.Series(model.predict_proba(features[wanted])[:, 1])
    mean = said.groupby(rows.loc[wanted, "source"].to_numpy()).mean()
    return np.asarray(mean.loc[paths], np.float64)
