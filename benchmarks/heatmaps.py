"""How well heat maps point at tumours of phantoms, by their reference and by smoothing.

Run `dvc repro train` first: this takes its model and its training images. A reference's
contributions are taken off those of an image before they are smoothed; `model.explain` has
what was chosen, by the seeds below (docs/evidence/decisions.md, section 7):

    python benchmarks/heatmaps.py --pairs 60 4 5
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor import settings
from brain_tumor.model import saved
from brain_tumor.model.explain import empty_picture, linear_head, pooling_layer
from brain_tumor.shards import open_images
from evidence.localisation import centre_prior, score
from evidence.phantoms import Maker, Phantom, pairs

OUTPUTS = Path("outputs")
PLACES = (0.0, 1.0, 1.5)  # standard deviation of the smoothing
Floats = NDArray[np.float64]


def main(
    seeds: Annotated[list[int], typer.Argument(help="Of phantoms.")],
    pairs_each: Annotated[int, typer.Option("--pairs", help="Patients of each seed.")] = 60,
) -> None:
    """Print mean scores of a row per reference and smoothing, and pointing by plane."""
    model = saved.load_parts(
        OUTPUTS / "train" / "model.keras", OUTPUTS / "calibrate" / "model.json"
    )
    preprocess = settings.read(Path("params.yaml")).preprocess
    maker = Maker(settings.read().phantom, preprocess)
    drawn = [
        phantom for seed in seeds for phantom in maker.make(seed, pairs(pairs_each), f"seed {seed}")
    ]
    phantoms = [phantom for phantom in drawn if phantom.tumour.any()]
    maps_unsmoothed = contributions(
        model.network, np.stack([phantom.image for phantom in phantoms])
    )
    stride = model.meta.stride_px
    rows: list[dict[str, Any]] = []
    for name, reference in references(model.network, model.meta.size_px).items():
        for sigma in PLACES:
            maps = ndimage.gaussian_filter(maps_unsmoothed - reference, sigma, axes=(1, 2))
            rows += scored(f"{name}, {sigma:g}", phantoms, maps, stride)
    prior = np.stack(
        [centre_prior(phantom.head, maps_unsmoothed.shape[1:], stride) for phantom in phantoms]
    )
    table = pd.DataFrame([*rows, *scored("centre of the head", phantoms, prior, stride)])
    figures = table.groupby("map", sort=False)[["pointing", "mass", "overlap"]].mean()
    planes = table.pivot_table("pointing", "map", "plane", sort=False)
    print(figures.join(planes).round(2).assign(tumours=len(phantoms)).to_string())


def references(network: Any, size_px: int) -> dict[str, Floats]:
    """Contributions to take off, (h, w)."""
    split = pd.read_csv(OUTPUTS / "split.csv")
    train = split[split["split"] == "train"]
    no, yes = (
        contributions(
            network, open_images(OUTPUTS / "preprocess" / "images", sorted(rows["path"]))[:]
        ).mean(axis=0)
        for _, rows in train.groupby("label")
    )
    empty = contributions(network, empty_picture(size_px))[0]
    return {"none": 0 * empty, "empty": empty, "mean of no": no, "mean of both": (no + yes) / 2}


def contributions(network: Any, images: NDArray[np.uint8]) -> Floats:
    """What each place adds to the logit, float64 (N, h, w): HiResCAM's map."""
    import keras

    maps = keras.Model(network.inputs[0], pooling_layer(network).input)
    weights = linear_head(network).weights
    return np.concatenate(
        [
            (np.asarray(maps(saved.to_unit(images[start : start + saved.BATCH]))) * weights).sum(-1)
            for start in range(0, len(images), saved.BATCH)
        ]
    ).astype(np.float64)


def scored(
    name: str, phantoms: list[Phantom], maps: Floats, stride: int
) -> Iterator[dict[str, Any]]:
    """A row per phantom."""
    for phantom, values in zip(phantoms, maps, strict=True):
        scores = score(values, phantom.tumour, stride)
        yield {"map": name, "plane": phantom.case.plane} | scores


if __name__ == "__main__":
    typer.run(main)
