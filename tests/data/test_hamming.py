import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_tumor.data import hamming
from brain_tumor.data.hamming import pairs_within

Words = NDArray[np.uint64]


def by_definition(hashes: Words, max_bits: int) -> set[tuple[int, int]]:
    bits = np.bitwise_count(hashes[:, None] ^ hashes[None, :])
    return {(int(i), int(j)) for i, j in np.argwhere(bits <= max_bits) if i < j}


def found(hashes: Words, max_bits: int) -> list[tuple[int, int]]:
    cluster = np.arange(len(hashes))
    pairs = [np.stack(block).T.tolist() for block in pairs_within(hashes, max_bits, cluster)]
    return [(min(pair), max(pair)) for block in pairs for pair in block]


def skewed(count: int, seed: int, centres: int = 40, flips: int = 5) -> Words:
    """Hashes as pictures have them: some bits always the same, many hashes near one another."""
    rng = np.random.default_rng(seed)
    of_picture = rng.integers(0, 2**64, centres, dtype=np.uint64) & np.uint64(0x00FFFF7E7EFFFF00)
    hashes = of_picture[rng.integers(0, centres, count)]
    for _ in range(flips):
        hashes ^= np.uint64(1) << rng.integers(0, 64, count).astype(np.uint64)
    return hashes


@pytest.fixture(name="tables")
def _tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """Few hashes go through the tables, too, and in several blocks."""
    monkeypatch.setattr(hamming, "_FEW", 1)
    monkeypatch.setattr(hamming, "_BLOCK", 50)


@pytest.mark.usefixtures("tables")
@pytest.mark.parametrize("max_bits", [0, 1, 3, 5, 6, 7, 12, 63, 64])
def test_the_pairs_are_those_of_the_definition_and_each_comes_once(max_bits: int) -> None:
    for seed, count in enumerate((0, 1, 2, 3, 150)):
        hashes = skewed(count, seed)
        pairs = found(hashes, max_bits)
        assert len(pairs) == len(set(pairs))
        assert set(pairs) == by_definition(hashes, max_bits)


@settings(max_examples=60)
@given(
    st.lists(st.integers(0, 2**64 - 1), max_size=12),
    st.lists(st.tuples(st.integers(0, 11), st.sets(st.integers(0, 63), max_size=8)), max_size=12),
    st.integers(0, 7),
)
def test_no_pair_is_missed_wherever_its_bits_differ(
    base: list[int], edits: list[tuple[int, set[int]]], max_bits: int
) -> None:
    edited = [base[of % len(base)] ^ sum(1 << bit for bit in bits) for of, bits in edits if base]
    hashes = np.array([*base, *edited], dtype=np.uint64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(hamming, "_FEW", 1)
        assert set(found(hashes, max_bits)) == by_definition(hashes, max_bits)


def test_of_many_hashes_each_planted_neighbour_is_found_and_none_that_is_a_bit_too_far() -> None:
    rng = np.random.default_rng(5)
    hashes = skewed(5000, 5, centres=2000, flips=12)
    near, far = hashes[:300].copy(), hashes[300:600].copy()
    for row in range(300):
        for planted, bits in ((near, 6), (far, 7)):
            flipped = rng.choice(64, bits, replace=False).astype(np.uint64)
            planted[row] ^= np.bitwise_or.reduce(np.uint64(1) << flipped)
    pairs = set(found(np.concatenate([hashes, near, far]), 6))
    assert {(row, 5000 + row) for row in range(300)} <= pairs
    assert not {(300 + row, 5300 + row) for row in range(300)} & pairs
    assert pairs == by_definition(np.concatenate([hashes, near, far]), 6)


def test_what_the_caller_joins_is_not_compared_any_more() -> None:
    """20,000 hashes within 6 bits of one another are 2 x 10^8 pairs."""
    rng = np.random.default_rng(0)
    flipped = rng.integers(0, 64, (20_000, 3)).astype(np.uint64)
    hashes = np.bitwise_or.reduce(np.uint64(1) << flipped, axis=1)
    cluster, pairs = np.arange(len(hashes)), 0
    for i, _ in pairs_within(hashes, 6, cluster):
        pairs += len(i)
        cluster[:] = 0
    assert pairs < 100_000
