"""Drawn heads: bright textured discs on black."""

import io

import numpy as np
from PIL import Image


def head(
    height: int, width: int, *, radius: float | None = None, level: float = 180.0, seed: int = 0
) -> np.ndarray:
    """A disc with stripes and a little noise, uint8 (height, width)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    y, x = y - (height - 1) / 2, x - (width - 1) / 2
    size = radius or 0.4 * min(height, width)
    texture = 1 + 0.3 * np.sin(x / 5) * np.cos(y / 7) + rng.normal(0, 0.03, (height, width))
    inside = x**2 + y**2 < size**2
    return np.clip(np.where(inside, level * texture, 0), 0, 255).astype(np.uint8)


def encoded(picture: np.ndarray, kind: str = "PNG") -> bytes:
    """The bytes of an image file."""
    buffer = io.BytesIO()
    Image.fromarray(picture).save(buffer, kind)
    return buffer.getvalue()
