"""The paper's protocol as published, repeated over seeds.

Every image is on its own when the files are divided, so copies of a picture fall on both sides.
"""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.split import split
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.recipe import VERSION
from brain_tumor.model.training import Fitted, Start, fit
from brain_tumor.settings import TrainParams
from evidence.parts import (
    Digest,
    Finished,
    Pool,
    environment,
    images_digest,
    originals,
    params_digest,
)
from evidence.settings import PaperParams


def divide(manifest: pd.DataFrame, pool: Pool, params: PaperParams, seed: int) -> pd.DataFrame:
    """The division of a seed.

    Returns:
        Columns path, label, split, cluster and twin: whether an image of val or test has a copy of
        its picture, or another slice of its patient, in train.

    Raises:
        SplitError: there are too few images.
    """
    table = split(manifest, params.division(seed))[["path", "label", "split"]]
    clusters = originals(pool).set_index("source")["cluster"]
    table["cluster"] = clusters.loc[table["path"]].to_numpy(str)
    in_train = table["split"] == "train"
    table["twin"] = ~in_train & table["cluster"].isin(set(table.loc[in_train, "cluster"]))
    return table


def train_seed(
    start: Start, pool: Pool, table: pd.DataFrame, params: PaperParams, seed: int
) -> tuple[NDArray[np.float64], int]:
    """Train by a division; the probability of each of its images, and how many epochs it took.

    `table` is as `divide` gives it; `seed` is added to that of the training.
    """
    own = params.train.model_copy(update={"seed": params.train.seed + seed})
    fitted = fit(start, _data(pool, table), own, lambda *_: None)
    places = originals(pool).reset_index().set_index("source")["index"]
    rows = places.loc[table["path"]].to_numpy(np.int64)
    return _predict(start, pool.images, fitted, own, rows), len(fitted.history)


def _data(pool: Pool, table: pd.DataFrame) -> TrainingData:
    """Fit training images and their copies, stop by the validation images."""
    splits = pool.rows["source"].map(table.set_index("path")["split"])
    labels = (pool.rows["label"] == "yes").to_numpy().astype(np.float32)
    train = np.flatnonzero(splits == "train")
    val = np.flatnonzero((splits == "val") & ~pool.rows["copy"].to_numpy(np.bool_))
    return TrainingData(pool.images, labels, train.astype(np.int64), val.astype(np.int64))


def _predict(
    start: Start,
    images: NDArray[np.uint8],
    fitted: Fitted,
    params: TrainParams,
    rows: NDArray[np.int64],
) -> NDArray[np.float64]:
    """By the head on stored features; by the whole network where blocks below it were tuned."""
    from brain_tumor.model.features import Output, trunk_outputs
    from brain_tumor.model.network import make_head, restore
    from brain_tumor.model.saved import predict_in_batches, predict_proba
    from brain_tumor.model.training import network_of

    if fitted.tuned is not None:
        network = network_of(start.weights, fitted, params, images.shape[1])
        return predict_proba(network, images[rows])
    wanted = [Output(params.head_block, params.head)]
    (vectors,) = trunk_outputs(start.weights, images, wanted, start.cache)
    head = make_head(params.head, vectors.shape[1], params.dropout or 0.0, params.seed)
    restore(head, fitted.head)
    return predict_in_batches(head, vectors[rows])


@dataclass(frozen=True)
class PaperTrack:
    """The protocol on a set of images.

    Attributes:
        start: initial weights and feature cache.
        pool: the images, through the paper's 100 x 100 step, with copies.
        manifest: of the files, for the division.
        params: section `paper`.
        data: digest of all that is read.
        weights: source of the initial weights.
    """

    start: Start
    pool: Pool
    manifest: pd.DataFrame
    params: PaperParams
    data: str
    weights: str

    def digest(self, seed: int) -> Digest:
        """Of what decides a seed's predictions."""
        decides = self.params.model_dump(exclude={"seeds", "top_blocks"}) | {"seed": seed}
        return Digest(images_digest(self.manifest), self.data, params_digest(decides), VERSION)

    def missing(self, finished: Finished) -> list[int]:
        """The seeds that are not finished yet.

        Raises:
            UserError: see `Finished.missing`.
        """
        seeds = range(self.params.seeds)
        names = set(finished.missing({_name(seed): self.digest(seed) for seed in seeds}))
        return [seed for seed in seeds if _name(seed) in names]


def _name(seed: int) -> str:
    """Of a seed's files."""
    return f"seed-{seed:02d}"


def run_seed(track: PaperTrack, seed: int, finished: Finished) -> pd.DataFrame:
    """Divide the files, train, predict all of them, keep what came out and give it."""
    began = time.monotonic()
    table = divide(track.manifest, track.pool, track.params, seed)
    probability, epochs = train_seed(track.start, track.pool, table, track.params, seed)
    facts: dict[str, Any] = {
        "track": "paper",
        "seed": seed,
        "epochs": epochs,
        "wall_s": round(time.monotonic() - began, 1),
        "weights": track.weights,
        "environment": environment(),
    }
    table = table.assign(probability=probability)
    finished.write(_name(seed), table, track.digest(seed), facts)
    return table


def read_seeds(
    finished: Finished, params: PaperParams
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The finished seeds that `params` names; others in the folder are passed over.

    Returns:
        The columns of their CSVs with `seed` and `y` (0 or 1), and the JSON of each.

    Raises:
        UserError: one is missing.
    """
    return finished.read_all(map(_name, range(params.seeds)), ("seed",))
