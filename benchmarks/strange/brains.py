"""Slices of brains as they should not be: turned, cut, degraded."""

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from benchmarks.strange.plain import eight_bits

Picture = NDArray[np.uint8]


def upside_down(rng: np.random.Generator, brain: Picture) -> Picture:
    """Mirrored top to bottom, or turned by 180 degrees."""
    return brain[::-1] if rng.random() < 0.5 else brain[::-1, ::-1]


def on_its_side(rng: np.random.Generator, brain: Picture) -> Picture:
    """Turned by 90 degrees to the left or right."""
    return np.rot90(brain, 1 if rng.random() < 0.5 else 3)


def cut(rng: np.random.Generator, brain: Picture) -> Picture:
    """Half of it missing, a strongly zoomed part, or a large black patch."""
    height, width = brain.shape
    kind = rng.integers(3)
    if kind == 0:
        return brain[: height // 2] if rng.random() < 0.5 else brain[:, : width // 2]
    if kind == 1:
        side = rng.uniform(0.3, 0.45)
        top, left = rng.uniform(0.25, 0.72 - side, 2)
        return brain[int(top * height) :, int(left * width) :][
            : int(side * height), : int(side * width)
        ]
    patched = brain.copy()
    top, left = rng.uniform(0.15, 0.4, 2)
    patched[int(top * height) :, int(left * width) :][: int(0.45 * height), : int(0.45 * width)] = 0
    return patched


def degraded(rng: np.random.Generator, brain: Picture) -> Picture:
    """Strong noise, strong blur, or the ghosts of a moved head."""
    kind, values = rng.integers(3), brain.astype(np.float64)
    if kind == 0:
        return eight_bits(values + rng.normal(0, rng.uniform(40, 80), brain.shape))
    if kind == 1:
        return eight_bits(gaussian_filter(values, max(brain.shape) * rng.uniform(0.02, 0.04)))
    shift = int(max(brain.shape) * rng.uniform(0.06, 0.15))
    ghosts = sum(np.roll(values, step * shift, axis=0) / 2 ** abs(step) for step in range(-3, 4))
    smeared = gaussian_filter1d(np.asarray(ghosts), 1.5, axis=0)
    return eight_bits(255 * smeared / smeared.max())
