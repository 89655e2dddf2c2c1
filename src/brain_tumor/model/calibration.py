"""Temperature scaling: one number that makes probabilities less, or more, sure of themselves."""

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit


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
