"""What an explanation adds up to, and that it changes nothing about the probability."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.model import saved
from brain_tumor.model.explain import Explainer, Explanation, beside
from brain_tumor.model.network import Head
from tests.model.networks import SIZE_PX, decided_network, feature_maps, images, logit


@pytest.mark.slow
@pytest.mark.parametrize(
    ("head", "block", "tuned"), [("gap", 2, 0), ("gap", 3, 1), ("paper", 2, 1)]
)
def test_contributions_add_up_to_the_logit_of_an_unchanged_probability(
    random_weights: Path, tmp_path: Path, head: Head, block: int, tuned: int
) -> None:
    pixels = images(35)
    built = decided_network(random_weights, head, block, tuned)
    built.whole.save(tmp_path / "model.keras")
    import keras

    keras.utils.clear_session()  # layers made from here on may be named like loaded ones
    network = keras.models.load_model(tmp_path / "model.keras", compile=False)
    explainer = Explainer(network)
    explained = explainer.see(pixels)
    assert np.array_equal(explained.probability, saved.predict_proba(network, pixels))
    expected = logit(explained.probability)
    assert expected.std() > 0.5
    added = explained.contributions.sum(axis=(1, 2), dtype=np.float64) + explainer.bias
    np.testing.assert_allclose(added, expected, atol=1e-4)
    empty = explainer.see(np.zeros_like(pixels[:1]))
    assert not empty.contributions.any()
    assert empty.probability[0] == pytest.approx(1 / (1 + np.exp(-explainer.bias)), abs=1e-5)
    maps = feature_maps(built, pixels)
    assert explained.features.dtype == explained.contributions.dtype == np.float32
    np.testing.assert_allclose(explained.features, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-7)
    assert explained.contributions.shape == maps.shape[:3]
    none = explainer.see(pixels[:0])
    assert none.features.shape == (0, *explained.features.shape[1:])
    assert none.contributions.shape == (0, *explained.contributions.shape[1:])


def network_on_the_image(*layers: Any) -> Any:
    import keras

    inputs = outputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.slow
def test_a_place_that_alone_decides_alone_contributes_but_for_its_neighbours() -> None:
    import keras

    network = network_on_the_image(
        keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")
    )
    slope = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    slope[10, 60] = 3
    network.layers[-1].set_weights([slope.reshape(-1, 1), np.array([-1.0])])
    explainer, pixels = Explainer(network), images(3)
    contributions = explainer.see(pixels).contributions
    assert explainer.bias == pytest.approx(-1)
    added = contributions.sum(axis=(1, 2), dtype=np.float64)
    np.testing.assert_allclose(added, pixels[:, 10, 60] * (3 / 255), rtol=1e-5)
    for places in contributions:
        assert places.argmax() == 10 * SIZE_PX + 60
        assert places[8:13, 58:63].sum() > 0.95 * places.sum()


@pytest.mark.parametrize("shape", [(1, 1), (2, 3), (17, 17)])
def test_background_cancels_and_nothing_is_lost_at_the_border(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    background, signal = rng.normal(size=(2, 1, *shape)).astype(np.float32)
    signal[:, 0, 0] = 5
    empty = Explanation(np.array([0.5]), np.ones((1, 3), np.float32), background)
    image = Explanation(np.array([0.7]), np.full((1, 3), 2, np.float32), background + signal)
    explained = beside([image, empty], empty)
    assert explained.probability.tolist() == [0.7, 0.5]
    assert explained.features.tolist() == [[2, 2, 2], [1, 1, 1]]
    assert explained.contributions[0].sum() == pytest.approx(signal.sum(), rel=1e-4)
    assert not explained.contributions[1].any()
    assert beside([], empty).contributions.shape == (0, *shape)


@pytest.mark.slow
def test_network_that_is_not_maps_pooling_and_a_linear_head_is_refused() -> None:
    import keras

    dense = keras.layers.Dense
    with pytest.raises(ValueError, match="no layer of GlobalAveragePooling2D or Flatten"):
        Explainer(network_on_the_image(dense(1)))
    pool = keras.layers.GlobalAveragePooling2D()
    with pytest.raises(ValueError, match=r"head is \['Dense', 'Dense'\]"):
        Explainer(network_on_the_image(pool, dense(2), dense(1, activation="sigmoid")))
    with pytest.raises(ValueError, match="one sigmoid unit"):
        Explainer(network_on_the_image(pool, dense(1)))
