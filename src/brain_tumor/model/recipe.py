"""The whole recipe as one function: from development images to answers for images it never saw.

It is what `dvc repro` does, for any division of the images: a search over inner folds chooses
what section `train` leaves `tuned`, temperature and threshold come from inner out-of-fold
predictions, and the network is fitted anew. So that the recipe can be cross-validated whole. (A
solved head is fitted to all development images; `dvc repro` holds those of val out, to show them.)
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.calibration import calibrate, operating_point
from brain_tumor.model.development import Development, TrainingData
from brain_tumor.model.fit import Start, fit, network_of
from brain_tumor.model.inner import Inner
from brain_tumor.model.inner_search import search
from brain_tumor.model.saved import predict_proba
from brain_tumor.settings import CalibrateParams, TrainParams, TrainSection, TuneParams

# Raise it with every change after which the same images, parameters and weights can give other
# predictions: studies and finished evidence made before then count as made by another recipe.
VERSION: Final = 1


@dataclass(frozen=True)
class Pool:
    """Every image with its copies, so that any assignment to folds can use them.

    Attributes:
        images: uint8 (N * (1 + copies), size, size).
        rows: for each of them `source` (manifest path of the image it is, or is a copy of),
            `label` (`no` or `yes`), `copy` (bool) and `cluster` (what is never divided). A copy
            whose source is not among the images is a phantom: it always trains.
    """

    images: NDArray[np.uint8]
    rows: pd.DataFrame


@dataclass(frozen=True)
class Answer:
    """What a recipe, fitted on development images alone, says of images it never saw.

    Attributes:
        probability: float64 (unseen,), calibrated with `temperature`, in the order asked for.
        uncalibrated: float64 (unseen,), of the network.
        temperature: fitted to inner out-of-fold predictions.
        threshold: of calibrated probability, likewise.
        chosen: hyperparameters that the inner folds chose.
        inner: columns path, probability (calibrated): inner out-of-fold predictions.
    """

    probability: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    temperature: float
    threshold: float
    chosen: dict[str, float | int | str]
    inner: pd.DataFrame


@dataclass(frozen=True)
class RecipeParams:
    """The sections of params.yaml a recipe is made of."""

    train: TrainSection
    tune: TuneParams
    calibrate: CalibrateParams


Recipe = Callable[[Pool, Sequence[str], Sequence[str], int], Answer]


def product_recipe(start: Start, params: RecipeParams) -> Recipe:
    """The recipe of params.yaml.

    Args:
        start: initial weights and feature cache.
        params: its sections.
    """
    return partial(_answer, start, params)


def _answer(
    start: Start,
    params: RecipeParams,
    pool: Pool,
    development: Sequence[str],
    unseen: Sequence[str],
    seed: int,
) -> Answer:
    """Choose, calibrate and fit on `development`; predict `unseen` (manifest paths).

    `seed` is added to those of sampler, folds and training.
    """
    own = _reseeded(params, seed)
    known = Development(pool.images, pool.rows)
    clusters = pool.rows[~pool.rows["copy"]].set_index("source")["cluster"]
    # Here is no validation split that could be the only fold.
    count = max(2, own.tune.folds)
    folds = tuple(known.folds(clusters, count, own.tune.seed, among=set(development)))
    values = search(start, folds, own.train, own.tune)
    section = own.train.resolve(values)
    inner = Inner.predict(start, folds, section)
    point = operating_point(inner.table, own.calibrate)
    raw = _final(start, known, development, unseen, folds, section)
    out_of_fold = inner.table["probability"].to_numpy(np.float64)
    paths = pool.rows["source"].to_numpy()[inner.table["row"]]
    return Answer(
        probability=calibrate(raw, point.temperature),
        uncalibrated=raw,
        temperature=point.temperature,
        threshold=point.threshold,
        chosen=dict(values),
        inner=pd.DataFrame(
            {"path": paths, "probability": calibrate(out_of_fold, point.temperature)}
        ),
    )


def _final(
    start: Start,
    known: Development,
    development: Sequence[str],
    unseen: Sequence[str],
    folds: Sequence[TrainingData],
    section: TrainParams,
) -> NDArray[np.float64]:
    """Fit anew and predict.

    A solved head, and what is fine-tuned from it, is fitted on all development images. Where
    held-out images stop AdamW, it is the first inner fold that stops it.
    """
    rows = known.rows
    stops = section.head_penalty is None
    data = folds[0]
    if not stops:
        not_asked = set(rows["source"]) - set(rows["source"][~rows["copy"]]) | set(development)
        everything = rows["source"].isin(not_asked).to_numpy()
        data = replace(data, train=np.flatnonzero(everything).astype(np.int64))
    fitted = fit(start, data, section, lambda *_: None)
    network = network_of(start.weights, fitted, section, known.images.shape[1])
    originals = pd.Series(rows.index, index=rows["source"])[~rows["copy"].to_numpy()]
    return predict_proba(network, known.images[originals.loc[list(unseen)].to_numpy()])


def _reseeded(params: RecipeParams, seed: int) -> RecipeParams:
    return RecipeParams(
        params.train.model_copy(update={"seed": params.train.seed + seed}),
        params.tune.model_copy(update={"seed": params.tune.seed + seed}),
        params.calibrate,
    )
