"""How well a map of places points at a mask: pointing game, mass inside, overlap."""

from dataclasses import dataclass, fields
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.evidence.localisation_grid import Floats, centres, share, spread_out

Mask = NDArray[np.bool_]
NAMES = ("pointing", "mass", "overlap")


@dataclass(frozen=True)
class Scores:
    """How well one map, or several maps of a kind on average, point at a mask.

    Attributes:
        pointing: 1 if the square of the strongest place touches the mask, else 0 (the pointing game
            of Zhang et al. 2016, arXiv:1608.00507, with half a stride of tolerance).
        mass: fraction of the map's sum that lies in the mask, 0 to 1.
        overlap: intersection over union of the mask and as many of the strongest pixels as it has,
            0 to 1.
    """

    pointing: float
    mass: float
    overlap: float

    @classmethod
    def mean(cls, scores: list[Self]) -> Self:
        """The average, at least one."""
        return cls(*(float(np.mean([getattr(one, f.name) for one in scores])) for f in fields(cls)))


def score(values: Floats, mask: Mask, stride_px: int) -> Scores:
    """Judge a map by a mask.

    Args:
        values: float64 (h, w), what each place speaks for; values below 0 count as 0. A map
            without any above 0 points nowhere and scores 0.
        mask: bool (s, s), not empty.
        stride_px: pixels between neighbouring places.

    Raises:
        ValueError: the mask is empty.
    """
    if not mask.any():
        raise ValueError(f"the mask {mask.shape} is empty; there is nothing to point at")
    values = np.clip(np.asarray(values, np.float64), 0, None)
    if not values.any():
        return Scores(0.0, 0.0, 0.0)
    inside = share(mask, _shape(values), stride_px)
    return Scores(
        pointing=float(inside[strongest(values)] > 0),
        mass=float((values * inside).sum() / values.sum()),
        overlap=_overlap(spread_out(values, stride_px, mask.shape[0]), mask),
    )


def strongest(values: Floats) -> tuple[int, int]:
    """Row and column of the strongest place of a map (h, w)."""
    row, column = np.unravel_index(int(np.argmax(values)), values.shape)
    return int(row), int(column)


def chance(
    head: Mask,
    mask: Mask,
    shape: tuple[int, int],
    stride_px: int,
    rng: np.random.Generator,
    draws: int,
) -> Scores:
    """What maps score that are noise, uniform and independent at each place of the head."""
    weight = share(head, shape, stride_px)
    return Scores.mean([score(weight * rng.random(shape), mask, stride_px) for _ in range(draws)])


def centre_prior(head: Mask, shape: tuple[int, int], stride_px: int) -> Floats:
    """A Gaussian at the head's centre, its deviations a quarter of the head's height and width."""
    down, across = (
        _bell(centres(side, stride_px, head.shape[0]), at)
        for side, at in zip(shape, np.nonzero(head), strict=True)
    )
    return np.asarray(np.outer(down, across), np.float64)


def outline(mask: Mask) -> Mask:
    """The edge of a mask, one pixel wide, inside it."""
    edge: Mask = mask & ~ndimage.binary_erosion(mask)
    return edge


def _bell(places: Floats, pixels: NDArray[np.int64]) -> Floats:
    sigma = max(float(np.ptp(pixels)), 1.0) / 4
    return np.asarray(np.exp(-0.5 * ((places - pixels.mean()) / sigma) ** 2), np.float64)


def _overlap(pixels: Floats, mask: Mask) -> float:
    area = int(mask.sum())
    chosen = np.zeros(pixels.size, dtype=np.bool_)
    chosen[np.argsort(-pixels, axis=None, kind="stable")[:area]] = True
    chosen &= pixels.ravel() > 0
    both, either = (int(f(chosen, mask.ravel()).sum()) for f in (np.logical_and, np.logical_or))
    return both / either


def _shape(values: Floats) -> tuple[int, int]:
    return int(values.shape[0]), int(values.shape[1])
