"""What an explanation adds up to, and that it changes nothing about the probability."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.model.networks import SIZE_PX, decided_network, feature_maps, images, logit

from brain_tumor.model import saved
from brain_tumor.model.explanation import Explainer
from brain_tumor.model.head import Head


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
    seen = explainer.see(pixels)
    assert np.array_equal(seen.probability, saved.predict_proba(network, pixels))
    expected = logit(seen.probability)
    assert expected.std() > 0.5
    added = seen.contributions.sum(axis=(1, 2), dtype=np.float64) + explainer.head.bias
    np.testing.assert_allclose(added, expected, atol=1e-4)
    maps = feature_maps(built, pixels)
    assert seen.features.dtype == seen.contributions.dtype == np.float32
    np.testing.assert_allclose(seen.features, maps.mean(axis=(1, 2)), rtol=1e-4, atol=1e-7)
    assert seen.contributions.shape == maps.shape[:3]
    none = explainer.see(pixels[:0])
    assert none.features.shape == (0, *seen.features.shape[1:])
    assert none.contributions.shape == (0, *seen.contributions.shape[1:])


def network_on_the_image(*layers: Any) -> Any:
    import keras

    inputs = outputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    for layer in layers:
        outputs = layer(outputs)
    return keras.Model(inputs, outputs)


@pytest.mark.slow
def test_a_place_that_alone_decides_alone_contributes() -> None:
    import keras

    network = network_on_the_image(
        keras.layers.Flatten(), keras.layers.Dense(1, activation="sigmoid")
    )
    slope = np.zeros((SIZE_PX, SIZE_PX), np.float32)
    slope[10, 60] = 3
    network.layers[-1].set_weights([slope.reshape(-1, 1), np.array([-1.0])])
    pixels = images(3)
    contributions = Explainer(network).see(pixels).contributions
    assert {tuple(place) for place in np.argwhere(contributions)[:, 1:]} == {(10, 60)}
    np.testing.assert_allclose(contributions[:, 10, 60], pixels[:, 10, 60] * (3 / 255), rtol=1e-6)


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
