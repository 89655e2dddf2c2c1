"""What the comparison found: for JSON, for people, and for the figure."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from brain_tumor.drift.compare import Difference
from brain_tumor.drift.design import Floats
from brain_tumor.drift.measures import Measure


@dataclass(frozen=True)
class Sample:
    """Values of images and the weight of each in the comparison (they sum to 1)."""

    values: Floats
    weights: Floats

    def quantile(self, fraction: float) -> float:
        """The value below which that fraction of the weight lies."""
        order = np.argsort(self.values)
        reached = np.cumsum(self.weights[order])
        index = int(np.searchsorted(reached, fraction * reached[-1] - 1e-9))
        return float(self.values[order][min(index, len(order) - 1)])

    def typical(self, *, share: bool) -> float:
        """The mean of a share, else the median."""
        if share:
            return float(np.average(self.values, weights=self.weights))
        return self.quantile(0.5)


@dataclass(frozen=True)
class Measured:
    """A measure of the reference and of the new images.

    Attributes:
        measure: which.
        reference: the champion's images, weighted to the classes of the new ones.
        new: the new images.
        difference: between them.
        adjusted_p: p, adjusted for all the measures (Benjamini and Hochberg).
        warns: whether it is sure and large enough to be told.
    """

    measure: Measure
    reference: Sample
    new: Sample
    difference: Difference
    adjusted_p: float
    warns: bool

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        share = self.measure.share
        return {
            "name": self.measure.name,
            "what": self.measure.what,
            "compared_with": "val and test images" if self.measure.held_out else "all images",
            "typical": "share" if share else "median",
            "reference": self.reference.typical(share=share),
            "new": self.new.typical(share=share),
            "effect": self.difference.effect,
            "direction": self.difference.direction,
            "p": self.difference.p,
            "adjusted_p": self.adjusted_p,
            "warns": self.warns,
        }

    def sentence(self) -> str:
        """The difference in plain words."""
        said = self.measure.said(self.difference.direction)
        sure = f"KS {self.difference.effect:.2f}, adjusted p {self.adjusted_p:.2g}"
        return f"{said}: {self._figures()} ({sure})"

    def _figures(self) -> str:
        shown, share = self.measure.shown, self.measure.share
        if self.difference.direction == "spread":
            low, high = (shown(self.new.quantile(q)) for q in (0.1, 0.9))
            before = " to ".join(shown(self.reference.quantile(q)) for q in (0.1, 0.9))
            return f"80% lie in {low} to {high} against {before}"
        new, known = (shown(one.typical(share=share)) for one in (self.new, self.reference))
        return f"{'' if share else 'median '}{new} against {known}"


@dataclass(frozen=True)
class Counts:
    """How many images, or clusters, were compared."""

    reference: int = 0
    new: int = 0


@dataclass(frozen=True)
class Drift:
    """How the images that are new to the champion differ from those it was made from.

    Attributes:
        champion: URI of the version compared with; None if there is none.
        images: counts; those of the reference are all of train, val and test.
        clusters: counts of what copies or a patient join.
        measures: what was compared; empty where nothing could be.
        note: why not, or what else there is to know; may be empty.
    """

    champion: str | None
    images: Counts = Counts()
    clusters: Counts = Counts()
    measures: tuple[Measured, ...] = ()
    note: str = ""

    @cached_property
    def warned(self) -> tuple[Measured, ...]:
        """Measures that warn, the largest difference first."""
        found = [one for one in self.measures if one.warns]
        return tuple(sorted(found, key=lambda one: -one.difference.effect))

    def warnings(self) -> list[str]:
        """A line for each."""
        return [one.sentence() for one in self.warned]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "champion": self.champion,
            "images": {"reference": self.images.reference, "new": self.images.new},
            "clusters": {"reference": self.clusters.reference, "new": self.clusters.new},
            "note": self.note,
            "warnings": self.warnings(),
            "measures": [one.as_dict() for one in self.measures],
        }
