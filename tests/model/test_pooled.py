"""Features come with the probabilities and change nothing about them."""

from pathlib import Path

import numpy as np
import pytest

from brain_tumor.model import saved
from brain_tumor.model.head import Head
from brain_tumor.model.pooled import predict_with_features

pytestmark = pytest.mark.slow
SIZE_PX = 75


def images(count: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (count, SIZE_PX, SIZE_PX), dtype=np.uint8)


@pytest.mark.parametrize(
    ("head", "block", "tuned"), [("gap", 2, 0), ("gap", 3, 1), ("paper", 2, 1)]
)
def test_probability_is_the_same_and_features_are_what_the_head_sits_on(
    random_weights: Path, tmp_path: Path, head: Head, block: int, tuned: int
) -> None:
    from brain_tumor.model.network import build

    built = build(
        random_weights,
        head=head,
        head_block=block,
        fine_tune_blocks=tuned,
        dropout=0.3,
        size_px=SIZE_PX,
    )
    built.whole.save(tmp_path / "model.keras")
    import keras

    keras.utils.clear_session()  # layers made from here on may be named like loaded ones
    network = keras.models.load_model(tmp_path / "model.keras", compile=False)
    pixels = images(35)
    probability, features = predict_with_features(network, pixels)
    assert np.array_equal(probability, saved.predict_proba(network, pixels))
    maps = built.tuned(built.frozen(saved.to_unit(pixels), training=False), training=False)
    expected = np.asarray(maps).mean(axis=(1, 2))
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-7)
    none, empty = predict_with_features(network, pixels[:0])
    assert (len(none), empty.shape) == (0, (0, features.shape[1]))


def test_network_without_pooling_is_refused() -> None:
    import keras

    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    network = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    with pytest.raises(ValueError, match="no layer of GlobalAveragePooling2D or Flatten"):
        predict_with_features(network, images(2))
