"""Units: sets of images that are never split, each with a stable place in a fixed ranking."""

import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from brain_tumor.dataset.groups import clusters
from brain_tumor.settings import NEGATIVE, POSITIVE, SplitParams


class Unit(NamedTuple):
    """Images that stay together.

    Sorting units by (rank, name) gives the fixed order in which splits are filled. `rank` is in
    [0, 1), `no` and `yes` are numbers of images.
    """

    rank: float
    name: str
    no: int
    yes: int


def unit_names(manifest: pd.DataFrame, params: SplitParams) -> list[str]:
    """The unit of each manifest row, named by the smallest path in it.

    With `group_by: none` each image is a unit; else images that share a duplicate group or a known
    patient, as asked, are joined, also through others.
    """
    columns = {"duplicate": "group", "patient": "patient"}
    return list(clusters(manifest, [columns[kin] for kin in params.kinships]))


def rank_units(manifest: pd.DataFrame, names: Sequence[str], params: SplitParams) -> list[Unit]:
    """Rank the units of `unit_names`, sorted.

    A unit's rank is the largest hash of its members' keys. So it does not depend on other units,
    and a unit that gains members, or merges with another, can only rise: from test towards train,
    never back. A key is the patient if units are patients and it is known, so that the rank of a
    patient does not depend on the number of images; else the digest of the file (with its path
    where every image is its own unit, so that twins fall apart as they do in a random split).
    """
    ranks: dict[str, float] = {}
    keys = _keys(manifest, params)
    for name, key in zip(names, keys, strict=True):
        ranks[name] = max(ranks.get(name, 0.0), uniform_hash(f"{params.seed}:{key}"))
    sizes = Counter(zip(names, manifest["label"], strict=True))
    return sorted(
        Unit(rank, name, sizes[name, NEGATIVE], sizes[name, POSITIVE])
        for name, rank in ranks.items()
    )


def uniform_hash(text: str) -> float:
    """The first 52 bits of SHA-256 of `text` as a number in [0, 1): uniform over texts."""
    return int(hashlib.sha256(text.encode("utf-8")).hexdigest()[:13], 16) / 2.0**52


def _keys(manifest: pd.DataFrame, params: SplitParams) -> list[str]:
    if not params.kinships:
        return [f"{row.sha256} {row.path}" for row in manifest.itertuples()]
    if "patient" not in params.kinships:
        return list(manifest["sha256"])
    patients, digests = manifest["patient"], manifest["sha256"]
    return [patient or digest for patient, digest in zip(patients, digests, strict=True)]
