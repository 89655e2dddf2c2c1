"""What signal each tissue gives: four textbook contrasts, and contrasts drawn at random.

A network that has seen every tissue in every shade learns shapes instead of shades (domain
randomisation: SynthSeg, Billot et al. 2023, Med Image Anal 86:102789; SynthStrip, Hoopes et al.
2022, NeuroImage 260:119474).
"""

from dataclasses import dataclass, replace

import numpy as np

from brain_tumor.data.phantom.heads import TISSUES, Floats

RANDOM = "random"


@dataclass(frozen=True)
class Contrast:
    """Signals of one slice, 0 black, 1 white.

    Attributes:
        name: of `TEXTBOOK`, or `RANDOM`.
        tissues: signal of each of `heads.TISSUES`, (tissues,).
        solid: of a solid mass; likewise of a ring, of the core that it encloses, of a diffuse mass
            and of the oedema around any of them.
    """

    name: str
    tissues: Floats
    solid: float
    ring: float
    core: float
    diffuse: float
    oedema: float


def _textbook(name: str, tissues: tuple[float, ...], mass: tuple[float, ...]) -> Contrast:
    return Contrast(name, np.array(tissues), *mass)


TEXTBOOK = {
    contrast.name: contrast
    for contrast in (
        # air, fluid, bone, marrow, fat, muscle, skin, eye, cavity, gland, grey, white
        _textbook(
            "T1",
            (0, 0.12, 0.05, 0.40, 0.92, 0.36, 0.55, 0.14, 0, 0.50, 0.46, 0.66),
            (0.25, 0.30, 0.12, 0.25, 0.30),
        ),
        _textbook(  # with contrast agent
            "T1-CE",
            (0, 0.12, 0.05, 0.40, 0.88, 0.42, 0.60, 0.14, 0, 0.72, 0.42, 0.56),
            (1.0, 1.0, 0.12, 0.26, 0.30),
        ),
        _textbook(
            "T2",
            (0, 0.90, 0.04, 0.30, 0.62, 0.22, 0.40, 0.95, 0, 0.55, 0.50, 0.32),
            (0.85, 0.60, 1.0, 0.90, 0.90),
        ),
        _textbook(
            "FLAIR",
            (0, 0.07, 0.04, 0.30, 0.70, 0.28, 0.45, 0.08, 0, 0.50, 0.56, 0.45),
            (0.90, 0.90, 0.20, 0.95, 0.95),
        ),
    )
}
# Standard deviation of each tissue's signal from slice to slice.
_JITTER = np.array([0, 0.03, 0.02, 0.08, 0.07, 0.05, 0.08, 0.04, 0, 0.08, 0.03, 0.03])
_DARK_FRACTION = 0.7  # of random contrasts with dark bone, as in nearly every picture
_MATTER_STEP = (0.08, 0.3)  # between grey and white matter in random contrasts
_MASS_STEP = (0.3, 0.5)  # between a mass and the brain there, as in the textbook ones
_OEDEMA_STEP = (0.1, 0.35)


def varied(contrast: Contrast, rng: np.random.Generator) -> Contrast:
    """The same contrast on another scanner."""
    levels = contrast.tissues + rng.normal(0, 1, len(TISSUES)) * _JITTER
    levels = np.where(contrast.tissues > 0, np.clip(levels, 0.02, 1.0), 0.0)
    return replace(contrast, tissues=levels)


def random_contrast(rng: np.random.Generator) -> Contrast:
    """Any signal for any tissue; a mass differs from the brain as much as in the textbook ones."""
    levels = rng.uniform(0.0, 1.0, len(TISSUES))
    if rng.random() < _DARK_FRACTION:
        levels[TISSUES.index("bone")] = rng.uniform(0, 0.12)
    brain = float(rng.uniform(0.3, 0.7))
    step = float(rng.uniform(*_MATTER_STEP) * rng.choice([-1, 1]))
    levels[TISSUES.index("grey")] = brain - step / 2
    levels[TISSUES.index("white")] = brain + step / 2
    levels[TISSUES.index("air")] = levels[TISSUES.index("cavity")] = 0
    up = 1.0 if rng.random() < (0.7 - brain) / 0.4 else -1.0
    away = brain + up * rng.uniform(*_MASS_STEP, 3)
    core = brain - up * rng.uniform(*_MASS_STEP)
    oedema = brain + up * rng.uniform(*_OEDEMA_STEP)
    solid, ring, core, diffuse, oedema = np.clip([*away[:2], core, away[2], oedema], 0.03, 1)
    return Contrast(
        RANDOM, levels, float(solid), float(ring), float(core), float(diffuse), float(oedema)
    )
