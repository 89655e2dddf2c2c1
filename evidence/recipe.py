"""The recipe in the study: the product's, on the images of a fold."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.calibration import calibrate, operating_point
from brain_tumor.model.folds import Development, TrainingData
from brain_tumor.model.recipe import fit_folds, fit_network, out_of_fold, predict_out_of_fold
from brain_tumor.model.saved import predict_proba
from brain_tumor.model.training import Start
from brain_tumor.settings import Settings
from evidence.parts import Pool

if TYPE_CHECKING:
    from optuna import Trial
    from optuna.trial import FrozenTrial


@dataclass(frozen=True)
class Answer:
    """What a recipe, fitted on development images alone, says of images it never saw.

    Attributes:
        probability: float64 (unseen,), calibrated with `temperature`, in the order asked for.
        uncalibrated: float64 (unseen,), of the network.
        temperature: fitted to out-of-fold predictions of the inner folds.
        threshold: of calibrated probability, likewise.
        chosen: hyperparameters that the inner folds chose.
        out_of_fold: columns path, probability (calibrated), of the inner folds.
    """

    probability: NDArray[np.float64]
    uncalibrated: NDArray[np.float64]
    temperature: float
    threshold: float
    chosen: dict[str, float | int | str]
    out_of_fold: pd.DataFrame


# From the pool, development and unseen images (manifest paths) and a seed.
Recipe = Callable[[Pool, Sequence[str], Sequence[str], int], Answer]


def product_recipe(
    start: Start,
    params: Settings,
    pool: Pool,
    development: Sequence[str],
    unseen: Sequence[str],
    seed: int,
) -> Answer:
    """Choose, calibrate and fit on development images by the recipe of params.yaml; predict others.

    `seed` is added to those of sampler, folds and training.
    """
    own = replace(
        params,
        train=params.train.model_copy(update={"seed": params.train.seed + seed}),
        tune=params.tune.model_copy(update={"seed": params.tune.seed + seed}),
    )
    clusters = pool.rows[~pool.rows["copy"]].set_index("source")["cluster"]
    # Here is no validation split that could be the only fold.
    count = max(2, own.tune.folds)
    images = Development(pool.images, pool.rows)
    folds = tuple(images.folds(clusters, count, own.tune.seed, among=set(development)))
    values, probabilities = search(start, folds[:1] if own.tune.folds == 1 else folds, own)
    section = own.train.resolve(values)
    if len(probabilities) == count:
        predictions = out_of_fold(folds, probabilities)
    else:
        predictions = predict_out_of_fold(start, folds, section)
    point = operating_point(predictions, own.calibrate)
    # A solved head, and what is fine-tuned from it, is fitted on all development images. Where
    # held-out images stop AdamW, it is the first inner fold that stops it.
    data, sources = folds[0], pool.rows["source"]
    originals = pd.Series(sources.index, index=sources)[~pool.rows["copy"].to_numpy()]
    if section.head_penalty is not None:
        phantoms = set(sources) - set(originals.index)
        everything = sources.isin(phantoms | set(development)).to_numpy()
        data = replace(data, train=np.flatnonzero(everything).astype(np.int64))
    network, _ = fit_network(start, data, section)
    raw = predict_proba(network, pool.images[originals.loc[list(unseen)].to_numpy()])
    calibrated = calibrate(predictions["probability"].to_numpy(np.float64), point.temperature)
    return Answer(
        probability=calibrate(raw, point.temperature),
        uncalibrated=raw,
        temperature=point.temperature,
        threshold=point.threshold,
        chosen=dict(values),
        out_of_fold=pd.DataFrame(
            {"path": sources.to_numpy()[predictions["row"]], "probability": calibrated}
        ),
    )


def search(
    start: Start, folds: Sequence[TrainingData], params: Settings
) -> tuple[dict[str, float | int], list[list[float]]]:
    """The study of stage `tune`, in memory, on inner folds.

    Returns:
        The values of the best trial and its out-of-fold probabilities; nothing where nothing is
        tuned.
    """
    if not params.train.tuned():
        return {}, []
    from optuna.storages import InMemoryStorage

    from brain_tumor.tuning import search
    from brain_tumor.tuning.search import open_study, progress_line, run, suggest

    tune = params.tune
    study = open_study(InMemoryStorage(), "inner", tune, create=True)

    def objective(trial: "Trial") -> float:
        section = params.train.resolve(suggest(trial, tune.space, params.train.tuned))
        return fit_folds(trial, start, folds, section, tune.objective)

    def on_trial(trial: "FrozenTrial") -> None:
        print(progress_line(study, trial, tune), file=sys.stderr, flush=True)

    run(study, tune, objective, on_trial, lambda _: None)
    return search.best(study, tune.n_trials).params, search.held_out(study, tune.n_trials)
