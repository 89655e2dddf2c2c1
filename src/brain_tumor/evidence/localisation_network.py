"""What a network's places say of images; and networks like it that learnt nothing."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.evidence.localisation_grid import Floats
from brain_tumor.model.calibration import calibrate
from brain_tumor.model.explanation import Explainer

# Images, uint8 (N, s, s), to contributions of each place to the logit, float64 (N, h, w), and the
# calibrated probability of a tumour, float64 (N,).
Look = Callable[[NDArray[np.uint8]], tuple[Floats, Floats]]


def looking(network: Any, temperature: float | None = None) -> Look:
    """How a network is asked; `temperature` as for `calibrate`."""
    explainer = Explainer(network)

    def look(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
        seen = explainer.see(images)
        return seen.contributions.astype(np.float64), calibrate(seen.probability, temperature)

    return look


def with_random_head(network: Any, seed: int) -> Any:
    """A copy whose sigmoid unit has normal weights; trunk and standardisation stay."""
    copy = _clone(network)
    copy.set_weights(network.get_weights())
    dense = _units(copy)[-1]
    kernel, bias = dense.get_weights()
    drawn = np.random.default_rng(seed).normal(0, 1 / np.sqrt(len(kernel)), kernel.shape)
    dense.set_weights([drawn.astype(np.float32), np.zeros_like(bias)])
    return copy


def with_random_weights(network: Any, seed: int) -> Any:
    """A copy with every weight drawn anew, as before any training."""
    import keras

    keras.utils.set_random_seed(seed)
    return _clone(network)


def _clone(network: Any) -> Any:
    import keras

    return keras.models.clone_model(network)


def _units(network: Any) -> list[Any]:
    """Dense layers, also those within layers."""
    leaves = [leaf for layer in network.layers for leaf in getattr(layer, "layers", [layer])]
    return [leaf for leaf in leaves if type(leaf).__name__ == "Dense"]
