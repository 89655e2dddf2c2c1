"""The recipe: trials over folds, and what they predict out of fold."""

from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest

from brain_tumor.model import recipe
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.training import Fitted, Start

PARAMS: Any = None  # the stand-in needs none
FOLDS = [
    TrainingData(
        np.zeros((4, 75, 75), np.uint8),
        np.array([0, 1, 0, 1], np.float32),
        np.array(train),
        np.array(val),
    )
    for train, val in (([0, 1], [2, 3]), ([2, 3], [0, 1]))
]


class HopelessTrial(optuna.trial.FixedTrial):
    """The pruner would always give it up."""

    def should_prune(self) -> bool:
        return True


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Nothing is trained: the held-out images are told well."""

    def fit(start: Start, data: TrainingData, params: Any, on_epoch: Any) -> Fitted:
        on_epoch(1, {"loss": 0.5})
        return Fitted([], None, [], np.where(data.labels[data.val] > 0, 0.8, 0.2))

    monkeypatch.setattr(recipe, "fit", fit)
    return Start(tmp_path / "weights.h5", FeatureCache(tmp_path, 1 << 20))


@pytest.mark.parametrize("count", [1, 2])
def test_a_trial_that_went_through_all_folds_is_complete(count: int, start: Start) -> None:
    trial: Any = HopelessTrial({})
    if count > 1:
        with pytest.raises(optuna.TrialPruned, match="pruned after 1 of 2 folds"):
            recipe.fit_folds(trial, start, FOLDS, PARAMS, "log_loss")
        assert recipe.OUT_OF_FOLD not in trial.user_attrs
        trial.should_prune = lambda: False
    value = recipe.fit_folds(trial, start, FOLDS[:count], PARAMS, "log_loss")
    assert value == pytest.approx(-np.log(0.8))
    assert trial.user_attrs[recipe.OUT_OF_FOLD] == [[0.2, 0.8]] * count


def test_epochs_and_folds_are_told_by_the_number_of_the_fold(start: Start) -> None:
    epochs: list[tuple[int, int]] = []
    folds: list[int] = []
    trial: Any = optuna.trial.FixedTrial({})
    recipe.fit_folds(
        trial, start, FOLDS, PARAMS, "auroc",
        lambda fold, epoch, _: epochs.append((fold, epoch)), lambda fold, _: folds.append(fold),
    )  # fmt: skip
    assert (epochs, folds) == ([(1, 1), (2, 1)], [1, 2])


def test_every_held_out_row_has_the_prediction_of_its_fold() -> None:
    table = recipe.out_of_fold(FOLDS, [[0.1, 0.9], [0.3, 0.7]])
    assert table.to_dict("list") == {
        "row": [2, 3, 0, 1], "y": [0, 1, 0, 1], "fold": [0, 0, 1, 1],
        "probability": [0.1, 0.9, 0.3, 0.7],
    }  # fmt: skip
