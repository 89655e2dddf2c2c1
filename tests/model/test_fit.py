"""Training: repeatable, frozen where it says so, stopped and undone where that is better."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.model.fit import Epoch, Fitted, TrainingData, TrainParams, fit

pytestmark = pytest.mark.slow

PARAMS = TrainParams(
    seed=0,
    head="gap",
    head_block=2,
    fine_tune_blocks=1,
    dropout=0.2,
    learning_rate=1e-2,
    fine_tune_rate_fraction=0.1,
    weight_decay=1e-3,
    batch_size=8,
    head_epochs=6,
    fine_tune_epochs=2,
    patience=3,
    class_weight="balanced",
    threshold=0.5,
)


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
    return TrainingData(*blobs(32, 1), *blobs(16, 2))


def run(weights: Path, **changes: Any) -> tuple[Fitted, list[Epoch]]:
    rows: list[Epoch] = []
    params = PARAMS.model_copy(update=changes)
    return fit(weights, data(), params, lambda _, row: rows.append(row)), rows


def test_same_seed_gives_the_same_weights_to_the_bit(random_weights: Path) -> None:
    (one, _), (two, _) = run(random_weights), run(random_weights)
    for a, b in zip(one.network.get_weights(), two.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert one.history == two.history


def test_another_seed_gives_other_weights(random_weights: Path) -> None:
    (one, _), (two, _) = run(random_weights), run(random_weights, seed=1)
    assert any(
        not np.array_equal(a, b)
        for a, b in zip(one.network.get_weights(), two.network.get_weights(), strict=True)
    )


def test_every_epoch_is_reported_as_it_ends_and_kept(random_weights: Path) -> None:
    fitted, rows = run(random_weights)
    assert rows == fitted.history
    assert [row["epoch"] for row in rows] == list(range(1, len(rows) + 1))
    tuned = [row for row in rows if row["fine_tuning"]]
    assert 1 <= len(tuned) <= 2
    assert [row["learning_rate"] for row in tuned] == pytest.approx([1e-3] * len(tuned))


def test_saved_weights_are_those_of_the_lowest_validation_loss(random_weights: Path) -> None:
    from brain_tumor.model import metrics, saved

    fitted, _ = run(random_weights)
    val = data()
    p = saved.predict_proba(fitted.network, val.val_images)
    best = min(row["val_loss"] for row in fitted.history)
    loss = metrics.log_loss(val.val_labels.astype(np.int64), p)
    assert loss == pytest.approx(best, rel=1e-3)


def test_fine_tuning_that_does_not_help_is_undone(random_weights: Path) -> None:
    fitted, _ = run(random_weights, fine_tune_rate_fraction=100.0)
    head_only, _ = run(random_weights, fine_tune_epochs=0)
    assert fitted.fine_tuned_blocks == 0
    for a, b in zip(fitted.network.get_weights(), head_only.network.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_head_training_leaves_the_trunk_as_it_was(random_weights: Path) -> None:
    from brain_tumor.model import network

    fitted, _ = run(random_weights, fine_tune_blocks=0)
    trunk = network.inception_v3()
    trunk.load_weights(random_weights)
    before = [layer.get_weights() for layer in trunk.layers if layer.get_weights()]
    frozen = fitted.network.get_layer("frozen_trunk")
    after = [layer.get_weights() for layer in frozen.layers if layer.get_weights()]
    assert len(after) > 30
    for old, new in zip(before, after, strict=False):
        for a, b in zip(old, new, strict=True):
            np.testing.assert_array_equal(a, b)


def test_training_that_diverges_names_the_rate(random_weights: Path) -> None:
    with pytest.raises(ValueError, match=r"diverged in epoch 1.*learning rate nan"):
        run(random_weights, learning_rate=float("nan"))


def test_mixed_precision_is_saved_as_float32(random_weights: Path) -> None:
    from brain_tumor.model import network, precision

    settings: Any = {"head": "gap", "head_block": 2, "fine_tune_blocks": 1, "dropout": 0.0}
    with precision.fastest("mixed_float16"):
        mixed = network.build(random_weights, size_px=75, **settings).whole
    plain = network.build(random_weights, size_px=75, **settings).whole
    plain.set_weights(mixed.get_weights())
    x = np.random.default_rng(0).random((2, 75, 75, 1), dtype=np.float32)
    converted = precision.as_float32(mixed)
    assert np.abs(mixed(x) - plain(x)).max() > 5e-6  # half precision does show
    np.testing.assert_allclose(converted(x), plain(x), rtol=2e-6)
    assert {layer.dtype_policy.name for layer in converted.layers} == {"float32"}
