"""The permutation test behind drift: groups of images, all measures at once.

The statistic is Kolmogorov and Smirnov's: the largest difference of the two distribution
functions. Each cluster counts as one and each of its images by its share, so copies add no
evidence; the reference is weighted to the classes of the new images.

The p value comes from permuting old and new among the clusters of a class. For that one image is
drawn from each cluster: clusters of twenty slices vary less than single images, and would not be
exchangeable with them. The statistic tested is its mean over several draws.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Which images form a unit, which units are new, and which are compared with which.

    Attributes:
        unit: of each image, 0 to units - 1, (images,).
        is_new: of each unit.
        stratum: class of each unit; new units are compared with reference units of their class.
    """

    unit: NDArray[np.intp]
    is_new: NDArray[np.bool_]
    stratum: NDArray[np.intp]

    def coefficients(self) -> Floats:
        """Weight of each unit in (new - reference): new ones sum to 1, reference ones to -1.

        The reference is weighted to the classes of the new units: a class that is not among the
        new ones does not count, and more tumours than before are no difference in themselves.
        """
        weights = np.zeros(len(self.is_new))
        total = np.count_nonzero(self.is_new)
        for stratum in np.unique(self.stratum):
            new = self.is_new & (self.stratum == stratum)
            reference = ~self.is_new & (self.stratum == stratum)
            weights[new] = 1 / total
            weights[reference] = -np.count_nonzero(new) / total / np.count_nonzero(reference)
        return weights

    def image_weights(self) -> Floats:
        """The same for each image: its share of its unit's."""
        sizes = np.bincount(self.unit, minlength=len(self.is_new))
        return np.asarray((self.coefficients() / sizes)[self.unit])


def design(
    cluster: NDArray[np.str_],
    is_new: NDArray[np.bool_],
    is_yes: NDArray[np.bool_],
    *,
    of_class: bool,
) -> Design:
    """Lay out two samples.

    A cluster with images on both sides is a unit on either. The class of a unit is that of most
    of its images (`yes` where they are as many).

    With `of_class` a unit is compared with those of its class only; all are compared with all
    where the reference lacks a class.
    """
    keys = np.char.add(np.where(is_new, "new ", "old "), cluster)
    names, unit = np.unique(keys, return_inverse=True)
    sizes = np.bincount(unit)
    new = np.char.startswith(names, "new ")
    tumour = np.bincount(unit, weights=is_yes) / sizes >= 0.5
    comparable = set(tumour[new]) <= set(tumour[~new])
    stratum = tumour if of_class and comparable else np.zeros(len(names), dtype=bool)
    return Design(unit, new, stratum.astype(np.intp))


Direction = Literal["higher", "lower", "spread"]

_DRAWS = 25  # of an image per cluster
_GRID = 256  # values at which distribution functions are compared, at most
_BLOCK = 2_000_000  # numbers held at a time
_ROUNDING = 1e-9  # equal differences, summed in another order


@dataclass(frozen=True)
class Difference:
    """How two samples differ.

    Attributes:
        higher: by how much the distribution functions differ where the new sample is higher.
        lower: where it is lower; both 0 to 1.
        p: of a difference as large (either way) where there is none.
    """

    higher: float
    lower: float
    p: float

    @property
    def effect(self) -> float:
        """Kolmogorov and Smirnov's statistic, 0 to 1."""
        return max(self.higher, self.lower)

    @property
    def direction(self) -> Direction:
        """Where the new sample lies; `spread` where it is lower as well as higher."""
        if min(self.higher, self.lower) > self.effect / 2:
            return "spread"
        return "higher" if self.higher > self.lower else "lower"


def compare(values: Floats, design: Design, permutations: int, seed: int) -> Difference:
    """Compare the new images with the reference.

    Args:
        values: of each image, finite.
        design: which images are new, and what belongs together.
        permutations: how many; the smallest p value is 1 / (permutations + 1).
        seed: of draws and permutations.
    """
    weights, image_weights = design.coefficients(), design.image_weights()
    order = np.argsort(values, kind="stable")
    last = np.append(np.diff(values[order]) > 0, True)  # of equal values
    differences = np.cumsum(image_weights[order])[last]
    rng = np.random.default_rng(seed)
    draws = [*_draws(values, design, rng)]
    tested = float(np.mean([_largest(weights[None] @ _steps(draw)) for draw in draws]))
    as_large = 0
    for draw, count in zip(draws, _shares(permutations, len(draws)), strict=True):
        steps = _steps(draw)  # (again: those of all draws together would take gigabytes)
        for permuted in _permuted(design, weights, count, rng):
            as_large += int((_largest(permuted @ steps) >= tested - _ROUNDING).sum())
    return Difference(
        higher=max(float(-differences.min()), 0.0),
        lower=max(float(differences.max()), 0.0),
        p=(1 + as_large) / (1 + permutations),
    )


def _draws(values: Floats, design: Design, rng: np.random.Generator) -> Iterator[Floats]:
    """A value of each unit, several times (once where no unit has two images).

    It is drawn by its rank, so that a unit of copies of the same images gives the same.
    """
    ordered = values[np.lexsort((values, design.unit))]
    sizes = np.bincount(design.unit, minlength=len(design.is_new))
    first = np.cumsum(sizes) - sizes
    for _ in range(_DRAWS if sizes.max() > 1 else 1):
        rank = np.floor(rng.random(len(sizes)) * sizes).astype(np.intp)
        yield ordered[first + rank]


def _steps(values: Floats) -> Floats:
    """Steps of each unit's distribution function on a grid of values, (units, grid)."""
    grid = np.unique(values)
    if len(grid) > _GRID:
        grid = np.unique(np.quantile(values, np.linspace(0, 1, _GRID), method="higher"))
    steps = np.zeros((len(values), len(grid)))
    steps[np.arange(len(values)), np.searchsorted(grid, values)] = 1.0
    return steps


def _largest(steps: Floats) -> Floats:
    """Kolmogorov and Smirnov's statistic from steps of differences (n, grid)."""
    return np.asarray(np.abs(np.cumsum(steps, axis=1)).max(axis=1))


def _shares(total: int, parts: int) -> list[int]:
    """`total` divided into `parts` as evenly as whole numbers can be."""
    return [total // parts + (index < total % parts) for index in range(parts)]


def _permuted(
    design: Design, weights: Floats, count: int, rng: np.random.Generator
) -> Iterator[Floats]:
    """Weights with old and new permuted among the units of a class, blocks of (rows, units)."""
    rows = max(1, _BLOCK // len(weights))
    for start in range(0, count, rows):
        block = np.tile(weights, (min(rows, count - start), 1))
        for stratum in np.unique(design.stratum):
            columns = np.flatnonzero(design.stratum == stratum)
            block[:, columns] = rng.permuted(block[:, columns], axis=1)
        yield block
