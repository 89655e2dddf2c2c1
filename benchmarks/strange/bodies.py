"""Other parts of the body as magnetic resonance would show them, drawn from ellipses.

They pass the scanner of the phantom (`slices.acquire`), so blur, shading and noise do not tell
them from phantom brains; only what is shown does.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor import settings
from brain_tumor.data.phantom.slices import acquire, mottle, smooth_noise

Floats = NDArray[np.float64]
Picture = NDArray[np.uint8]

_TISSUES = ("fat", "muscle", "marrow", "cortex", "fluid", "organ", "gland", "air", "blood")
# Typical signal, 0 to 1, T1, T2 and proton density with suppressed fat.
_SIGNAL = {
    "T1": (0.92, 0.36, 0.72, 0.05, 0.12, 0.48, 0.40, 0.02, 0.10),
    "T2": (0.65, 0.22, 0.42, 0.04, 0.92, 0.36, 0.58, 0.02, 0.06),
    "PD-FS": (0.18, 0.48, 0.22, 0.04, 0.90, 0.52, 0.66, 0.03, 0.75),
}


@dataclass
class Drawing:
    """A signal picture in the making, in coordinates -1 to 1, smoothly bent."""

    rng: np.random.Generator
    x: Floats
    y: Floats
    levels: dict[str, float]
    signal: Floats
    texture: Floats

    def ellipse(self, tissue: str, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """Fill an ellipse, slightly displaced and turned."""
        (cx, cy), (rx, ry) = centre, radii
        turn = self.rng.normal(0, 0.12)
        dx, dy = self.x - cx - self.rng.normal(0, 0.015), self.y - cy - self.rng.normal(0, 0.015)
        along, across = np.cos(turn) * dx + np.sin(turn) * dy, np.cos(turn) * dy - np.sin(turn) * dx
        grow = self.rng.uniform(0.9, 1.1, 2)
        inside = (along / (rx * grow[0])) ** 2 + (across / (ry * grow[1])) ** 2 < 1
        self.signal[inside] = (self.levels[tissue] * (1 + 0.06 * self.texture))[inside]

    def bone(self, centre: tuple[float, float], radii: tuple[float, float]) -> None:
        """Marrow in a dark shell."""
        self.ellipse("cortex", centre, (radii[0] + 0.03, radii[1] + 0.03))
        self.ellipse("marrow", centre, radii)

    def acquired(self) -> Picture:
        """The picture as the phantom's scanner shows it."""
        return acquire(self.rng, self.signal, settings.read().phantom, pixel_mm=1.0)


def _drawing(rng: np.random.Generator, width_over_height: float) -> Drawing:
    height = int(rng.integers(180, 300))
    width = int(np.clip(height * width_over_height * rng.uniform(0.9, 1.1), 120, 400))
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
    bend = [0.02 * smooth_noise(rng, (height, width), height / 4) for _ in range(2)]
    name = rng.choice(list(_SIGNAL))
    levels = np.clip(np.array(_SIGNAL[name]) + rng.normal(0, 0.04, len(_TISSUES)), 0, 1)
    zoom = rng.uniform(1.0, 1.15)
    return Drawing(
        rng,
        zoom * x + bend[0] + rng.normal(0, 0.03),
        zoom * y + bend[1] + rng.normal(0, 0.03),
        dict(zip(_TISSUES, (float(level) for level in levels), strict=True)),
        np.zeros((height, width)),
        mottle(rng, (height, width), 1.0),
    )


def knee(rng: np.random.Generator) -> Picture:
    """From the side: thigh bone over shin bone, kneecap, muscle; or across the thigh."""
    drawing = _drawing(rng, 0.9)
    if rng.random() < 0.3:
        drawing.ellipse("fat", (0, 0), (0.95, 0.95))
        drawing.ellipse("muscle", (0, 0), (0.8, 0.8))
        drawing.bone((0.05, -0.1), (0.22, 0.22))
        drawing.ellipse("blood", (-0.3, 0.3), (0.05, 0.05))
        return drawing.acquired()
    drawing.ellipse("fat", (0, 0), (0.75, 1.6))
    drawing.ellipse("muscle", (0.3, -0.7), (0.35, 0.6))
    drawing.ellipse("muscle", (0.35, 0.75), (0.3, 0.6))
    drawing.bone((-0.05, -0.7), (0.22, 0.65))
    drawing.bone((0.0, -0.2), (0.38, 0.24))
    drawing.bone((0.0, 0.65), (0.24, 0.6))
    drawing.bone((0.0, 0.27), (0.4, 0.16))
    drawing.bone((-0.6, -0.25), (0.08, 0.17))
    drawing.ellipse("fluid", (-0.1, 0.06), (0.35, 0.03))
    return drawing.acquired()


