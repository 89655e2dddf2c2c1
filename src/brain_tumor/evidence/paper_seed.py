"""One seed of the paper's protocol: divide, train, predict.

Every image is on its own when the files are divided, so copies of a picture fall on both sides.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.dataset.splitting.split import split
from brain_tumor.evidence.params import PaperParams
from brain_tumor.evidence.pool import Pool, originals
from brain_tumor.model.development import TrainingData
from brain_tumor.model.fit import Fitted, Start, fit
from brain_tumor.settings import TrainParams


def divided(manifest: pd.DataFrame, pool: Pool, params: PaperParams, seed: int) -> pd.DataFrame:
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

    Args:
        start: initial weights and feature cache.
        pool: the images with their copies.
        table: see `divided`.
        params: section `paper`.
        seed: added to that of the training.
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
    from brain_tumor.model.fit import network_of
    from brain_tumor.model.head import make_head, restore
    from brain_tumor.model.saved import predict_in_batches, predict_proba

    if fitted.tuned is not None:
        network = network_of(start.weights, fitted, params, images.shape[1])
        return predict_proba(network, images[rows])
    wanted = [Output(params.head_block, params.head)]
    (vectors,) = trunk_outputs(start.weights, images, wanted, start.cache)
    head = make_head(params.head, vectors.shape[1], params.dropout or 0.0, params.seed)
    restore(head, fitted.head)
    return predict_in_batches(head, vectors[rows])
