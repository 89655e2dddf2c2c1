"""Training: repeatable, frozen where it says so, and the same as that of the whole network.

The solved head is the optimum it says it is, whatever the seed and the order of images.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.model import fine_tuning, metrics, network, reading, training
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.saved import predict_in_batches, predict_proba, to_unit
from brain_tumor.model.training import SAME, Epoch, Fitted, Start, fit, network_of, penalty_path
from brain_tumor.settings import TrainParams

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
    phantom_weight=1.0,
)


PEAK = 5e-5  # learning rate: features of random weights hardly differ, so small steps reach far


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


@pytest.fixture(scope="module")
def trained_head_and_block(start: Start) -> tuple[Fitted, list[Epoch]]:
    """With the parameters as they are."""
    return run(start)


@pytest.fixture(scope="module")
def trained_head(start: Start) -> Fitted:
    """With no block fine-tuned."""
    return run(start, fine_tune_blocks=0)[0]


def same(a: Fitted, b: Fitted) -> bool:
    pairs = zip([*a.head, *(a.tuned or [])], [*b.head, *(b.tuned or [])], strict=True)
    return all(np.array_equal(x, y) for x, y in pairs)


@pytest.mark.slow
def test_same_seed_gives_the_same_weights_to_the_bit(
    start: Start, trained_head_and_block: tuple[Fitted, list[Epoch]], tmp_path: Path
) -> None:
    (first, _), (second, _) = trained_head_and_block, run(start)
    other_cache = Start(start.weights, FeatureCache(tmp_path, 10**9))
    (third, _) = run(other_cache)
    assert same(first, second)
    assert same(first, third)
    assert first.history == second.history == third.history


@pytest.mark.slow
def test_another_seed_gives_other_weights(
    start: Start, trained_head_and_block: tuple[Fitted, list[Epoch]]
) -> None:
    (first, _), (second, _) = trained_head_and_block, run(start, seed=1)
    assert not same(first, second)


@pytest.mark.slow
def test_every_epoch_is_reported_as_it_ends_and_kept(
    trained_head_and_block: tuple[Fitted, list[Epoch]],
) -> None:
    fitted, rows = trained_head_and_block
    assert rows == fitted.history
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    assert [row["fine_tuning"] for row in rows[-2:]] == [1.0, 1.0]
    assert {row["fine_tuning"] for row in rows[:-2]} == {0.0}
    assert 0 < rows[-1]["learning_rate"] < rows[-2]["learning_rate"] < 1e-3  # peak of the cosine


@pytest.mark.slow
def test_fine_tuning_goes_on_from_the_solved_head_as_epoch_0(start: Start) -> None:
    fitted, rows = run(start, head_penalty=0.1, learning_rate=1e-6)
    frozen, (only,) = run(start, head_penalty=0.1, fine_tune_blocks=0, learning_rate=None)
    assert [row["epoch"] for row in rows] == [0, 1, 2]
    assert rows[0] == only
    assert frozen.tuned is None
    assert fitted.tuned is not None
    assert not np.array_equal(fitted.head[-2], frozen.head[-2])
    assert abs(rows[1]["loss"] - only["loss"]) < 0.1  # it starts where that ended


@pytest.mark.slow
def test_trained_head_is_that_of_the_lowest_validation_loss(trained_head: Fitted) -> None:
    fitted = trained_head
    best = min(row["val_loss"] for row in fitted.history)
    labels = data().labels[data().val].astype(np.int64)
    assert metrics.log_loss(labels, fitted.val_probability) == pytest.approx(best, rel=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(("head", "depth"), [("gap", 0), ("gap", 1), ("paper", 1)])
def test_validation_figures_are_those_of_the_whole_network(
    start: Start, head: str, depth: int
) -> None:
    changes: Any = {"head": head, "fine_tune_blocks": depth}
    fitted, rows = run(start, **changes)
    assert sum(row["fine_tuning"] for row in rows) == 2 * depth
    params = PARAMS.model_copy(update=changes)
    net = network_of(start.weights, fitted, params, 75)
    whole = predict_proba(net, data().images[data().val])
    np.testing.assert_allclose(fitted.val_probability, whole, atol=1e-6)
    assert {layer.dtype_policy.name for layer in net.layers} == {"float32"}


@pytest.mark.slow
def test_last_epoch_of_fine_tuning_is_what_comes_out(
    trained_head_and_block: tuple[Fitted, list[Epoch]],
) -> None:
    fitted, rows = trained_head_and_block
    labels = data().labels[data().val].astype(np.int64)
    assert metrics.log_loss(labels, fitted.val_probability) == rows[-1]["val_loss"]


@pytest.mark.slow
def test_held_out_images_decide_nothing_in_fine_tuning(start: Start) -> None:
    given = data()
    params = PARAMS.model_copy(update={"head_penalty": 0.1, "learning_rate": 1e-5})
    other = replace(given, labels=np.where(np.arange(48) < 32, given.labels, 1 - given.labels))
    first, second = (fit(start, each, params, lambda *_: None) for each in (given, other))
    assert same(first, second)
    assert first.history[-1]["val_loss"] != second.history[-1]["val_loss"]


@pytest.mark.slow
@pytest.mark.parametrize("depth", [1, 2])
def test_stored_maps_train_as_the_whole_network_does(start: Start, depth: int) -> None:
    """The steps of `fine_tuning`, written down again for the whole network from the images up."""
    changes: Any = {"head_penalty": 0.1, "learning_rate": PEAK, "fine_tune_epochs": 3}
    params = PARAMS.model_copy(update={**changes, "fine_tune_blocks": depth})
    fitted = fit(start, data(), params, lambda *_: None)
    whole = whole_network(start, params)
    np.testing.assert_allclose(fitted.val_probability, whole, rtol=0, atol=SAME)
    before, after = fitted.history[0]["val_loss"], fitted.history[-1]["val_loss"]
    assert abs(before - after) > 1e-3  # it did learn something to differ in


def whole_network(start: Start, params: TrainParams) -> Any:
    """Probability of the held-out images after the same fine-tuning of the whole network."""
    import keras
    import tensorflow as tf

    given = data()
    frozen = params.model_copy(update={"fine_tune_blocks": 0})
    solved = fit(start, given, frozen, lambda *_: None)
    net = network_of(start.weights, replace(solved, tuned=None), params, 75)
    x, y = to_unit(given.images[:]), given.labels
    trained = [v for v in net.trainable_variables if "frozen" not in v.path]
    slope = next(v for v in trained if v.path.endswith("probability/kernel"))
    average = [np.asarray(v) for v in trained]
    adam, rng = keras.optimizers.Adam(1.0), np.random.default_rng(params.seed)
    adam.build(trained)
    steps = 3 * 4
    for step in range(steps):
        if step % 4 == 0:
            drawn = given.draw(rng, 1.0)
        rows = drawn[8 * (step % 4) : 8 * (step % 4) + 8]
        rate = PEAK * (1 if step == 0 else 0.5 * (1 + np.cos(np.pi * (step - 1) / (steps - 1))))
        with tf.GradientTape() as tape:
            p = net(x[rows], training=False)[:, 0]
            loss = tf.reduce_mean(keras.losses.binary_crossentropy(y[rows, None], p[:, None]))
            loss += 0.05 * tf.reduce_sum(tf.square(slope.value))
        gradients = tape.gradient(loss, [v.value for v in trained])
        adam.learning_rate.assign(rate)
        adam.apply(gradients, trained)
        decay = min(0.9, (step + 1) / (step + 11))
        for place, variable in enumerate(trained):
            variable.assign(variable * (1 - rate * (params.weight_decay or 0.0)))
            average[place] = decay * average[place] + (1 - decay) * np.asarray(variable)
    for variable, value in zip(trained, average, strict=True):
        variable.assign(value)
    return np.asarray(net(x[given.val], training=False))[:, 0]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_maps_are_never_read_whole(start: Start, precision: str) -> None:
    changes: Any = {"head_penalty": 0.1, "learning_rate": PEAK, "precision": precision}
    params, given = PARAMS.model_copy(update=changes), data()
    maps, val_maps = tuned_maps(start, params)
    blocks, probability = tuned(start, params, maps, val_maps)
    blocks_read, probability_read = tuned(start, params, Rows(maps, 16), Rows(val_maps, 16))
    assert len(given.val) == len(probability)
    np.testing.assert_array_equal(probability, probability_read)
    for whole, read in zip(blocks, blocks_read, strict=True):
        np.testing.assert_array_equal(whole, read)


@pytest.mark.slow
def test_maps_that_cannot_be_read_are_named(start: Start) -> None:
    params = PARAMS.model_copy(update={"head_penalty": 0.1, "learning_rate": PEAK})
    maps, val_maps = tuned_maps(start, params)

    class Damaged(Rows):
        def __getitem__(self, rows: Any) -> Any:
            raise UserError("maps.npy: it became shorter; run again")

    for of_step, of_val in ((Damaged(maps, 0), val_maps), (maps, Damaged(val_maps, 0))):
        with pytest.raises(UserError, match=r"maps\.npy: it became shorter"):
            tuned(start, params, of_step, of_val)


def tuned_maps(start: Start, params: TrainParams) -> tuple[Any, Any]:
    """The maps that `fit` hands to fine-tuning."""
    images, given = data().images, data()
    (_, maps) = trunk_outputs(start.weights, images, training.outputs(params), start.cache)
    exact = training.exact_outputs(params)
    (val_maps,) = trunk_outputs(start.weights, images[given.val], exact, start.cache)
    return maps, val_maps


def tuned(start: Start, params: TrainParams, maps: Any, val_maps: Any) -> Any:
    """Blocks and probability after fine-tuning on these maps."""
    given = data()
    (vectors,) = trunk_outputs(start.weights, given.images, [Output(2, "gap")], start.cache)
    head = network.make_head("gap", vectors.shape[1], 0.0, 0)
    network.standardise(head, vectors, given.train)
    training.solve_head(head, vectors, given, params)
    weight = {0: 1.0, 1: 1.0}
    return fine_tuning.fine_tune(
        head, start.weights, maps, val_maps, given, params, PEAK, weight, lambda *_: None
    )


@pytest.mark.slow
def test_second_training_is_not_touched_by_the_first(start: Start) -> None:
    """Trainings share the prepared step; what it holds is set anew."""
    changes: Any = {"head_penalty": 0.1, "learning_rate": 1e-5}
    alone, _ = run(start, **changes)
    run(start, **{**changes, "seed": 3, "learning_rate": 1e-1, "weight_decay": 0.5})
    again, _ = run(start, **changes)
    assert same(alone, again)
    assert alone.history == again.history


@pytest.mark.slow
def test_penalty_path_has_the_penalty_that_was_given(start: Start) -> None:
    params = PARAMS.model_copy(update={"head_penalty": 0.1, "fine_tune_blocks": 0})
    path = penalty_path(start, data(), params)
    _, (row,) = run(start, head_penalty=0.1, fine_tune_blocks=0)
    given = path[path["given"]].iloc[0]
    assert given["val_loss"] == pytest.approx(row["val_loss"])
    assert path["penalty"].is_monotonic_increasing
    assert path["loss"].is_monotonic_increasing  # the more penalty, the worse the fit


@pytest.mark.slow
def test_head_training_leaves_the_trunk_as_it_was(start: Start, trained_head: Fitted) -> None:
    params = PARAMS.model_copy(update={"fine_tune_blocks": 0})
    trunk = network.inception_v3()
    trunk.load_weights(start.weights)
    before = [layer.get_weights() for layer in trunk.layers if layer.get_weights()]
    frozen = network_of(start.weights, trained_head, params, 75).get_layer("frozen_trunk")
    after = [layer.get_weights() for layer in frozen.layers if layer.get_weights()]
    assert len(after) > 30
    for old, new in zip(before, after, strict=False):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_training_that_diverges_names_the_rate(start: Start) -> None:
    with pytest.raises(ValueError, match=r"diverged in epoch 1.*learning rate nan"):
        run(start, learning_rate=float("nan"))


@pytest.mark.slow
def test_blocks_in_half_precision_give_nearly_the_same_maps(start: Start) -> None:
    (maps,) = trunk_outputs(start.weights, data().images, [Output(1, "maps")], start.cache)
    exact, half = (
        np.asarray(network.top_blocks(start.weights, 2, 1, name)(np.asarray(maps)), np.float64)
        for name in ("float32", "bfloat16")
    )
    error = float(np.linalg.norm(half - exact) / np.linalg.norm(exact))
    assert 0 < error < 0.02  # bfloat16 has 8 bits of precision


@pytest.mark.slow
def test_what_half_precision_trained_is_judged_in_float32(start: Start) -> None:
    changes: Any = {"precision": "bfloat16", "fine_tune_rate_fraction": 1e-3}
    fitted, rows = run(start, **changes)
    assert any(row["fine_tuning"] for row in rows)
    net = network_of(start.weights, fitted, PARAMS.model_copy(update=changes), 75)
    floats = [array for array in net.get_weights() if array.dtype.kind not in "iu"]
    assert {array.dtype.name for array in floats} == {"float32"}
    whole = predict_proba(net, data().images[data().val])
    np.testing.assert_allclose(fitted.val_probability, whole, atol=1e-6)


FEATURES, PENALTY = 6, 0.1
HEAD_ALONE = PARAMS.model_copy(
    update={"fine_tune_blocks": 0, "head_penalty": PENALTY, "dropout": 0.0}
)


def drawn_vectors(train: int = 40, val: int = 20) -> tuple[Any, TrainingData]:
    """Vectors of very different scales, and rows of which two thirds are tumours."""
    rng = np.random.default_rng(3)
    labels = (np.arange(train + val) % 3 > 0).astype(np.float32)
    vectors = rng.normal(labels[:, None] * 0.8, 1.0, (train + val, FEATURES)) * 10.0 ** np.arange(
        FEATURES
    )
    rows = np.arange(train), np.arange(train, train + val)
    nothing = np.zeros((train + val, 1, 1), np.uint8)
    return vectors.astype(np.float32), TrainingData(nothing, labels, *rows)


class Rows:
    """An array that is no NumPy array and gives a few rows at a time, as one on disk does."""

    def __init__(self, array: Any, most: int) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self._array, self._most = array, most

    def __len__(self) -> int:
        return len(self._array)

    def __getitem__(self, rows: Any) -> Any:
        given = self._array[rows]
        assert len(given.shape) == len(self.shape)
        assert len(given) <= self._most
        return np.array(given)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise AssertionError("all rows were asked for")


def solved(**changes: Any) -> Any:
    vectors, given = drawn_vectors()
    params = HEAD_ALONE.model_copy(update=changes)
    head = network.make_head("gap", FEATURES, params.dropout or 0.0, params.seed)
    network.standardise(head, vectors, given.train)
    training.solve_head(head, vectors, given, params)
    return head


@pytest.mark.parametrize("class_weight", ["balanced", "none"])
def test_a_phantom_of_half_the_weight_counts_as_if_all_others_were_there_twice(
    class_weight: str,
) -> None:
    vectors, given = drawn_vectors()
    phantoms = np.arange(len(vectors)) % 3 == 0
    twice = np.concatenate([given.train, given.train[~phantoms[given.train]]])
    params = HEAD_ALONE.model_copy(update={"class_weight": class_weight})
    units = []
    for weight, rows in ((0.5, given.train), (1.0, twice)):
        own = replace(given, train=rows, phantoms=phantoms)
        head = network.make_head("gap", FEATURES, 0.0, params.seed)
        network.standardise(head, vectors, given.train)
        training.solve_head(
            head, vectors, own, params.model_copy(update={"phantom_weight": weight})
        )
        units.append(unit(head))
    for one, other in zip(*units, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-4)


def test_one_class_alone_cannot_be_balanced() -> None:
    _, given = drawn_vectors()
    alone = replace(given, labels=np.ones_like(given.labels))
    with pytest.raises(UserError, match="only one class is among the training images"):
        training.class_weight(HEAD_ALONE.model_copy(update={"class_weight": "balanced"}), alone)


def unit(head: Any) -> list[np.ndarray]:
    """Kernel and bias of the sigmoid unit."""
    return list(head.get_layer("probability").get_weights())


def penalised_loss(head: Any, weights: Any, bias: float, *, balanced: bool) -> float:
    """The formula of the module's docstring, in float64."""
    vectors, given = drawn_vectors()
    z = np.asarray(head.get_layer("standardise")(vectors[given.train]), np.float64)
    truth = given.labels[given.train]
    each = np.logaddexp(0.0, np.where(truth == 1, -1.0, 1.0) * (z @ weights + bias))
    if balanced:
        each *= np.where(truth == 1, 0.5 / truth.mean(), 0.5 / (1.0 - truth.mean()))
    return float(each.mean() + PENALTY / 2 * np.sum(weights**2))


