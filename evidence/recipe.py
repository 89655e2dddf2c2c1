"""The recipe in the study: the product's, on the images of a fold."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.calibration import calibrate, operating_point
from brain_tumor.model.folds import Development, TrainingData
from brain_tumor.model.recipe import fit_folds, fit_network, out_of_fold, predict_out_of_fold
from brain_tumor.model.saved import predict_proba
from brain_tumor.model.training import Start
from brain_tumor.settings import CalibrateParams, TrainParams, TrainSection, TuneParams
from evidence.parts import Pool

if TYPE_CHECKING:
    from optuna import Trial


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
    values, probabilities = search(start, folds[:1] if own.tune.folds == 1 else folds, own)
    section = own.train.resolve(values)
    if len(probabilities) == count:
        held_out = out_of_fold(folds, probabilities)
    else:
        held_out = predict_out_of_fold(start, folds, section)
    point = operating_point(held_out, own.calibrate)
    raw = _final(start, known, development, unseen, folds, section)
    paths = pool.rows["source"].to_numpy()[held_out["row"]]
    return Answer(
        probability=calibrate(raw, point.temperature),
        uncalibrated=raw,
        temperature=point.temperature,
        threshold=point.threshold,
        chosen=dict(values),
        inner=pd.DataFrame(
            {
                "path": paths,
                "probability": calibrate(
                    held_out["probability"].to_numpy(np.float64), point.temperature
                ),
            }
        ),
    )


def search(
    start: Start, folds: Sequence[TrainingData], params: RecipeParams
) -> tuple[dict[str, float | int], list[list[float]]]:
    """The study of stage `tune`, in memory.

    Args:
        start: initial weights and feature cache.
        folds: inner folds.
        params: sections; sampler, pruner and number of trials are those of the product.

    Returns:
        The values of the best trial and its out-of-fold probabilities; nothing where nothing is
        tuned.
    """
    if not params.train.tuned():
        return {}, []
    from optuna.storages import InMemoryStorage

    from brain_tumor.tuning import search
    from brain_tumor.tuning.search import open_study, run, suggest

    tune = params.tune
    study = open_study(InMemoryStorage(), "inner", tune, create=True)

    def objective(trial: "Trial") -> float:
        section = params.train.resolve(suggest(trial, tune.space, params.train.tuned))
        return fit_folds(trial, start, folds, section, tune.objective)

    run(study, tune, objective, lambda _: None, lambda _: None)
    return search.best(study, tune.n_trials).params, search.held_out(study, tune.n_trials)


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
    network, _ = fit_network(start, data, section)
    originals = pd.Series(rows.index, index=rows["source"])[~rows["copy"].to_numpy()]
    return predict_proba(network, known.images[originals.loc[list(unseen)].to_numpy()])


def _reseeded(params: RecipeParams, seed: int) -> RecipeParams:
    return RecipeParams(
        params.train.model_copy(update={"seed": params.train.seed + seed}),
        params.tune.model_copy(update={"seed": params.tune.seed + seed}),
        params.calibrate,
    )
