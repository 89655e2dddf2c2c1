"""The network: its size, its cut, and what training may change."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.model import network, reading
from brain_tumor.model.features import output_shape

pytestmark = pytest.mark.slow


def build(weights: Path, **changes: Any) -> Any:
    settings: dict[str, Any] = {
        "head": "gap",
        "head_block": 3,
        "fine_tune_blocks": 1,
        "dropout": 0.0,
        "size_px": 75,
    }
    return network.build(weights, **(settings | changes))


def images(n: int = 3, size: int = 75) -> Any:
    return np.random.default_rng(0).random((n, size, size, 1), dtype=np.float32)


def test_paper_head_has_the_papers_parameter_count(random_weights: Path) -> None:
    net = build(random_weights, head="paper", head_block=10, fine_tune_blocks=0, size_px=299)
    assert net.whole.count_params() == 21_933_857


@pytest.mark.parametrize(("head_block", "depth"), [(3, 0), (3, 1), (3, 4), (10, 2), (0, 1)])
def test_parts_composed_are_the_whole(random_weights: Path, head_block: int, depth: int) -> None:
    net = build(random_weights, head_block=head_block, fine_tune_blocks=depth)
    x = images()
    composed = net.head(net.pool(net.tuned(net.frozen(x))))
    np.testing.assert_allclose(composed, net.whole(x), rtol=1e-6)


def test_cut_does_not_change_the_backbone(random_weights: Path) -> None:
    full = network.inception_v3()
    full.load_weights(random_weights)
    net = build(random_weights, head_block=10, fine_tune_blocks=3)
    x = images()
    rgb = np.repeat(x, 3, axis=-1) * 2 - 1
    np.testing.assert_allclose(net.tuned(net.frozen(x)), full(rgb, training=False), rtol=1e-6)


def test_depth_sets_how_many_blocks_can_train(random_weights: Path) -> None:
    trainable = [
        len(build(random_weights, fine_tune_blocks=depth).whole.trainable_weights)
        for depth in range(5)
    ]
    assert trainable[0] == 2  # the sigmoid unit's kernel and bias
    assert trainable == sorted(set(trainable))


def test_training_mode_leaves_batch_normalisation_alone(random_weights: Path) -> None:
    net = build(random_weights, fine_tune_blocks=4)
    np.testing.assert_allclose(net.whole(images(), training=True), net.whole(images()), rtol=1e-6)


@pytest.mark.parametrize(("block", "depth"), [(11, 0), (-1, 0), (3, 5), (3, -1)])
def test_block_outside_the_network_is_named(random_weights: Path, block: int, depth: int) -> None:
    with pytest.raises(ValueError, match=r"(head_block|fine_tune_blocks) is -?\d+"):
        build(random_weights, head_block=block, fine_tune_blocks=depth)


def test_standardised_training_vectors_have_zero_mean_unit_variance(random_weights: Path) -> None:
    net = build(random_weights)
    vectors = np.asarray(net.pool(net.tuned(net.frozen(images(16)))))
    network.standardise(net.head, vectors)
    z = np.asarray(net.head.get_layer("standardise")(vectors))
    variance = vectors.var(axis=0)
    varied = variance > np.median(variance) / 10
    np.testing.assert_allclose(z[:, varied].mean(axis=0), 0, atol=1e-2)
    np.testing.assert_allclose(z[:, varied].std(axis=0), 1, atol=1e-2)


def test_standardisation_in_pieces_is_that_of_all_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    vectors = (rng.normal(size=(500, 192)) * 10.0 ** rng.integers(-3, 3, 192)).astype(np.float32)
    rows = rng.permutation(500)[:333]
    monkeypatch.setattr(reading, "_PIECE", 1)  # of 32 rows
    head = network.make_head("gap", 192, 0.0, 0)
    network.standardise(head, vectors, rows)
    layer, train = head.get_layer("standardise"), vectors[rows]
    mean, variance = train.mean(axis=0, dtype=np.float64), train.var(axis=0, dtype=np.float64)
    floor = np.median(variance) / 100
    expected = mean.astype(np.float32), np.maximum(variance, floor).astype(np.float32)
    for found, wanted in zip(layer.get_weights(), (*expected, 333), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_feature_that_was_constant_in_training_cannot_explode(random_weights: Path) -> None:
    net = build(random_weights)
    vectors = np.random.default_rng(0).random((8, net.head.input_shape[-1]), dtype=np.float32)
    vectors[:, 0] = 0
    network.standardise(net.head, vectors)
    vectors[:, 0] = 1
    assert np.abs(net.head.get_layer("standardise")(vectors)).max() < 100


def test_trunk_gives_every_wanted_output_of_the_whole_network(random_weights: Path) -> None:
    trunk = network.trunk(random_weights, 75, [(3, "gap"), (-1, "maps"), (3, "paper")])
    gap, stem, paper = trunk.predict_on_batch(images())
    assert stem.shape[1:] == output_shape(-1, "maps", 75)
    net = build(random_weights, fine_tune_blocks=0)
    np.testing.assert_allclose(gap, net.pool(net.frozen(images())), rtol=1e-5, atol=1e-9)
    assert paper.shape == (3, *output_shape(3, "paper", 75))
