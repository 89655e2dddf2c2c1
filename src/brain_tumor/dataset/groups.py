"""Groups of things that belong together, from pairs that do."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

Pair = tuple[int, int]


def sharing(keys: Sequence[str]) -> Iterator[Pair]:
    """Yield index pairs that join all items of equal, non-empty key."""
    first: dict[str, int] = {}
    for index, key in enumerate(keys):
        if key and first.setdefault(key, index) != index:
            yield first[key], index


def grouped(names: Sequence[str], pairs: Iterable[Pair]) -> list[str]:
    """Name each item's group (connected component of `pairs`) by the smallest name in it."""
    ends = np.array(list(pairs), dtype=np.intp).reshape(-1, 2)
    shape = (len(names), len(names))
    graph = coo_array((np.ones(len(ends), dtype=bool), (ends[:, 0], ends[:, 1])), shape=shape)
    _, component = connected_components(graph, directed=False)
    smallest: dict[int, str] = {}
    for name, group in sorted(zip(names, component.tolist(), strict=True)):
        smallest.setdefault(group, name)
    return [smallest[group] for group in component.tolist()]


def clusters(manifest: pd.DataFrame, columns: Sequence[str] = ("group", "patient")) -> pd.Series:
    """Name the cluster of each image: all that duplicates or a known patient join.

    Images of one cluster are not independent, however they were split. Indexed by path.
    """
    pairs = [pair for column in columns for pair in sharing(list(manifest[column]))]
    return pd.Series(grouped(list(manifest["path"]), pairs), index=manifest["path"])
