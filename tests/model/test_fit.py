"""Training: repeatable, frozen where it says so, stopped and undone where that is better."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.model.development import TrainingData
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.fit import Fitted, Start, fit, network_of, upper_model
from brain_tumor.model.phase import Epoch, Samples, Training
from brain_tumor.model.saved import predict_proba, to_unit
from brain_tumor.model.train_params import TrainParams

pytestmark = pytest.mark.slow

PARAMS = TrainParams(
    seed=0,
    head="gap",
    head_block=2,
    fine_tune_blocks=1,
    dropout=0.2,
    head_penalty=None,
    learning_rate=1e-2,
    fine_tune_rate_fraction=0.1,
    weight_decay=1e-3,
    batch_size=8,
    precision="float32",
    head_epochs=6,
    fine_tune_epochs=2,
    patience=3,
    class_weight="balanced",
)


@pytest.fixture(scope="module")
def start(random_weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Start:
    return Start(random_weights, FeatureCache(tmp_path_factory.mktemp("cache"), 10**9))


def blobs(n: int, seed: int) -> tuple[Any, Any]:
    """Noise images; the positive ones hold a bright square somewhere."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 120, (n, 75, 75)).astype(np.uint8)
    labels = (np.arange(n) % 2).astype(np.float32)
    for i in np.flatnonzero(labels == 1):
        row, column = rng.integers(5, 45, 2)
        images[i, row : row + 25, column : column + 25] = 230
    return images, labels


def data() -> TrainingData:
    (fit_x, fit_y), (val_x, val_y) = blobs(32, 1), blobs(16, 2)
    images, labels = np.concatenate([fit_x, val_x]), np.concatenate([fit_y, val_y])
    return TrainingData(images, labels, np.arange(32), np.arange(32, 48))


def run(start: Start, **changes: Any) -> tuple[Fitted, list[Epoch]]:
    rows: list[Epoch] = []
    params = PARAMS.model_copy(update=changes)
    return fit(start, data(), params, lambda _, row: rows.append(row)), rows


def same(one: Fitted, two: Fitted) -> bool:
    pairs = zip([*one.head, *(one.tuned or [])], [*two.head, *(two.tuned or [])], strict=True)
    return all(np.array_equal(a, b) for a, b in pairs)


def test_same_seed_gives_the_same_weights_to_the_bit(start: Start, tmp_path: Path) -> None:
    (one, _), (two, _) = run(start), run(start)
    other_cache = Start(start.weights, FeatureCache(tmp_path, 10**9))
    (three, _) = run(other_cache)
    assert same(one, two)
    assert same(one, three)
    assert one.history == two.history == three.history


def test_another_seed_gives_other_weights(start: Start) -> None:
    (one, _), (two, _) = run(start), run(start, seed=1)
    assert not same(one, two)


def test_every_epoch_is_reported_as_it_ends_and_kept(start: Start) -> None:
    fitted, rows = run(start)
    assert rows == fitted.history
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    tuned = [row for row in rows if row["fine_tuning"]]
    assert 1 <= len(tuned) <= 2
    assert [row["learning_rate"] for row in tuned] == pytest.approx([1e-3] * len(tuned))


def test_weights_are_those_of_the_lowest_validation_loss(start: Start) -> None:
    from brain_tumor.model import metrics

    fitted, _ = run(start)
    best = min(row["val_loss"] for row in fitted.history)
    labels = data().labels[data().val].astype(np.int64)
    assert metrics.log_loss(labels, fitted.val_probability) == pytest.approx(best, rel=1e-3)


@pytest.mark.parametrize("depth", [0, 1])
def test_validation_figures_are_those_of_the_whole_network(start: Start, depth: int) -> None:
    fitted, _ = run(start, fine_tune_blocks=depth)
    params = PARAMS.model_copy(update={"fine_tune_blocks": depth})
    network = network_of(start.weights, fitted, params, 75)
    whole = predict_proba(network, data().images[data().val])
    np.testing.assert_allclose(fitted.val_probability, whole, atol=1e-6)
    assert {layer.dtype_policy.name for layer in network.layers} == {"float32"}


def test_head_is_reported_before_fine_tuning(start: Start) -> None:
    events: list[Any] = []
    fit(start, data(), PARAMS, lambda _, row: events.append(row), events.append)
    at = next(i for i, event in enumerate(events) if isinstance(event, float))
    assert [row["fine_tuning"] for row in events[:at]] == [0.0] * at
    assert events[at] == pytest.approx(min(row["val_loss"] for row in events[:at]), rel=1e-3)
    assert all(row["fine_tuning"] for row in events[at + 1 :])


