"""Pictures that are no ordinary slice of a brain, made from a seed.

They measure the flag for pictures unlike the training images (`inference.familiarity`), which is
fitted without them. The kinds were thought up and drawn by us, and some are variants of one to
three pictures that installed packages ship: a rate on them says what the flag does on such pictures
and no more.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from benchmarks.strange import bodies, brains, plain, scans, scenes

Picture = NDArray[np.uint8]  # (H, W), or (H, W, 3) in colour

# Made from nothing but a seed.
KINDS: dict[str, Callable[[np.random.Generator], Picture]] = {
    "photograph": scenes.photograph,
    "text": scenes.text,
    "chart": scenes.chart,
    "noise": plain.noise,
    "blank": plain.blank,
    "knee, drawn": bodies.knee,
    "thorax, drawn": bodies.thorax,
    "abdomen, drawn": bodies.abdomen,
    "pelvis, drawn": bodies.pelvis,
    "hand, drawn": bodies.hand,
    "abdomen, MR scan": scans.abdomen,
    "head CT, drawn": scans.drawn_head,
    "head CT, scans": scans.head,
    "body CT, scan": scans.body,
    "ultrasound, scans": scans.ultrasound,
}
# Made from a slice of a brain, uint8 (H, W).
OF_BRAINS: dict[str, Callable[[np.random.Generator, Picture], Picture]] = {
    "brain upside down": brains.upside_down,
    "brain on its side": brains.on_its_side,
    "brain cut": brains.cut,
    "brain degraded": brains.degraded,
}


def make(kind: str, index: int, seed: int = 0) -> Picture:
    """Picture `index` of a kind of `KINDS`; the same arguments give the same picture."""
    return KINDS[kind](_rng(kind, index, seed))


def changed(kind: str, brain: Picture, index: int, seed: int = 0) -> Picture:
    """Brain `index` changed as a kind of `OF_BRAINS` says."""
    return OF_BRAINS[kind](_rng(kind, index, seed), brain)


def _rng(kind: str, index: int, seed: int) -> np.random.Generator:
    return np.random.default_rng([seed, index, *kind.encode()])
