"""Small stand-ins: a pool of pictures, recipe and baselines where only folds count, phantoms."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.outputs import MANIFEST_COLUMNS
from brain_tumor.settings import PARAMS, Settings, read
from evidence import settings as study
from evidence.baselines import NAMES, Baselines
from evidence.headline import Headline
from evidence.parts import Fold, Pool, data_digest, originals
from evidence.phantoms import Case, Floats, Phantom
from evidence.recipe import Answer
from evidence.settings import HeadlineParams
from tests import sections

SIDE_PX, CLUSTERS = 75, 16  # of the pool
SIZE_PX, STRIDE_PX, SHAPE = 72, 8, (9, 9)  # of phantoms and maps
ROOT = Path(__file__).parents[2]
STUDY = study.read(ROOT / study.PARAMS)


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


def manifest_of(images: pd.DataFrame) -> pd.DataFrame:
    """A manifest of images with columns path, label and group; the digest of a file is its path."""
    rest = {name: "" if kind == "str" else 0 for name, kind in MANIFEST_COLUMNS.items()}
    return pd.DataFrame(rest, images.index).assign(sha256=images["path"], **images)


def brightness_recipe(
    pool: Pool, development: Sequence[str], unseen: Sequence[str], seed: int
) -> Answer:
    """Says how bright an image is, about the mean of the development images; never a label."""
    rows = originals(pool).reset_index().set_index("source")["index"]
    bright = pd.Series(pool.images.mean(axis=(1, 2)))
    centre = bright.loc[rows.loc[list(development)]].mean()
    away = bright.loc[rows.loc[list(unseen)]].to_numpy() - centre
    p = 1 / (1 + np.exp(-away / 10 - seed / 100))
    out_of_fold = pd.DataFrame({"path": list(development), "probability": 0.5})
    return Answer(p, p, 1.0, 0.4 + len(development) / 1000, {"seed": seed}, out_of_fold)


class QuickBaselines(Baselines):
    """In place of the baselines: something quick that only the fold decides."""

    def predict(self, fold: Fold) -> dict[str, NDArray[np.float64]]:
        return dict.fromkeys(NAMES, np.full(len(fold.unseen), len(fold.development) / 100))


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
    settings: Settings | None = None,
) -> Headline:
    """A track of the stand-in; `rate` is a parameter of it, `settings` are those of its pool."""
    params = HeadlineParams(repeats=repeats, folds=folds)
    own = settings or read(ROOT / PARAMS)
    data = data_digest(pool, own.preprocess, own.augment, weights)
    baselines = small_baselines(pool, QuickBaselines)
    return Headline(pool, baselines, brightness_recipe, params, images, data, {"rate": rate}, {})


def rectangle(rows: slice, columns: slice) -> NDArray[np.bool_]:
    """A mask of a phantom that is true there."""
    mask = np.zeros((SIZE_PX, SIZE_PX), np.bool_)
    mask[rows, columns] = True
    return mask


HEAD_MASK = rectangle(slice(8, 64), slice(8, 64))  # 49 whole squares of places


def toy_phantoms(count: int = 30, *, tumour: bool = True) -> list[Phantom]:
    """A dark head with a bright square each; every patient has the tumour elsewhere in the head."""
    rng = np.random.default_rng(0)
    phantoms = []
    for patient in range(count):
        row, column = (8 * int(place) for place in rng.integers(2, 6, 2))
        mass = rectangle(slice(row, row + 16), slice(column, column + 16))
        mass &= tumour
        image = (60 * HEAD_MASK + 150 * mass).astype(np.uint8)
        phantoms.append(Phantom(image, image, mass, HEAD_MASK, Case(patient, tumour), "T1"))
    return phantoms


def brightness(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """A network that calls what is bright a tumour; contributions and probability."""
    places = images.reshape(len(images), 9, 8, 9, 8).mean(axis=(2, 4))
    maps = np.clip(places - 100.0, 0, None)
    return maps, 1 / (1 + np.exp(2 - maps.sum(axis=(1, 2)) / 50))


def blindness(images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """A network that sees the same in every picture."""
    return np.ones((len(images), *SHAPE)), np.full(len(images), 0.5)


def write_study(folder: Path, **changes: dict[str, Any]) -> None:
    """Write evidence/params.yaml: the repository's, with other values in some sections."""
    (folder / "evidence").mkdir(exist_ok=True)
    sections.write_params(folder / "evidence", ROOT / study.PARAMS, **changes)
