"""What each part of the recipe is worth, on development images (train and val) alone.

Run `dvc repro train` first: this takes its images, copies and phantoms. Every variant is trained
on the same folds of train and val (no group divided; test images are not read), with the
parameters of params.yaml but for what its row changes; what training stops by is a part of the
images it may see. Beside it: specificity and sensitivity on fresh phantoms of each plane, which
stand for pictures from elsewhere:

    python benchmarks/recipe.py --repeats 3 "solved head" "no phantoms"
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from sklearn.metrics import balanced_accuracy_score

from brain_tumor import settings
from brain_tumor.data.copies import clusters
from brain_tumor.data.phantom.slices import PhantomImage, draw, phantom_images
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.preprocess import preprocess_drawn
from brain_tumor.model import metrics
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.folds import Development, TrainingData, read_development
from brain_tumor.model.saved import predict_proba
from brain_tumor.model.training import Start, fit, network_of
from brain_tumor.outputs import read_manifest
from brain_tumor.settings import TrainParams
from brain_tumor.shards import open_images, take, write_images

OUTPUTS, PARAMS = Path("outputs"), Path("params.yaml")
FOLDS, FRESH_SEED = 4, 99
ADAMW = {"head_penalty": None, "dropout": 0.3}
VARIANTS: dict[str, dict[str, Any]] = {
    "solved head": {},
    "no phantoms": {},
    "solved head, 1 block": {"fine_tune_blocks": 1, "learning_rate": 3.3e-3},
    "solved head, 2 blocks": {"fine_tune_blocks": 2},
    "AdamW head, no phantoms": ADAMW,
    "AdamW head, 1 block, no phantoms": ADAMW | {"fine_tune_blocks": 1},
    "mixed5": {"head_block": 5},
    "mixed7": {"head_block": 7},
}
FIXED = {"head_block": 6, "head_penalty": 0.1}  # where params.yaml says `tuned`


def main(
    variants: Annotated[list[str] | None, typer.Argument(help="Rows; all by default.")] = None,
    repeats: Annotated[int, typer.Option(help="Assignments to folds.")] = 1,
    fresh: Annotated[int, typer.Option(help="Fresh phantoms.")] = 240,
) -> None:
    """Print a row per variant: mean over repeats, and seconds of a training."""
    images = read_development().with_copies_of_val(settings.read(PARAMS).augment)
    phantoms = phantom_images(fresh)
    pictures = make(phantoms)
    rows = {}
    for name in variants or VARIANTS:
        data = without_phantoms(images) if "no phantoms" in name else images
        figures = [judge(name, data, repeat, phantoms, pictures) for repeat in range(repeats)]
        rows[name] = pd.DataFrame(figures).mean()
        print(pd.DataFrame(rows).T.round(3).to_string(), flush=True)


def make(phantoms: list[PhantomImage]) -> Any:
    """Fresh phantoms, uint8 (N, size, size)."""
    params = settings.read(PARAMS)
    augment = params.augment.model_copy(update={"seed": FRESH_SEED})
    pictures = [
        (phantom.path, partial(draw, phantom, params.phantom, augment)) for phantom in phantoms
    ]
    with TemporaryDirectory() as folder:
        write_images(Path(folder), preprocess_drawn(pictures, params.preprocess, "phantoms"))
        return open_images(Path(folder), [phantom.path for phantom in phantoms])[:]


def without_phantoms(data: Development) -> Development:
    """The same without rows whose source is no image."""
    known = data.rows["source"].isin(set(data.rows["source"][~data.rows["copy"]])).to_numpy()
    return replace(
        data, images=take(data.images, known), rows=data.rows[known].reset_index(drop=True)
    )


def judge(
    name: str, data: Development, repeat: int, phantoms: Sequence[PhantomImage], pictures: Any
) -> dict[str, float]:
    """Out-of-fold figures of the images, and those of the phantoms by each fold's network."""
    section = settings.read(PARAMS).train
    params = TrainParams.model_validate(section.model_dump() | FIXED | VARIANTS[name])
    start = Start(OUTPUTS / "backbone" / "backbone.weights.h5", default_cache())
    truth, probability, calls, seconds = [], [], [], []
    for fold, given in folds(data, params, repeat):
        begun = perf_counter()
        fitted = fit(start, given, params, lambda *_: None)
        network = network_of(start.weights, fitted, params, data.images.shape[1])
        seconds.append(perf_counter() - begun)
        truth += fold.labels[fold.val].tolist()
        probability += predict_proba(network, data.images[fold.val]).tolist()
        calls.append(predict_proba(network, pictures) >= 0.5)
    y, p = np.array(truth, np.int64), np.array(probability)
    return {
        "balanced_accuracy": balanced_accuracy_score(y, p >= 0.5),
        "auroc": metrics.auroc(y, p),
        "log_loss": metrics.log_loss(y, p),
        **by_plane(phantoms, np.mean(calls, axis=0)),
        "seconds": float(np.mean(seconds)),
    }


def folds(
    data: Development, params: TrainParams, repeat: int
) -> Iterator[tuple[TrainingData, TrainingData]]:
    """Outer folds, and what is given to training: where it stops early, an inner fold of it."""
    groups = clusters(read_manifest(OUTPUTS / "manifest.csv"))
    stops = params.head_penalty is None or params.fine_tune_blocks > 0
    sources = data.rows["source"].to_numpy()
    for fold in data.folds(groups, FOLDS, repeat):
        among = set(sources[~data.rows["copy"]]) - set(sources[fold.val])
        yield fold, next(data.folds(groups, FOLDS, repeat, among)) if stops else fold


def by_plane(phantoms: Sequence[PhantomImage], called: Any) -> dict[str, float]:
    """Specificity and sensitivity in each plane; `called` is the share of networks saying yes."""
    table = pd.DataFrame([{"plane": phantom.plane, "label": phantom.label} for phantom in phantoms])
    share = table.assign(called=called).groupby(["plane", "label"])["called"].mean()
    return {
        f"{plane}_{figure}": share[plane, label] if label == "yes" else 1 - share[plane, label]
        for plane in PLANES
        for figure, label in (("specificity", "no"), ("sensitivity", "yes"))
    }


if __name__ == "__main__":
    typer.run(main)
