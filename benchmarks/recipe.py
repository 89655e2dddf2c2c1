"""What parts of the recipe are worth, on development images (train and val) and on other phantoms.

Run `dvc repro augment backbone` first: this takes its images, variants and phantoms. Every recipe
is trained on the same folds of train and val (no group divided; test images are not read), with the
parameters of params.yaml but for what its row changes. Beside the held-out images each fold's
network is asked about phantoms that stand for pictures from elsewhere: of other patients, blurred
and noisy, with textbook contrasts or with random ones. They are of the head colin27, whose brain is
a man's own; rows of mni152 alone have not seen it:

    python -m benchmarks.recipe --repeats 2 "frozen" "2 blocks"
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score

from brain_tumor import settings
from brain_tumor.data.copies import clusters
from brain_tumor.data.phantom.slices import make_slice, phantom_images
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.preprocess import preprocess_drawn
from brain_tumor.model import metrics
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.folds import Development, read_development
from brain_tumor.model.saved import predict_proba
from brain_tumor.model.training import Start, fit, network_of
from brain_tumor.outputs import BACKBONE, read_manifest
from brain_tumor.settings import PhantomParams, TrainParams
from brain_tumor.shards import take

Pixels = NDArray[np.uint8]

OUTPUTS, PARAMS = Path("outputs"), Path("params.yaml")
FOLDS, ELSEWHERE_SEED, HEAD = 4, 99, "colin27"
LOOKS = {"resolution_mm": (0.8, 2.5), "noise_fraction": (0.01, 0.05)}
CONTRASTS = {"textbook": 0.0, "random": 1.0}  # share of random contrasts
ALL, BOTH, OTHER = 10**6, ("colin27", "mni152"), ("mni152",)
FIXED = {"head_block": 6, "head_penalty": 0.03, "fine_tune_blocks": 0, "learning_rate": None}


def tuned(blocks: int, **fields: Any) -> dict[str, Any]:
    """Fields of a recipe that trains blocks."""
    return {"fine_tune_blocks": blocks, "learning_rate": 3e-4} | fields


# Name: number of phantoms that train, of which heads, and fields of section `train`.
RECIPES: dict[str, tuple[int, tuple[str, ...], dict[str, Any]]] = {
    "frozen, no phantoms": (0, BOTH, {}),
    "frozen": (ALL, BOTH, {}),
    "1 block": (ALL, BOTH, tuned(1)),
    "2 blocks": (ALL, BOTH, tuned(2)),
    "3 blocks": (ALL, BOTH, tuned(3)),
    "2 blocks, 300 phantoms": (300, BOTH, tuned(2, phantom_weight=1.0)),
    "2 blocks, weight 1": (ALL, BOTH, tuned(2, phantom_weight=1.0)),
    "2 blocks, 3 epochs": (ALL, BOTH, tuned(2, fine_tune_epochs=3)),
    "frozen, mni152": (ALL, OTHER, {"phantom_weight": 1.0}),
    "2 blocks, mni152": (ALL, OTHER, tuned(2, phantom_weight=1.0)),
}


def main(
    recipes: Annotated[list[str] | None, typer.Argument(help="Rows; all by default.")] = None,
    repeats: Annotated[int, typer.Option(help="Assignments to folds.")] = 1,
    phantoms: Annotated[int, typer.Option(help="Phantoms of each kind of contrast.")] = 240,
) -> None:
    """Print a row for each recipe: means over repeats, and seconds of a training."""
    images = read_development().with_copies_of_val(settings.read(PARAMS).augment)
    others = {name: elsewhere(phantoms, share) for name, share in CONTRASTS.items()}
    rows = {}
    for name in recipes or RECIPES:
        figures = [judge(name, images, repeat, others) for repeat in range(repeats)]
        rows[name] = pd.DataFrame(figures).mean()
        print(pd.DataFrame(rows).T.round(3).to_string(), flush=True)


def elsewhere(count: int, random_contrasts: float) -> Pixels:
    """Phantoms in pairs, without and with a tumour, planes in turn, uint8 (N, size, size)."""
    params = settings.read(PARAMS)
    radius = params.augment.phantom_tumour_radius_mm
    changes = {"random_contrast_fraction": random_contrasts, "tumour_radius_mm": radius, **LOOKS}
    looks = params.phantom.model_copy(update=changes)  # anatomies as in the phantom data set
    drawn = [(str(number), partial(draw_one, looks, number)) for number in range(count)]
    return np.stack([image for _, image in preprocess_drawn(drawn, params.preprocess, "phantoms")])


def draw_one(looks: PhantomParams, number: int) -> Pixels:
    """The raw picture of a phantom; its number says whether it has a tumour, and its plane."""
    pair, is_tumour = number // 2, bool(number % 2)
    plane = PLANES[pair % len(PLANES)]
    return make_slice(ELSEWHERE_SEED, pair, pair // 3, is_tumour, looks, plane, HEAD).image


def with_phantoms(data: Development, count: int, heads: Sequence[str]) -> Development:
    """The same with so many of the phantoms, of these heads."""
    images = set(data.rows["source"][~data.rows["copy"]])
    is_phantom = ~data.rows["source"].isin(images).to_numpy()
    of_head = {
        phantom.path
        for phantom in phantom_images(settings.read(PARAMS).augment.phantoms)
        if phantom.head in heads
    }
    wanted = is_phantom & data.rows["source"].isin(of_head).to_numpy()
    kept = ~is_phantom | (wanted & (np.cumsum(wanted) <= count))
    rows = data.rows[kept].reset_index(drop=True)
    return replace(data, images=take(data.images, kept), rows=rows)


def judge(
    name: str, images: Development, repeat: int, others: dict[str, Pixels]
) -> dict[str, float]:
    """Figures of the held-out images, and those of the phantoms by each fold's network."""
    count, heads, fields = RECIPES[name]
    section = settings.read(PARAMS).train
    values = {"seed": repeat, "dropout": 0.0, **FIXED, **fields}
    params = TrainParams.model_validate(section.model_dump() | values)
    start = Start(BACKBONE, default_cache())
    groups = clusters(read_manifest(OUTPUTS / "manifest.csv"))
    truth, probability, seconds = [], [], []
    answers: dict[str, list[NDArray[np.float64]]] = {name: [] for name in others}
    for data in with_phantoms(images, count, heads).folds(groups, FOLDS, repeat):
        begun = perf_counter()
        fitted = fit(start, data, params, lambda *_: None)
        seconds.append(perf_counter() - begun)
        network = network_of(start.weights, fitted, params, data.images.shape[1])
        truth += data.labels[data.val].tolist()
        probability += fitted.val_probability.tolist()
        for kind, pictures in others.items():
            answers[kind].append(predict_proba(network, pictures))
    y, p = np.array(truth, np.int64), np.array(probability)
    figures = {
        "balanced_accuracy": balanced_accuracy_score(y, p >= 0.5),
        "auroc": metrics.auroc(y, p),
        "log_loss": metrics.log_loss(y, p),
    }
    for kind, by_fold in answers.items():
        figures |= {f"{kind}_{key}": value for key, value in of_phantoms(by_fold).items()}
    return figures | {"seconds": float(np.mean(seconds))}


def of_phantoms(by_fold: Sequence[NDArray[np.float64]]) -> dict[str, float]:
    """Figures of phantoms in pairs, means over the networks."""
    y = np.arange(len(by_fold[0])) % 2
    called = np.mean([p >= 0.5 for p in by_fold], axis=0)
    return {
        "auroc": float(np.mean([metrics.auroc(y, p) for p in by_fold])),
        "loss": float(np.mean([metrics.log_loss(y, p) for p in by_fold])),
        "sens": float(called[y == 1].mean()),
        "spec": float(1 - called[y == 0].mean()),
    }


if __name__ == "__main__":
    typer.run(main)