@pytest.mark.parametrize("balanced", [True, False])
def test_every_step_from_the_solution_raises_the_loss(balanced: bool) -> None:
    head = solved(class_weight="balanced" if balanced else "none")
    kernel, bias = (np.asarray(part, np.float64) for part in unit(head))
    lowest = penalised_loss(head, kernel[:, 0], bias[0], balanced=balanced)
    rng = np.random.default_rng(0)
    for _ in range(100):
        step = rng.normal(0.0, 0.02, FEATURES + 1)
        assert (
            penalised_loss(head, kernel[:, 0] + step[:-1], bias[0] + step[-1], balanced=balanced)
            > lowest
        )


def test_vectors_are_never_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither to standardise them, nor to solve the head, to train it or to judge it."""
    vectors, given = drawn_vectors(train=200, val=100)
    monkeypatch.setattr(reading, "_PIECE", 1)  # of 32 rows
    results = []
    forms: tuple[Any, ...] = (vectors, Rows(vectors, most=32))
    for each in forms:
        head = network.make_head("gap", FEATURES, 0.0, 0)
        network.standardise(head, each, given.train)
        training.solve_head(head, each, given, HEAD_ALONE)
        row, probability = training.head_losses(head, each, given), unit(head)
        rate = HEAD_ALONE.model_copy(update={"head_penalty": None, "head_epochs": 2})
        history = training.History(rate, lambda *_: None)
        training.make_repeatable(0)
        training.train_head(head, each, given, history)
        results.append((row, history.rows, [*probability, *head.get_weights()]))
    (losses, rows, weights), (losses_read, rows_read, weights_read) = results
    assert losses == losses_read
    assert rows == rows_read
    for whole, read in zip(weights, weights_read, strict=True):
        np.testing.assert_array_equal(whole, read)


def test_seed_and_validation_rows_do_not_matter() -> None:
    first, second = (unit(solved(seed=seed)) for seed in (0, 1))
    vectors, given = drawn_vectors()
    head = network.make_head("gap", FEATURES, 0.0, 0)
    network.standardise(head, vectors, given.train)
    training.solve_head(
        head, np.where(np.arange(60)[:, None] < 40, vectors, 0.0), given, HEAD_ALONE
    )
    for a, b, c in zip(first, second, unit(head), strict=True):
        np.testing.assert_array_equal(a, b)
        np.testing.assert_array_equal(a, c)


def test_larger_penalty_gives_smaller_weights() -> None:
    kernels = (unit(solved(head_penalty=penalty))[0] for penalty in (0.001, 0.1, 10.0))
    sizes = [float(np.linalg.norm(kernel)) for kernel in kernels]
    assert sizes[0] > 2 * sizes[1] > 4 * sizes[2]


def test_losses_are_those_of_the_head() -> None:
    vectors, given = drawn_vectors()
    head = solved()
    row = training.head_losses(head, vectors, given)
    for prefix, rows in (("", given.train), ("val_", given.val)):
        truth = given.labels[rows].astype(np.int64)
        probability = predict_in_batches(head, vectors[rows])
        called = np.where(truth == 1, probability, 1.0 - probability)
        assert row[f"{prefix}loss"] == pytest.approx(float(-np.log(called).mean()), rel=1e-5)
        assert row[f"{prefix}accuracy"] == np.mean(called > 0.5)


CPUINFO = "processor\t: 0\nmodel name\t: some avx512_bf16 name\nflags\t\t: fpu sse2{more}\n\n"


@pytest.mark.parametrize("wanted", get_args(network.Format))
def test_given_format_is_taken(wanted: Any) -> None:
    assert training.number_format(wanted) == wanted


@pytest.mark.parametrize(
    ("more", "found"), [("", False), (" avx512_bf16", True), (" amx_bf16 avx512f", True)]
)
def test_bfloat16_is_seen_in_the_flags_alone(tmp_path: Path, more: str, found: bool) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(CPUINFO.format(more=more))
    flags = training._processor_flags(cpuinfo)
    assert bool(flags & training._BFLOAT16_FLAGS) is found


def test_system_that_lists_no_flags_has_none(tmp_path: Path) -> None:
    assert training._processor_flags(tmp_path / "missing") == set()


@pytest.mark.slow
@pytest.mark.parametrize(("gpus", "expected"), [([], "float32"), (["gpu"], "bfloat16")])
def test_automatic_format_follows_the_device(
    gpus: list[str], expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(tf.config, "list_physical_devices", lambda _: gpus)
    monkeypatch.setattr(training, "_processor_flags", set)
    assert training.number_format("auto") == expected
    monkeypatch.setattr(training, "_processor_flags", lambda: {"avx512_bf16"})
    assert training.number_format("auto") == "bfloat16"
