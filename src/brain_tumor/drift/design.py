"""Two samples of images as the comparison sees them: units, classes and weights."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Design:
    """Which images form a unit, which units are new, and which are compared with which.

    Images of one cluster (copies, slices of one patient) are no independent evidence: they form
    one unit, and the unit counts as one, however many images it has.

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

    Args:
        cluster: of each image.
        is_new: of each image.
        is_yes: class of each image.
        of_class: whether a unit is compared with those of its class only; all are compared with
            all where the reference lacks a class.
    """
    keys = np.char.add(np.where(is_new, "new ", "old "), cluster)
    names, unit = np.unique(keys, return_inverse=True)
    sizes = np.bincount(unit)
    new = np.char.startswith(names, "new ")
    tumour = np.bincount(unit, weights=is_yes) / sizes >= 0.5
    comparable = set(tumour[new]) <= set(tumour[~new])
    stratum = tumour if of_class and comparable else np.zeros(len(names), dtype=bool)
    return Design(unit, new, stratum.astype(np.intp))