def _trunk(drawing: Drawing) -> None:
    """Fat, muscle, and a spine with its canal."""
    drawing.ellipse("fat", (0, 0), (0.97, 0.93))
    drawing.ellipse("muscle", (0, 0), (0.85, 0.8))
    drawing.bone((0, 0.42), (0.15, 0.14))
    drawing.ellipse("fluid", (0, 0.62), (0.06, 0.05))


def thorax(rng: np.random.Generator) -> Picture:
    """Lungs, heart, aorta."""
    drawing = _drawing(rng, 1.3)
    _trunk(drawing)
    drawing.ellipse("air", (-0.42, 0.0), (0.34, 0.58))
    drawing.ellipse("air", (0.42, 0.0), (0.34, 0.58))
    drawing.ellipse("muscle", (0.12, -0.2), (0.32, 0.34))
    drawing.ellipse("blood", (0.05, -0.22), (0.12, 0.18))
    drawing.ellipse("blood", (0.24, -0.15), (0.1, 0.16))
    drawing.ellipse("blood", (0.14, 0.28), (0.07, 0.08))
    return drawing.acquired()


def abdomen(rng: np.random.Generator) -> Picture:
    """Liver, spleen, kidneys, stomach, aorta."""
    drawing = _drawing(rng, 1.35)
    _trunk(drawing)
    drawing.ellipse("fat", (0, -0.05), (0.72, 0.6))
    drawing.bone((0, 0.42), (0.15, 0.14))
    drawing.ellipse("organ", (-0.38, -0.12), (0.4, 0.46))
    drawing.ellipse("gland", (0.55, 0.15), (0.16, 0.26))
    drawing.ellipse("gland", (-0.32, 0.38), (0.13, 0.17))
    drawing.ellipse("gland", (0.32, 0.4), (0.13, 0.17))
    drawing.ellipse("fluid", (0.28, -0.25), (0.24, 0.17))
    drawing.ellipse("blood", (0.04, 0.2), (0.06, 0.07))
    return drawing.acquired()


def pelvis(rng: np.random.Generator) -> Picture:
    """Hip bones, thigh bones' heads, bladder, rectum."""
    drawing = _drawing(rng, 1.4)
    drawing.ellipse("fat", (0, 0), (0.97, 0.85))
    drawing.ellipse("muscle", (0, 0.05), (0.85, 0.66))
    for side in (-1, 1):
        drawing.bone((0.52 * side, -0.1), (0.17, 0.2))
        drawing.bone((0.42 * side, 0.2), (0.1, 0.3))
    drawing.ellipse("fat", (0, 0), (0.34, 0.5))
    drawing.ellipse("fluid", (0, -0.18), (0.26, 0.24))
    drawing.ellipse("organ", (0, 0.2), (0.2, 0.13))
    drawing.bone((0, 0.55), (0.13, 0.08))
    return drawing.acquired()


def hand(rng: np.random.Generator) -> Picture:
    """Palm and fingers with their bones."""
    drawing = _drawing(rng, 0.8)
    fingers = [(-0.55, -0.1, 0.35), (-0.25, -0.45, 0.42), (0.05, -0.5, 0.45), (0.35, -0.42, 0.4)]
    drawing.ellipse("muscle", (-0.05, 0.45), (0.55, 0.45))
    for x, y, reach in fingers:
        drawing.ellipse("fat", (x, y), (0.14, reach))
    drawing.ellipse("fat", (0.65, 0.3), (0.14, 0.3))
    for x, y, reach in fingers:
        drawing.bone((x, y - 0.3 * reach), (0.05, 0.4 * reach))
        drawing.bone((0.8 * x, y + 0.95 * reach), (0.06, 0.4 * reach))
    drawing.bone((0.62, 0.3), (0.06, 0.2))
    return drawing.acquired()
