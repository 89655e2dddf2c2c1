"""What the initial weights are worth, on fresh phantoms.

Trains with each source of initial weights and several seeds on the phantom of `make repro` (run
that first) and scores 400 phantoms of another seed, with 1-NN on 32x32 pixels beside it:

    python benchmarks/initial_weights.py random PATH/TO/inception_v3.weights.h5
"""

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from PIL import Image
from sklearn.neighbors import KNeighborsClassifier

from brain_tumor import settings
from brain_tumor.data.phantom.folder import generate
from brain_tumor.files import write_text
from brain_tumor.imaging.preprocess import preprocess_folder
from brain_tumor.model import metrics, saved
from brain_tumor.model.backbone import prepare
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.folds import read_development
from brain_tumor.model.training import Start, fit, network_of
from brain_tumor.outputs import Best
from brain_tumor.settings import BackboneParams
from brain_tumor.shards import open_images

PARAMS, OUTPUTS = Path("params.yaml"), Path("outputs")
FRESH_SEED, FRESH_PER_CLASS = 400_000, 200
SEEDS = (0, 1, 2)
Images = NDArray[np.uint8]


def main(
    sources: Annotated[list[str], typer.Argument(help="As backbone.source.")],
    table: Annotated[Path, typer.Option(help="CSV to write.")] = Path("initial_weights.csv"),
) -> None:
    """Print a row per source and seed, and write them as CSV."""
    images, y = fresh_phantoms()
    rows = [nearest_neighbour(images, y)]
    print(rows[0], flush=True)
    for source in sources:
        for seed in SEEDS:
            rows.append(trained(source, seed, images, y))
            print(rows[-1], flush=True)
    frame = pd.DataFrame(rows)
    write_text(table, frame.to_csv(index=False))
    print(frame.groupby("start", sort=False).agg(["mean", "min", "max"]).round(3).to_string())


def fresh_phantoms() -> tuple[Images, NDArray[np.int64]]:
    """400 preprocessed phantoms no run has seen, half of them with a tumour, without copies."""
    no_copies = {"exact_duplicates": 0, "near_duplicates": 0}
    counts = {"seed": FRESH_SEED, "no": FRESH_PER_CLASS, "yes": FRESH_PER_CLASS}
    section = settings.read(PARAMS).phantom
    preprocess = settings.read(PARAMS).preprocess
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        generate(folder / "data", section.model_copy(update=no_copies | counts))
        paths = [f"{label}/{file.name}" for label in ("no", "yes")
                 for file in sorted((folder / "data" / label).iterdir())]  # fmt: skip
        preprocess_folder(folder / "data", paths, folder / "images", preprocess)
        y = np.asarray([path.startswith("yes/") for path in paths], dtype=np.int64)
        return open_images(folder / "images", paths)[:], y


def nearest_neighbour(images: Images, y: NDArray[np.int64]) -> dict[str, object]:
    """1-NN on 32x32 pixels of the preprocessed images, learnt from the training split."""
    split = pd.read_csv(OUTPUTS / "split.csv")
    train = split[split["split"] == "train"]
    known = open_images(OUTPUTS / "preprocess" / "images", list(train["path"]))[:]
    model = KNeighborsClassifier(1).fit(thumbnails(known), train["label"] == "yes")
    return row("1-NN on pixels", 0, y, model.predict_proba(thumbnails(images))[:, 1])


def thumbnails(images: Images) -> NDArray[np.float64]:
    """Images averaged to 32x32 pixels, (N, 1024)."""
    pictures = (Image.fromarray(image).resize((32, 32), Image.Resampling.BOX) for image in images)
    return np.stack([np.asarray(picture, dtype=np.float64).ravel() for picture in pictures])


def trained(source: str, seed: int, images: Images, y: NDArray[np.int64]) -> dict[str, object]:
    """Train as the stage does, from `source`, and score the fresh phantoms."""
    chosen = Best.read(OUTPUTS / "tuning" / "best.json")
    section = settings.read(PARAMS).train.resolve(chosen.params)
    section = section.model_copy(update={"seed": seed})
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "backbone.weights.h5"
        initial = prepare(weights, BackboneParams(source=source, seed=seed), Path)
        start = Start(weights, default_cache())
        fitted = fit(start, read_development().holdout(), section, lambda _, __: None)
        network = network_of(weights, fitted, section, images.shape[1])
    return row(initial.source, seed, y, saved.predict_proba(network, images))


def row(start: str, seed: int, y: NDArray[np.int64], p: NDArray[np.float64]) -> dict[str, object]:
    """Figures of one model."""
    return {
        "start": start,
        "seed": seed,
        "auroc": metrics.auroc(y, p),
        "balanced_accuracy": metrics.balanced_accuracy(y, p, 0.5),
        "log_loss": metrics.log_loss(y, p),
    }


if __name__ == "__main__":
    typer.run(main)
