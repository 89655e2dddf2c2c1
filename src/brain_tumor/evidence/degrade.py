"""Pictures made worse on purpose: noise, blur, contrast, rotation, JPEG; the same every time.

A change is made to the picture before any preprocessing, as a poor scan or export would make it.
Noise and the direction of a rotation are drawn from a seed and the name of the file, so they do
not depend on what else is degraded; the levels of one kind share the draw.
"""

import hashlib
import io
from collections.abc import Callable
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

Pixels = NDArray[np.uint8]
Kind = Literal["noise", "blur", "contrast", "rotation", "jpeg"]

_WHITE_PERCENT = 99.0  # percentile of the grey levels that counts as the picture's white


def degraded(grey: Pixels, kind: Kind, level: float, seed: int, name: str) -> bytes:
    """A degraded picture as a file: JPEG for kind `jpeg`, else PNG (nothing more is lost).

    Args:
        grey: uint8 (height, width).
        kind: what is done to it.
        level: how much. `noise`: standard deviation of Rician noise over the picture's white;
            `blur`: that of a Gaussian over the longer side; `contrast`: share kept of the
            difference to the mean; `rotation`: degrees, either way; `jpeg`: quality, 1 to 95.
        seed: of noise and direction.
        name: of the file.

    Returns:
        An encoded grey picture; larger after a rotation, else of the same size.
    """
    if kind == "jpeg":
        return _encoded(grey, "JPEG", quality=int(level))
    rng = np.random.default_rng(_number(seed, kind, name))
    return _encoded(_CHANGES[kind](grey.astype(np.float64), level, rng), "PNG")


def _noise(grey: NDArray[np.float64], level: float, rng: np.random.Generator) -> Pixels:
    """Rician, as in the magnitude of a magnetic resonance signal (Gudbjartsson & Patz 1995)."""
    sigma = level * float(np.percentile(grey, _WHITE_PERCENT))
    real, imaginary = rng.normal(0.0, 1.0, (2, *grey.shape)) * sigma
    return _eight_bits(np.hypot(grey + real, imaginary))


def _blur(grey: NDArray[np.float64], level: float, _: np.random.Generator) -> Pixels:
    return _eight_bits(ndimage.gaussian_filter(grey, level * max(grey.shape), mode="nearest"))


def _contrast(grey: NDArray[np.float64], level: float, _: np.random.Generator) -> Pixels:
    mean = grey.mean()
    return _eight_bits(mean + level * (grey - mean))


def _rotation(grey: NDArray[np.float64], level: float, rng: np.random.Generator) -> Pixels:
    """About the centre, nothing cut off; new corners are as the picture's edge is (median)."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    angle = level if rng.random() < 0.5 else -level
    turned = ndimage.rotate(grey, angle, order=1, mode="constant", cval=float(np.median(edge)))
    return _eight_bits(turned)


_Change = Callable[[NDArray[np.float64], float, np.random.Generator], Pixels]
_CHANGES: dict[str, _Change] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "rotation": _rotation,
}


def _number(seed: int, kind: str, name: str) -> int:
    """A seed from texts, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{kind}/{name}".encode()).digest()[:8], "big")


def _eight_bits(values: NDArray[np.float64]) -> Pixels:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)


def _encoded(grey: Pixels, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind, **options)
    return buffer.getvalue()
