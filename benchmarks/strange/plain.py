"""Pictures without an object: noise, even ones and gradients."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

Picture = NDArray[np.uint8]


def noise(rng: np.random.Generator) -> Picture:
    """White, smoothed at a random scale, or salt on black."""
    shape = tuple(rng.integers(120, 400, 2))
    kind = rng.integers(4)
    if kind == 0:
        return rng.integers(0, 256, shape).astype(np.uint8)
    if kind == 1:
        return np.where(rng.random(shape) < rng.uniform(0.01, 0.3), 255, 0).astype(np.uint8)
    if kind == 2:
        return eight_bits(rng.normal(rng.uniform(40, 200), rng.uniform(5, 40), shape))
    smooth = gaussian_filter(rng.normal(0, 1, shape), rng.uniform(1, 20))
    return eight_bits(128 + 60 * smooth / smooth.std())


def blank(rng: np.random.Generator) -> Picture:
    """Black, white, grey, or a straight or round gradient; some with a little noise."""
    height, width = (int(side) for side in rng.integers(32, 500, 2))
    y, x = np.mgrid[:height, :width] / max(height, width)
    level, angle = float(rng.choice([0, 255, rng.uniform(0, 255)])), rng.uniform(0, 2 * np.pi)
    kind = rng.integers(3)
    if kind == 0:
        values = np.full((height, width), level)
    elif kind == 1:
        values = 128 + rng.uniform(20, 180) * (x * np.cos(angle) + y * np.sin(angle) - 0.3)
    else:
        values = 255 * np.exp(-((x - 0.4) ** 2 + (y - 0.4) ** 2) / rng.uniform(0.01, 0.2))
    return eight_bits(values + rng.normal(0, rng.choice([0, 0, 3]), values.shape))


def eight_bits(values: NDArray[np.floating]) -> Picture:
    """Rounded and clipped to uint8."""
    return np.asarray(np.clip(np.rint(values), 0, 255), dtype=np.uint8)
