"""Variants of fine-tuning against the frozen probe, on development images alone.

Grouped folds of train and val, the same for all variants, and what each says of the images held
out; differences to the probe with paired 95 % intervals over clusters. Run the pipeline up to stage
`backbone` first, on the images and weights that are asked about:

    dvc repro augment backbone && python -m benchmarks.fine_tuning
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from sklearn.metrics import balanced_accuracy_score, roc_auc_score

from brain_tumor import settings
from brain_tumor.data.copies import clusters
from brain_tumor.model import fine_tuning
from brain_tumor.model.feature_cache import default_cache
from brain_tumor.model.folds import Development, read_development
from brain_tumor.model.training import Start, fit
from brain_tumor.outputs import read_manifest
from brain_tumor.settings import TrainParams

OUTPUTS, PARAMS = Path("outputs"), Path("params.yaml")
FOLDS, EPOCHS, RATE = 4, 6, 3e-4
Batch = tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]
Change = Callable[[Batch, np.random.Generator], Batch]


def flip(batch: Batch, rng: np.random.Generator) -> Batch:
    """Half the maps mirrored left and right, at the cut."""
    maps, labels, importance = batch
    flipped = rng.random(len(maps)) < 0.5
    maps = maps.copy()
    maps[flipped] = maps[flipped][:, :, ::-1]
    return maps, labels, importance


def mixup(batch: Batch, rng: np.random.Generator) -> Batch:
    """Every map mixed with another of its batch (Zhang et al. 2018), at the cut; alpha 0.4."""
    share, other = float(rng.beta(0.4, 0.4)), rng.permutation(len(batch[0]))
    mixed = [
        (share * part.astype(np.float32) + (1 - share) * part[other].astype(np.float32))
        for part in batch
    ]
    return mixed[0].astype(batch[0].dtype), mixed[1], mixed[2]


def drop_channels(batch: Batch, rng: np.random.Generator) -> Batch:
    """A fifth of the channels of every map set to zero, at the cut."""
    maps, labels, importance = batch
    kept = (rng.random((len(maps), 1, 1, maps.shape[-1])) >= 0.2) / 0.8
    return (maps.astype(np.float32) * kept).astype(maps.dtype), labels, importance


# Name: fields of section `train`, change of every batch, decay of the average, constant rate.
VARIANTS: dict[str, tuple[dict[str, Any], Change | None, float, bool]] = {
    "frozen": ({"fine_tune_blocks": 0, "learning_rate": None}, None, 0.9, False),
    "1 block": ({}, None, 0.9, False),
    "1 block, rate 1e-4": ({"learning_rate": 1e-4}, None, 0.9, False),
    "1 block, rate 1e-3": ({"learning_rate": 1e-3}, None, 0.9, False),
    "1 block, 3 epochs": ({"fine_tune_epochs": 3}, None, 0.9, False),
    "1 block, no average": ({}, None, 0.0, False),
    "1 block, no average, constant rate": ({}, None, 0.0, True),
    "1 block, flips": ({}, flip, 0.9, False),
    "1 block, mixup": ({}, mixup, 0.9, False),
    "1 block, channels dropped": ({}, drop_channels, 0.9, False),
    "2 blocks": ({"fine_tune_blocks": 2}, None, 0.9, False),
    "2 blocks, rate 1e-4": ({"fine_tune_blocks": 2, "learning_rate": 1e-4}, None, 0.9, False),
    "3 blocks, rate 1e-4": ({"fine_tune_blocks": 3, "learning_rate": 1e-4}, None, 0.9, False),
}


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Variants; all by default.")] = None,
    head_block: Annotated[int, typer.Option(help="Block the head sits on.")] = 6,
    penalty: Annotated[float, typer.Option(help="L2 penalty of the head.")] = 0.03,
    assignments: Annotated[int, typer.Option(help="Of the images to folds.")] = 2,
) -> None:
    """Print a row per variant: figures, and differences to the frozen probe."""
    images = read_development().with_copies_of_val(settings.read(PARAMS).augment)
    groups = clusters(read_manifest(OUTPUTS / "manifest.csv"))
    section = settings.read(PARAMS).train
    values = {"head_block": head_block, "head_penalty": penalty, "fine_tune_blocks": 1}
    values |= {"learning_rate": RATE, "fine_tune_epochs": EPOCHS}
    recipe = TrainParams.model_validate(section.model_dump() | values | {"dropout": 0.0})
    probe = None
    for name in ["frozen", *(each for each in names or VARIANTS if each != "frozen")]:
        table = predictions(images, groups, recipe, name, assignments)
        probe = table if probe is None else probe
        print(f"{name:36} {figures(table)}  {difference(table, probe)}", flush=True)


def predictions(
    images: Development, groups: pd.Series, recipe: TrainParams, name: str, assignments: int
) -> pd.DataFrame:
    """What a variant says of held-out images: columns assignment, row, cluster, y, p."""
    fields, change, decay, constant = VARIANTS[name]
    start = Start(OUTPUTS / "backbone" / "backbone.weights.h5", default_cache())
    sources = images.rows["source"].to_numpy()
    parts = []
    with varied(change, decay, constant):
        for seed in range(assignments):
            params = recipe.model_copy(update={**fields, "seed": seed})
            for data in images.folds(groups, FOLDS, seed):
                probability = fit(start, data, params, lambda *_: None).val_probability
                facts = {"row": data.val, "y": data.labels[data.val].astype(int), "p": probability}
                held_out = groups.loc[sources[data.val]].to_numpy()
                parts.append(pd.DataFrame(facts).assign(assignment=seed, cluster=held_out))
    return pd.concat(parts).sort_values(["assignment", "row"], ignore_index=True)


@contextmanager
def varied(change: Change | None, decay: float, constant: bool) -> Iterator[None]:
    """Have `fine_tuning` differ from the product for the length of a `with` block."""
    before = fine_tuning._DECAY, fine_tuning._rates, fine_tuning._batch
    rng = np.random.default_rng(0)

    def batch(*given: Any) -> Batch:
        read = before[2](*given)
        return change(read, rng) if change else read

    fine_tuning._DECAY = decay
    fine_tuning._batch = batch  # type: ignore[assignment]
    if constant:
        fine_tuning._rates = lambda peak, steps: iter([peak] * steps)
    try:
        yield
    finally:
        fine_tuning._DECAY, fine_tuning._rates, fine_tuning._batch = before


def losses(table: pd.DataFrame) -> NDArray[np.float64]:
    """Log loss of each prediction."""
    p = table["p"].to_numpy().clip(1e-7, 1 - 1e-7)
    return np.asarray(-np.log(np.where(table["y"] == 1, p, 1 - p)))


def figures(table: pd.DataFrame) -> str:
    """Balanced accuracy at 0.5, AUROC and log loss, each the mean over the assignments."""
    of_each = [part for _, part in table.groupby("assignment")]
    accuracy = np.mean([balanced_accuracy_score(part["y"], part["p"] >= 0.5) for part in of_each])
    auroc = np.mean([roc_auc_score(part["y"], part["p"]) for part in of_each])
    return f"{accuracy:.3f} / {auroc:.3f} / {losses(table).mean():.3f}"


def difference(table: pd.DataFrame, probe: pd.DataFrame, resamples: int = 1000) -> str:
    """Difference of log loss to the probe, with its interval; clusters are drawn."""
    gain = pd.Series(losses(table) - losses(probe)).groupby(table["cluster"]).agg(["sum", "size"])
    rng = np.random.default_rng(0)
    drawn = rng.integers(0, len(gain), (resamples, len(gain)))
    sums, sizes = gain["sum"].to_numpy()[drawn], gain["size"].to_numpy()[drawn]
    low, high = np.percentile(sums.sum(1) / sizes.sum(1), [2.5, 97.5])
    mean = gain["sum"].sum() / gain["size"].sum()
    return "" if math.isclose(low, high) else f"{mean:+.3f} [{low:+.3f}, {high:+.3f}]"


if __name__ == "__main__":
    typer.run(main)
