"""The recipe: a trial over held-out folds, what it predicts out of fold, and the network.

Stages tune and train call it, with tracking and files around it, and so does the cross-validation
of the evidence, for any division of the images. (Which trials there are: `tuning.search`;
temperature and threshold: `model.calibration`.)
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from brain_tumor.machine import lasting, track
from brain_tumor.model import metrics
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.training import DivergedError, Epoch, Fitted, OnEpoch, Start, fit, network_of
from brain_tumor.settings import TrainParams

if TYPE_CHECKING:
    from optuna import Trial

# Raise it with every change after which the same images, parameters and weights can give other
# predictions: studies and finished evidence made before then count as made by another recipe.
VERSION: Final = 1
OUT_OF_FOLD: Final = "out_of_fold"  # attribute of a complete trial: see `held_out` of its study


def fit_folds(
    trial: "Trial",
    start: Start,
    folds: Sequence[TrainingData],
    params: TrainParams,
    objective: str,
    on_epoch: Callable[[int, int, Epoch], None] = lambda *_: None,
    on_fold: Callable[[int, float], None] = lambda *_: None,
) -> float:
    """Fit once per fold; the mean of the objective on what the folds hold out.

    The mean so far is reported after each fold (steps from 1). A trial that went through all folds
    is complete, and gets the out-of-fold probabilities: only before the last one it may be pruned.
    The objective is `log_loss` (nats) or `auroc`. `on_epoch` is called with fold (from 1), epoch
    and its row, `on_fold` with fold and its objective.

    Raises:
        optuna.TrialPruned: it is worse than others were at that point, or diverged.
    """
    import optuna

    figure = metrics.log_loss if objective == "log_loss" else metrics.auroc
    scores: list[float] = []
    probabilities: list[list[float]] = []
    for number, data in enumerate(folds, 1):

        def on_epoch_of_fold(epoch: int, row: Epoch, number: int = number) -> None:
            on_epoch(number, epoch, row)

        try:
            with lasting(f"training, fold {number} of {len(folds)}"):
                fitted = fit(start, data, params, on_epoch_of_fold)
        except DivergedError as error:
            raise optuna.TrialPruned(str(error)) from error
        scores.append(figure(data.labels[data.val].astype(np.int64), fitted.val_probability))
        probabilities.append(fitted.val_probability.tolist())
        on_fold(number, scores[-1])
        trial.report(float(np.mean(scores)), number)
        if number < len(folds) and trial.should_prune():
            raise optuna.TrialPruned(f"pruned after {number} of {len(folds)} folds")
    trial.set_user_attr(OUT_OF_FOLD, probabilities)
    return float(np.mean(scores))


def out_of_fold(folds: Sequence[TrainingData], probabilities: Sequence[ArrayLike]) -> pd.DataFrame:
    """What was predicted for the held-out rows of each fold, put together.

    Returns:
        Columns row (of the images), y (0 or 1), fold (from 0), probability (of a network that was
        not fitted on the image; where training stops by held-out images, by these).
    """
    parts = []
    for number, (data, probability) in enumerate(zip(folds, probabilities, strict=True)):
        columns = {"row": data.val, "y": data.labels[data.val].astype(np.int64), "fold": number}
        parts.append(pd.DataFrame(columns | {"probability": np.asarray(probability)}))
    return pd.concat(parts, ignore_index=True)


def predict_out_of_fold(
    start: Start, folds: Sequence[TrainingData], params: TrainParams
) -> pd.DataFrame:
    """Fit once per fold and predict what it holds out; see `out_of_fold`."""
    fitted = (
        fit(start, data, params, lambda *_: None)
        for data in track(folds, "held-out folds", len(folds))
    )
    return out_of_fold(folds, [fold.val_probability for fold in fitted])


def fit_network(
    start: Start, data: TrainingData, params: TrainParams, on_epoch: OnEpoch = lambda *_: None
) -> tuple[Any, Fitted]:
    """Fit head and blocks; the whole Keras network, and what was fitted."""
    fitted = fit(start, data, params, on_epoch)
    return network_of(start.weights, fitted, params, data.images.shape[1]), fitted
