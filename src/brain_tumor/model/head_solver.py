"""The `gap` head as what it is, a penalised logistic regression, solved to its one optimum.

Gradient descent stopped by validation images gives a head that depends on the seed, the learning
rate and the images it was stopped by. The loss is convex: with a penalty it has one minimum,

    min_w,b  mean_i c_i log(1 + exp(-s_i (w . z_i + b)))  +  penalty / 2 * |w|^2

over training vectors z (standardised), signs s and class weights c of mean 1. It needs no
validation images, so they can be predicted out of fold. Solved by scikit-learn (L-BFGS).
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.model.development import TrainingData
from brain_tumor.model.metrics import log_loss
from brain_tumor.model.saved import predict_in_batches
from brain_tumor.settings import TrainParams

_TOLERANCE = 1e-6  # of the gradient
_ITERATIONS = 2000


def solve(top: Any, vectors: NDArray[np.float32], data: TrainingData, params: TrainParams) -> None:
    """Set the head's sigmoid unit to the optimum for the training rows.

    Args:
        top: a `gap` head whose standardisation is set (see `head.standardise`).
        vectors: float32 (N, features), of all images.
        data: says which rows train; validation rows are not looked at.
        params: head_penalty and class_weight.
    """
    from sklearn.linear_model import LogisticRegression

    truth = data.labels[data.train].astype(np.int64)
    standardised = np.asarray(top.get_layer("standardise")(vectors[data.train]), np.float64)
    found = LogisticRegression(
        C=1.0 / (float(params.head_penalty or 0.0) * len(truth)),
        class_weight="balanced" if params.class_weight == "balanced" else None,
        tol=_TOLERANCE,
        max_iter=_ITERATIONS,
    ).fit(standardised, truth)
    weights = [found.coef_.T.astype(np.float32), found.intercept_.astype(np.float32)]
    top.get_layer("probability").set_weights(weights)


def losses(top: Any, vectors: NDArray[np.float32], data: TrainingData) -> dict[str, float]:
    """Loss and accuracy on training and validation rows, as a row of the history has them."""
    row: dict[str, float] = {}
    for prefix, rows in (("", data.train), ("val_", data.val)):
        truth = data.labels[rows].astype(np.int64)
        probability = predict_in_batches(top, vectors[rows])
        row[f"{prefix}loss"] = log_loss(truth, probability)
        row[f"{prefix}accuracy"] = float(np.mean((probability >= 0.5) == truth))
    return row
