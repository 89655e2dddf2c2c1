"""The figures of an external evaluation: of each class by itself, never of both together."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.model.metrics import Rate, cluster_rate, rate
from brain_tumor.settings import LABELS, NEGATIVE, POSITIVE

NAMES: Final = {POSITIVE: "sensitivity", NEGATIVE: "specificity"}
QUANTILES: Final = (0.0, 0.1, 0.25, 0.5, 0.75, 0.9, 1.0)
SIZES_PX: Final = (0, 128, 256, 512, 1024)  # edges of the shorter side
_BIN_COUNT = 10


@dataclass(frozen=True)
class ClassFigures:
    """What the slices of one class came to; None where there are none.

    Attributes:
        label: no or yes.
        right: share of slices called what they are: sensitivity or specificity.
        right_clusters: the same, every cluster weighing as much as every other.
        right_familiar: the same of slices that are like the training images only.
        baseline: as `right`, by file metadata alone; None also where there were too few.
        unlike: share flagged as unlike the training images.
        quantiles: of the probability of a tumour, at `QUANTILES`.
        histogram: slices in each tenth of the probability.
    """

    label: str
    right: Rate | None
    right_clusters: Rate | None
    right_familiar: Rate | None
    baseline: Rate | None
    unlike: Rate | None
    quantiles: tuple[float, ...]
    histogram: tuple[int, ...]

    @property
    def name(self) -> str:
        """Sensitivity or specificity."""
        return NAMES[self.label]

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            name: None if value is None else value.as_dict()
            for name, value in (
                (self.name, self.right),
                (f"{self.name}_per_cluster", self.right_clusters),
                (f"{self.name}_not_flagged", self.right_familiar),
                (f"{self.name}_metadata_baseline", self.baseline),
                ("out_of_distribution", self.unlike),
            )
        } | {
            "probability_quantiles": dict(zip(map(str, QUANTILES), self.quantiles, strict=False)),
            "probability_histogram": list(self.histogram),
        }


@dataclass(frozen=True)
class Subgroup:
    """Slices of one class and one kind.

    Attributes:
        by: what divides them: format or size.
        kind: such as PNG, or 256 to 511 px.
        label: no or yes.
        right: share called what they are.
    """

    by: str
    kind: str
    label: str
    right: Rate


def class_figures(
    table: pd.DataFrame, label: str, baseline: NDArray[np.float64] | None
) -> ClassFigures:
    """Figures of one class.

    Args:
        table: see `predictions.Predictions`, with rows of any class.
        label: no or yes.
        baseline: probability of each row of `table` by metadata alone.
    """
    mine = (table["label"] == label).to_numpy()
    rows = table[mine]
    cluster, right = rows["cluster"].to_numpy(), rows["right"].to_numpy(dtype=bool)
    unlike = rows["out_of_distribution"].to_numpy(dtype=bool)
    probability = rows["probability"].to_numpy(dtype=float)
    told = None if baseline is None else (baseline[mine] >= 0.5) == (label == POSITIVE)
    return ClassFigures(
        label=label,
        right=rate(right, cluster),
        right_clusters=cluster_rate(right, cluster),
        right_familiar=rate(right[~unlike], cluster[~unlike]),
        baseline=None if told is None else rate(told, cluster),
        unlike=rate(unlike, cluster),
        quantiles=tuple(np.quantile(probability, QUANTILES).tolist()) if len(rows) else (),
        histogram=tuple(np.histogram(probability, _BIN_COUNT, (0, 1))[0].tolist()),
    )


def subgroups(table: pd.DataFrame) -> list[Subgroup]:
    """Figures by format and by the shorter side, of each class, where there are slices."""
    if table.empty:
        return []
    side = table[["width", "height"]].min(axis=1)
    edges = [*SIZES_PX, np.inf]
    names = [f"{low} to {high - 1:g} px" for low, high in pairwise(edges)]
    names[0], names[-1] = f"below {SIZES_PX[1]} px", f"from {SIZES_PX[-1]} px"
    sizes = pd.Series(pd.cut(side, edges, right=False, labels=names), index=table.index)
    formats = [(kind, table["format"] == kind) for kind in sorted(set(table["format"]))]
    parts = [("format", kind, chosen) for kind, chosen in formats]
    parts += [("shorter side", kind, sizes == kind) for kind in names]
    return [
        Subgroup(by, kind, label, found)
        for by, kind, chosen in parts
        for label in reversed(LABELS)
        if (found := _right(table[chosen & (table["label"] == label)])) is not None
    ]


def confident_errors(table: pd.DataFrame, label: str, count: int) -> pd.DataFrame:
    """The rows of a class that are wrong, the furthest from the threshold first."""
    wrong = table[(table["label"] == label) & ~table["right"].astype(bool)]
    return wrong.sort_values("probability", ascending=label == POSITIVE, kind="stable").head(count)


def contradictions(table: pd.DataFrame) -> list[str]:
    """Paths of which the other class folder holds a copy, or a slice of the same patient."""
    labels = table.groupby("cluster")["label"].transform("nunique")
    return sorted(set(table.loc[labels > 1, "path"]))


def _right(rows: pd.DataFrame) -> Rate | None:
    return rate(rows["right"].to_numpy(dtype=bool), rows["cluster"].to_numpy())
