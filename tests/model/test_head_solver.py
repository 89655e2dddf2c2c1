"""The solved head: the optimum it says it is, whatever the seed and the order of images."""

from typing import Any

import numpy as np
import pytest

from brain_tumor.model import network, training
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.saved import predict_in_batches
from brain_tumor.settings import TrainParams

FEATURES, PENALTY = 6, 0.1
PARAMS = TrainParams(
    seed=0,
    head="gap",
    head_block=6,
    fine_tune_blocks=0,
    dropout=0.0,
    head_penalty=PENALTY,
    learning_rate=1e-3,
    fine_tune_rate_fraction=0.1,
    weight_decay=0.0,
    batch_size=8,
    precision="float32",
    head_epochs=1,
    fine_tune_epochs=1,
    patience=1,
    class_weight="balanced",
)


def data(train: int = 40, val: int = 20) -> tuple[Any, TrainingData]:
    """Vectors of very different scales, and rows of which two thirds are tumours."""
    rng = np.random.default_rng(3)
    labels = (np.arange(train + val) % 3 > 0).astype(np.float32)
    vectors = rng.normal(labels[:, None] * 0.8, 1.0, (train + val, FEATURES)) * 10.0 ** np.arange(
        FEATURES
    )
    rows = np.arange(train), np.arange(train, train + val)
    nothing = np.zeros((train + val, 1, 1), np.uint8)
    return vectors.astype(np.float32), TrainingData(nothing, labels, *rows)


def solved(**changes: Any) -> Any:
    vectors, given = data()
    params = PARAMS.model_copy(update=changes)
    top = network.make_head("gap", FEATURES, params.dropout or 0.0, params.seed)
    network.standardise(top, vectors[given.train])
    training.solve_head(top, vectors, given, params)
    return top


def loss(top: Any, weights: Any, bias: float, *, balanced: bool) -> float:
    """The formula of the module's docstring, in float64."""
    vectors, given = data()
    z = np.asarray(top.get_layer("standardise")(vectors[given.train]), np.float64)
    truth = given.labels[given.train]
    each = np.logaddexp(0.0, np.where(truth == 1, -1.0, 1.0) * (z @ weights + bias))
    if balanced:
        each *= np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1.0 - truth.mean()))
    return float(each.mean() + PENALTY / 2 * np.sum(weights**2))


@pytest.mark.parametrize("balanced", [True, False])
def test_every_step_from_the_solution_raises_the_loss(balanced: bool) -> None:
    top = solved(class_weight="balanced" if balanced else "none")
    kernel, bias = (np.asarray(w, np.float64) for w in top.get_layer("probability").get_weights())
    lowest = loss(top, kernel[:, 0], bias[0], balanced=balanced)
    rng = np.random.default_rng(0)
    for _ in range(100):
        step = rng.normal(0.0, 0.02, FEATURES + 1)
        assert loss(top, kernel[:, 0] + step[:-1], bias[0] + step[-1], balanced=balanced) > lowest


def test_seed_and_validation_rows_do_not_matter() -> None:
    one, two = (solved(seed=seed).get_layer("probability").get_weights() for seed in (0, 1))
    vectors, given = data()
    top = network.make_head("gap", FEATURES, 0.0, 0)
    network.standardise(top, vectors[given.train])
    training.solve_head(top, np.where(np.arange(60)[:, None] < 40, vectors, 0.0), given, PARAMS)
    for a, b, c in zip(one, two, top.get_layer("probability").get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_larger_penalty_gives_smaller_weights() -> None:
    sizes = [
        float(
            np.linalg.norm(solved(head_penalty=penalty).get_layer("probability").get_weights()[0])
        )
        for penalty in (0.001, 0.1, 10.0)
    ]
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


def test_losses_are_those_of_the_head() -> None:
    vectors, given = data()
    top = solved()
    row = training.head_losses(top, vectors, given)
    for prefix, rows in (("", given.train), ("val_", given.val)):
        truth = given.labels[rows].astype(np.int64)
        probability = predict_in_batches(top, vectors[rows])
        called = np.where(truth == 1, probability, 1.0 - probability)
        assert row[f"{prefix}loss"] == pytest.approx(float(-np.log(called).mean()), rel=1e-5)
        assert row[f"{prefix}accuracy"] == np.mean(called > 0.5)
