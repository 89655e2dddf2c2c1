"""A pool of small pictures, and stand-ins for recipe and baselines where only folds count."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from evidence.baselines import NAMES, Baselines
from evidence.headline import Headline
from evidence.parts import Fold, Pool, data_digest, originals
from evidence.recipe import Answer
from evidence.settings import HeadlineParams

SIDE_PX, CLUSTERS = 75, 16


def small_pool(copies: int = 1) -> Pool:
    """Noise with a bright square where `yes`; every second cluster has two images."""
    rng = np.random.default_rng(5)
    rows, images = [], []
    for cluster in range(CLUSTERS):
        label = ("no", "yes")[cluster % 2]
        for member in range(1 + cluster // 2 % 2):
            path = f"{label}/{cluster:02d}-{member}.png"
            for copy in range(1 + copies):
                image = rng.integers(0, 120, (SIDE_PX, SIDE_PX)).astype(np.uint8)
                if label == "yes":
                    image[20:50, 20:50] = 200
                images.append(image)
                rows.append((path, label, copy > 0, f"{label}/{cluster:02d}-0.png"))
    for label in ("no", "yes"):  # phantoms: copies of no image
        images.append(rng.integers(0, 120, (SIDE_PX, SIDE_PX)).astype(np.uint8))
        rows.append((f"phantom/0-{label}", label, True, f"phantom/0-{label}"))
    table = pd.DataFrame(rows, columns=["source", "label", "copy", "cluster"])
    return Pool(np.stack(images), table)


def brightness_recipe(
    pool: Pool, development: Sequence[str], unseen: Sequence[str], seed: int
) -> Answer:
    """Says how bright an image is, about the mean of the development images; never a label."""
    rows = originals(pool).reset_index().set_index("source")["index"]
    bright = pd.Series(pool.images.mean(axis=(1, 2)))
    centre = bright.loc[rows.loc[list(development)]].mean()
    away = bright.loc[rows.loc[list(unseen)]].to_numpy() - centre
    said = 1 / (1 + np.exp(-away / 10 - seed / 100))
    inner = pd.DataFrame({"path": list(development), "probability": 0.5})
    return Answer(said, said, 1.0, 0.4 + len(development) / 1000, {"seed": seed}, inner)


class QuickBaselines(Baselines):
    """In place of the baselines: something quick that only the fold decides."""

    def predict(self, fold: Fold) -> dict[str, NDArray[np.float64]]:
        said = np.full(len(fold.unseen), len(fold.development) / 100)
        return dict.fromkeys(NAMES, said)


def small_baselines(pool: Pool, kind: type[Baselines] = Baselines) -> Baselines:
    """What the baselines see of it; the features of no network but the pixels' own."""
    paths = originals(pool)["source"]
    files = pd.DataFrame({"bytes": np.arange(len(paths), dtype=np.float64)}, index=paths)
    pixels = pool.images[:, ::15, ::15].reshape(len(pool.images), -1).astype(np.float64)
    return kind(pool.rows, files, pixels, pixels.astype(np.float32))


def small_track(
    pool: Pool,
    weights: Path,
    *,
    repeats: int = 2,
    folds: int = 3,
    rate: float = 0.1,
    images: str = "images",
) -> Headline:
    """A track of the stand-in; `rate` is a parameter of it."""
    params = HeadlineParams(repeats=repeats, folds=folds)
    data = data_digest(pool, weights)
    baselines = small_baselines(pool, QuickBaselines)
    return Headline(pool, baselines, brightness_recipe, params, images, data, {"rate": rate}, {})
