"""What stage preprocess did to a data set, in numbers."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from brain_tumor.imaging.record import Record


def summarise(labels: Sequence[str], records: Sequence[Record]) -> dict[str, Any]:
    """Count fallbacks, planes and slices by class, and medians of the fit.

    Args:
        labels: class of each image.
        records: of each image, in the same order.

    Returns:
        For each class and for `all`: images, fallback (count, fraction, and counts of the bounds
        broken), planes and slices (counts; of trusted registrations), medians of information and
        overlap.
    """
    pairs = list(zip(labels, records, strict=True))
    groups = {"all": list(records)}
    for label in sorted(set(labels)):
        groups[label] = [record for own, record in pairs if own == label]
    return {name: _group(members) for name, members in groups.items()}


def _group(records: Sequence[Record]) -> dict[str, Any]:
    trusted = [record for record in records if record.slice and not record.fallback]
    broken = [record.fallback for record in records if record.fallback]
    return {
        "images": len(records),
        "fallback": {
            "count": len(broken),
            "fraction": round(len(broken) / max(len(records), 1), 4),
            "reasons": _counts([reason.split()[0] for reason in broken]),
        },
        "planes": _counts([record.plane for record in trusted]),
        "slices": _counts([record.slice for record in trusted]),
        "information_median": _median([record.information for record in records]),
        "overlap_median": _median([record.overlap for record in records]),
    }


def _counts(names: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _median(values: Sequence[float]) -> float:
    return round(median(values), 4) if values else 0.0
