"""Whether probabilities mean what they say, and one number, a temperature, to make them."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit, logit

from brain_tumor.errors import UserError
from brain_tumor.model.metrics import BINS, bins_of, wilson
from brain_tumor.outputs import OperatingPoint
from brain_tumor.settings import CalibrateParams

HALF = 0.5  # threshold without a target
TEMPERATURES = (0.05, 20.0)  # lowest and highest that are looked for
_NEAREST = 1e-12  # a probability of 0 or 1 counts as this far from it


def calibrate(probability: NDArray[np.float64], temperature: float | None) -> NDArray[np.float64]:
    """Divide the logit of each probability by a temperature.

    Order is kept, so AUROC is; 0, 0.5 and 1 stay. Source: Guo et al. 2017, "On Calibration of
    Modern Neural Networks".

    Args:
        probability: float64 (N,), 0 to 1.
        temperature: above 1 draws towards 0.5, below 1 away from it; None leaves all as it is.

    Returns:
        float64 (N,), 0 to 1.
    """
    if temperature is None:
        return probability
    calibrated: NDArray[np.float64] = expit(logit(probability) / temperature)
    return calibrated


def fit_temperature(y_true: NDArray[np.int64], probability: NDArray[np.float64]) -> float:
    """The temperature with the lowest log loss.

    Args:
        y_true: int64 (N,), 0 or 1.
        probability: float64 (N,), 0 to 1, of images that training did not see.

    Returns:
        0.05 to 20; an end of that range where the best lies beyond it, as it does where the
        probabilities separate the classes.
    """
    from scipy.optimize import minimize_scalar

    bounds = np.log(TEMPERATURES)
    logits = logit(np.clip(probability, _NEAREST, 1.0 - _NEAREST))
    sign = np.where(y_true == 1, -1.0, 1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, sign * logits / np.exp(log_temperature)).mean())

    solution = minimize_scalar(loss, bounds=bounds, method="bounded", options={"xatol": 1e-6})
    return float(np.exp(solution.x))


def threshold_for_sensitivity(
    y_true: NDArray[np.int64], probability: NDArray[np.float64], target: float
) -> float:
    """The highest threshold at which the share of tumours called is at least `target`.

    Args:
        y_true: int64 (N,), 0 or 1.
        probability: float64 (N,), 0 to 1; from the threshold up an image is called a tumour.
        target: above 0, up to 1.

    Returns:
        The probability of one of the tumours.

    Raises:
        UserError: there are no tumours.
    """
    tumours = np.sort(probability[y_true == 1])
    if not len(tumours):
        raise UserError(f"none of {len(y_true)} images is a tumour: there is no sensitivity")
    missed = int(np.floor((1.0 - target) * len(tumours) + 1e-9))
    return float(tumours[min(missed, len(tumours) - 1)])


def operating_point(table: pd.DataFrame, params: CalibrateParams) -> OperatingPoint:
    """Temperature and threshold by out-of-fold predictions alone.

    The table has columns y (0 or 1), fold and probability, a row per image.
    """
    truth = table["y"].to_numpy(np.int64)
    probability = table["probability"].to_numpy(np.float64)
    temperature = fit_temperature(truth, probability)
    calibrated = calibrate(probability, temperature)
    target = params.sensitivity
    return OperatingPoint(
        temperature=temperature,
        threshold=HALF if target is None else threshold_for_sensitivity(truth, calibrated, target),
        sensitivity=target,
        images=len(truth),
        folds=int(table["fold"].nunique()),
    )


def reliability(y_true: NDArray[np.int64], probability: NDArray[np.float64]) -> pd.DataFrame:
    """What a reliability diagram shows: for each of ten bins what was predicted and what was.

    Args:
        y_true: int64 (N,), 0 or 1.
        probability: float64 (N,), 0 to 1.

    Returns:
        A row per bin that holds images: low, high (its ends), images, predicted (mean
        probability), observed (share of tumours), observed_low, observed_high (Wilson, 95 %).
    """
    rows = []
    bins = bins_of(probability)
    for number in np.unique(bins):
        inside = bins == number
        observed = wilson(int(y_true[inside].sum()), int(inside.sum()))
        rows.append(
            {
                "low": number / BINS,
                "high": (number + 1) / BINS,
                "images": int(inside.sum()),
                "predicted": float(probability[inside].mean()),
                "observed": observed.value,
                "observed_low": observed.low,
                "observed_high": observed.high,
            }
        )
    return pd.DataFrame(rows)
