"""All measures of two samples of images compared, p values adjusted."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.drift.compare import Difference, compare
from brain_tumor.drift.design import Design, design
from brain_tumor.drift.distance import training_distance
from brain_tumor.drift.measures import MEASURES, Measure
from brain_tumor.drift.result import Measured, Sample
from brain_tumor.settings import DriftParams

_Compared = tuple[Measure, Sample, Sample, Difference]


def with_model_measures(
    images: pd.DataFrame, features: NDArray[np.float32], neighbours: int
) -> pd.DataFrame:
    """Add what follows from class, probability and features of each image.

    Args:
        images: columns label, split ("" for new images), cluster, probability.
        features: of the same images, (images, channels).
        neighbours: see `training_distance`.

    Returns:
        `images` with the columns is_new, is_yes, right and distance.
    """
    is_yes = (images["label"] == "yes").to_numpy()
    probability = images["probability"].to_numpy(np.float64)
    is_training = (images["split"] == "train").to_numpy()
    cluster = images["cluster"].to_numpy(str)
    return images.assign(
        is_new=images["split"] == "",
        is_yes=is_yes.astype(np.float64),
        right=np.where(is_yes, probability, 1 - probability),
        distance=training_distance(features, is_training, cluster, neighbours),
    )


def measure_all(images: pd.DataFrame, params: DriftParams) -> tuple[Measured, ...]:
    """Compare new images with the reference in every measure there are columns of.

    A measure is left out where the reference has fewer than `params.min_clusters` clusters for it.

    Args:
        images: as `with_model_measures` gives them.
        params: section `drift`.
    """
    from scipy.stats import false_discovery_control

    known = [measure for measure in MEASURES if measure.name in images]
    tried = [_compare(measure, images, params) for measure in known]
    found = [one for one in tried if one is not None]
    if not found:
        return ()
    adjusted = false_discovery_control([difference.p for *_, difference in found])
    return tuple(
        Measured(
            *one,
            adjusted_p=float(p),
            warns=bool(p < params.alpha and one[-1].effect >= params.min_effect),
        )
        for one, p in zip(found, adjusted, strict=True)
    )


def _compare(measure: Measure, images: pd.DataFrame, params: DriftParams) -> _Compared | None:
    if measure.held_out:
        images = images[images["split"] != "train"]
    laid = design(
        images["cluster"].to_numpy(str),
        images["is_new"].to_numpy(bool),
        images["is_yes"].to_numpy() > 0,
        of_class=measure.of_class,
    )
    if np.count_nonzero(~laid.is_new) < params.min_clusters:
        return None
    values = np.round(images[measure.name].to_numpy(np.float64), measure.digits)
    difference = compare(values, laid, params.permutations, params.seed)
    return measure, _sample(values, laid, new=False), _sample(values, laid, new=True), difference


def _sample(values: NDArray[np.float64], laid: Design, *, new: bool) -> Sample:
    side = laid.is_new[laid.unit] == new
    return Sample(values[side], np.abs(laid.image_weights()[side]))