@pytest.mark.parametrize("depth", [1, 2])
def test_cached_features_train_as_the_whole_network_does(start: Start, depth: int) -> None:
    """Same seed, order and frozen batch normalisation: losses within 1e-4 of one another."""
    curves = [losses(start, depth, whole=whole) for whole in (False, True)]
    assert len(curves[0]) == 8
    np.testing.assert_allclose(curves[0], curves[1], rtol=1e-4)
    assert curves[0][0][0] - curves[0][-1][0] > 0.01  # it did learn something to differ in


def losses(start: Start, depth: int, *, whole: bool) -> list[list[float]]:
    """Eight epochs of head and top blocks, on stored maps or from the images up."""
    from brain_tumor.model import head, network, precision

    params = PARAMS.model_copy(update={"fine_tune_blocks": depth, "patience": 50})
    precision.make_repeatable(0)
    given = data()
    wanted = [Output(2, "gap"), Output(2 - depth, "maps")]
    vectors, maps = trunk_outputs(start.weights, given.images, wanted, start.cache)
    if whole:
        settings: Any = {"head": "gap", "head_block": 2, "dropout": 0.2, "size_px": 75, "seed": 0}
        net = network.build(start.weights, fine_tune_blocks=depth, **settings)
        top, model, inputs = net.head, net.whole, to_unit(given.images)
    else:
        top = head.make_head("gap", vectors.shape[1], 0.2, 0)
        blocks = network.top_blocks(start.weights, 2, depth, "float32")
        model, inputs = upper_model(top, blocks, "float32", params), maps
    head.standardise(top, vectors[given.train])
    training = Training(params, lambda _, __: None)
    samples = Samples(inputs.__getitem__, given.labels, given.train, given.val)
    training.phase(model, samples, 1e-3, 8)
    return [[row["loss"], row["val_loss"]] for row in training.history]


def test_fine_tuning_that_does_not_help_is_undone(start: Start) -> None:
    fitted, _ = run(start, fine_tune_rate_fraction=100.0)
    head_only, _ = run(start, fine_tune_epochs=0)
    assert fitted.tuned is None
    assert same(fitted, head_only)


def test_head_training_leaves_the_trunk_as_it_was(start: Start) -> None:
    from brain_tumor.model import network

    fitted, _ = run(start, fine_tune_blocks=0)
    params = PARAMS.model_copy(update={"fine_tune_blocks": 0})
    trunk = network.inception_v3()
    trunk.load_weights(start.weights)
    before = [layer.get_weights() for layer in trunk.layers if layer.get_weights()]
    frozen = network_of(start.weights, fitted, params, 75).get_layer("frozen_trunk")
    after = [layer.get_weights() for layer in frozen.layers if layer.get_weights()]
    assert len(after) > 30
    for old, new in zip(before, after, strict=False):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)


def test_training_that_diverges_names_the_rate(start: Start) -> None:
    with pytest.raises(ValueError, match=r"diverged in epoch 1.*learning rate nan"):
        run(start, learning_rate=float("nan"))


@pytest.mark.parametrize("number_format", ["bfloat16", "float16"])
def test_blocks_in_half_precision_give_nearly_the_same_maps(
    start: Start, number_format: Any
) -> None:
    from brain_tumor.model import network

    (maps,) = trunk_outputs(start.weights, data().images, [Output(1, "maps")], start.cache)
    exact, half = (
        np.asarray(network.top_blocks(start.weights, 2, 1, name)(np.asarray(maps)), np.float64)
        for name in ("float32", number_format)
    )
    error = float(np.linalg.norm(half - exact) / np.linalg.norm(exact))
    assert 0 < error < 0.02  # bfloat16 has 8 bits of precision


@pytest.mark.parametrize("number_format", ["bfloat16", "float16"])
def test_what_half_precision_trained_is_judged_in_float32(start: Start, number_format: str) -> None:
    changes: Any = {"precision": number_format, "fine_tune_rate_fraction": 1e-3}
    fitted, rows = run(start, **changes)
    assert any(row["fine_tuning"] for row in rows)
    network = network_of(start.weights, fitted, PARAMS.model_copy(update=changes), 75)
    floats = [array for array in network.get_weights() if array.dtype.kind not in "iu"]
    assert {array.dtype.name for array in floats} == {"float32"}
    whole = predict_proba(network, data().images[data().val])
    np.testing.assert_allclose(fitted.val_probability, whole, atol=1e-6)
