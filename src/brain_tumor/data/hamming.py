"""Pairs of 64-bit hashes that differ in few bits, without comparing all with all.

Cut into b blocks, two hashes that differ in at most r bits agree in b - r blocks or more, since a
bit spoils one block at most (the pigeonhole principle). So hashes are sorted by every choice of
b - r blocks, and only those that agree there are compared: none is missed. Where r is so large that
agreeing blocks tell too little, all are compared with all.
"""

from collections.abc import Iterator
from itertools import combinations
from math import comb

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint64]
Places = NDArray[np.intp]
Pairs = tuple[Places, Places]

_BITS = 64
_AGREEING = 3  # blocks that the hashes of one table agree in
_MOST_TABLES = 100
_FEW = 2000  # hashes that are compared all with all sooner than sorted so often
_BLOCK = 1 << 18  # pairs held at a time


def pairs_within(hashes: Words, max_bits: int, cluster: Places) -> Iterator[Pairs]:
    """Yield pairs of items whose hashes differ in `max_bits` of 64 bits or fewer, in blocks.

    Pairs of one cluster are left out. The caller may join clusters, by writing to `cluster`,
    whenever a block is yielded: items that are known to belong together are not compared any more.

    Args:
        hashes: of the items, (N,).
        max_bits: 0 to 64.
        cluster: number of each item's cluster, 0 or more, (N,).

    Yields:
        Indices of the first and of the second item of each pair, both (pairs,). No pair comes
        twice.
    """
    order = np.argsort(hashes, kind="stable")
    distinct, start, size = np.unique(hashes[order], return_index=True, return_counts=True)
    yield from _of_equal(hashes, hashes, 0, cluster)
    whole = _whole(cluster[order], start)
    before = cluster.copy()
    for a, b in _distinct_within(distinct, max_bits, whole):
        for row, i in _counted(start[a], size[a]):
            for which, j in _counted(start[b[row]], size[b[row]]):
                yield apart(order[i[which]], order[j], cluster)
        if not np.array_equal(cluster, before):
            whole[:], before = _whole(cluster[order], start), cluster.copy()


def apart(i: Places, j: Places, cluster: Places) -> Pairs:
    """Those of the pairs (i, j) that are not of one cluster."""
    differ = cluster[i] != cluster[j]
    return i[differ], j[differ]


def _joined(blocks: list[Pairs], cluster: Places) -> Pairs:
    first, second = (np.concatenate(side) for side in zip(*blocks, strict=True))
    return apart(first, second, cluster)


def _whole(cluster: Places, start: Places) -> Places:
    """The cluster of the items from each start on; one of its own where they are of several."""
    if not len(start):
        return start
    low, high = (each.reduceat(cluster, start) for each in (np.minimum, np.maximum))
    return np.where(low == high, low, -1 - np.arange(len(start)))


def _distinct_within(hashes: Words, max_bits: int, cluster: Places) -> Iterator[Pairs]:
    """The same of hashes of which no two are equal."""
    blocks = max_bits + _AGREEING
    if len(hashes) <= _FEW or comb(blocks, _AGREEING) > _MOST_TABLES:
        yield from _of_equal(np.zeros_like(hashes), hashes, max_bits, cluster)
        return
    masks = _masks(hashes, blocks)
    for chosen in combinations(range(blocks), _AGREEING):
        key = hashes & np.bitwise_or.reduce(masks[list(chosen)])
        for i, j in _of_equal(key, hashes, max_bits, cluster):
            for block in set(range(chosen[-1])) - set(chosen):
                # Of the tables in which the two agree this must be the first.
                is_first = (hashes[i] ^ hashes[j]) & masks[block] != 0
                i, j = i[is_first], j[is_first]
            yield i, j


def _masks(hashes: Words, blocks: int) -> Words:
    """The bits of each block. Those that tell most are dealt out first, so that blocks tell alike.

    Near the border of a picture a bit is the same in nearly all pictures, and tells nothing.
    """
    ones = [np.count_nonzero(hashes & np.uint64(1 << bit)) for bit in range(_BITS)]
    uneven = [abs(2 * count - len(hashes)) for count in ones]
    masks = np.zeros(blocks, dtype=np.uint64)
    for place, bit in enumerate(sorted(range(_BITS), key=uneven.__getitem__)):
        masks[place % blocks] |= np.uint64(1 << bit)
    return masks


def _of_equal(key: Words, hashes: Words, max_bits: int, cluster: Places) -> Iterator[Pairs]:
    """Those with equal keys: each with the next of its key, then with the next but one, and so on.

    Neighbours in the sorted order join most of what belongs together, so they come first.
    """
    order = np.argsort(key, kind="stable")
    ordered = hashes[order]
    run = np.cumsum(np.append(True, np.diff(key[order]) != 0)[: len(key)]) - 1
    last = (np.cumsum(np.bincount(run)) - 1)[run]  # place of the last with the same key
    place = left = np.arange(len(key))
    hits: list[Pairs] = []
    for distance in range(1, len(key)):
        if distance & (distance - 1) == 0:  # leave out the keys of one cluster
            changes = np.append(0, np.cumsum(np.diff(cluster[order]) != 0))
            place = place[changes[last[place]] > changes[place]]
            place = place[np.argsort(place - last[place], kind="stable")]
            left = place - last[place]  # below 0, ascending
        count = int(np.searchsorted(left, -distance, side="right"))
        if not count:
            break
        place, left = place[:count], left[:count]
        hit = place[np.bitwise_count(ordered[place] ^ ordered[place + distance]) <= max_bits]
        hits.append((order[hit], order[hit + distance]))
        if len(hit) * len(hits) > _BLOCK or distance & (distance + 1) == 0:
            yield _joined(hits, cluster)
            hits = []
    if hits:
        yield _joined(hits, cluster)


def _counted(starts: Places, lengths: Places) -> Iterator[Pairs]:
    """The numbers from each start on, as many as its length says, in blocks.

    Yields:
        Index of the start, and the number, both (block,).
    """
    block = (np.cumsum(lengths) - lengths) // _BLOCK
    for rows in np.split(np.arange(len(starts)), np.flatnonzero(np.diff(block)) + 1):
        before = np.cumsum(lengths[rows]) - lengths[rows]
        numbers = np.repeat(starts[rows] - before, lengths[rows])
        yield np.repeat(rows, lengths[rows]), numbers + np.arange(len(numbers))
