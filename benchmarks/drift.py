"""How often `brain-tumor data drift` warns: of images like the model's, and of others.

Run `make repro` first. Fresh phantoms, as they are and changed, are described as the model of
`outputs/` sees them; of each kind, random subsets are compared with its profile:

    python benchmarks/drift.py
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from scipy.ndimage import gaussian_filter, zoom

from brain_tumor import settings
from brain_tumor.data.phantom.folder import encode_png
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.inference.bundle import Profile
from brain_tumor.inference.classifier import describe
from brain_tumor.inference.engine import KerasEngine
from brain_tumor.model import saved
from brain_tumor.monitoring.drift import measure_all, with_model_measures
from brain_tumor.settings import DriftParams

OUTPUTS, PARAMS = Path("outputs"), Path("params.yaml")
SEED, IMAGES, SIZES, DRAWS = 77, 80, (10, 20, 40), 20
Grey = NDArray[np.uint8]


def main() -> None:
    """Print the share of draws with any warning, by kind of change and number of new images."""
    network = saved.load_network(OUTPUTS / "train" / "model.keras")
    preprocess = settings.read(PARAMS).preprocess
    engine = KerasEngine(network)
    known, params = Profile.load(OUTPUTS / "profile"), settings.read(PARAMS).drift
    phantom = settings.read(PARAMS).phantom
    slices = [make_slice(SEED, index, 0, is_yes(index), phantom).image for index in range(IMAGES)]
    table = Table("new images", *(str(size) for size in SIZES))
    for name, change in CHANGES.items():
        looks, features = describe(
            engine, preprocess, [encode_png(change(image)) for image in slices]
        )
        shares = [share(known, looks, features, size, params) for size in SIZES]
        table.add_row(name, *(f"{value:.2f}" for value in shares))
    Console().print(table)


def share(
    known: Profile,
    looks: list[dict[str, float]],
    features: NDArray[np.float32],
    size: int,
    params: DriftParams,
) -> float:
    """Share of random subsets of `size` new images in which any measure warns."""
    rng, warned = np.random.default_rng(0), 0
    for _ in range(DRAWS):
        picked = rng.choice(IMAGES, size, replace=False)
        new = pd.DataFrame([looks[index] for index in picked]).assign(
            label=["yes" if is_yes(int(index)) else "no" for index in picked],
            split="",
            cluster=[f"new {index}" for index in picked],
        )
        images = pd.concat([known.table, new], ignore_index=True)
        both = np.concatenate([known.features, features[picked]])
        measures = measure_all(with_model_measures(images, both, params.neighbours), params)
        warned += any(measure.warns for measure in measures)
    return warned / DRAWS


def is_yes(index: int) -> bool:
    """Three of five images have a tumour, as in the phantom of params.yaml."""
    return index % 5 < 3


def grey(values: NDArray[np.floating[Any]]) -> Grey:
    """Rounded to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)


def noisy(image: Grey) -> Grey:
    """Gaussian noise of 4 % of full white on what is not background."""
    noise = np.random.default_rng(int(image.sum())).normal(0, 0.04 * 255, image.shape)
    return grey(image + noise * (image > 0))


CHANGES: dict[str, Callable[[Grey], Grey]] = {
    "as the model's": lambda image: image,
    "side x 1.15": lambda image: grey(zoom(image.astype(np.float64), 1.15, order=1)),
    "side x 1.5": lambda image: grey(zoom(image.astype(np.float64), 1.5, order=1)),
    "brightness x 0.8": lambda image: grey(image * 0.8),
    "lowest fifth cut off": lambda image: image[: int(image.shape[0] * 0.8)],
    "noise of 4 %": noisy,
    "blur, sigma 1 px": lambda image: grey(gaussian_filter(image.astype(np.float64), 1.0)),
}

if __name__ == "__main__":
    main()
