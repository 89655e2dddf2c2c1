import hashlib
import itertools
import time
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brain_tumor.data.copies import (
    difference_hash,
    duplicate_groups,
    grouped,
    near_duplicates,
    sharing,
    thumbnail,
)
from tests.data.pictures import smooth

Thumbnails = npt.NDArray[np.uint8]


def groups_of(pictures: dict[str, Image.Image]) -> dict[str, str]:
    thumbnails = np.array([thumbnail(picture) for picture in pictures.values()])
    names = duplicate_groups(
        list(pictures),
        [hashlib.sha256(picture.tobytes()).hexdigest() for picture in pictures.values()],
        [difference_hash(picture) for picture in pictures.values()],
        thumbnails,
        max_hamming=6,
        min_correlation=0.97,
    )
    return dict(zip(pictures, names, strict=True))


def test_hash_bits_say_where_brightness_rises_to_the_right() -> None:
    rising = np.tile(np.arange(9, dtype=np.uint8) * 20, (8, 1))
    assert difference_hash(Image.fromarray(rising)) == 2**64 - 1
    assert difference_hash(Image.fromarray(rising[:, ::-1].copy())) == 0
    top_row_only = np.where(np.arange(8)[:, None] == 0, rising, 0).astype(np.uint8)
    assert difference_hash(Image.fromarray(top_row_only)) == 0xFF << 56


def test_a_resized_and_brightened_copy_is_a_near_duplicate_and_another_picture_is_not() -> None:
    copy = smooth(1).resize((90, 90)).point(lambda value: value * 0.8 + 20)
    groups = groups_of({"a": smooth(1), "b": smooth(2), "c": copy})
    assert groups == {"a": "a", "b": "b", "c": "a"}


def test_same_hash_with_low_correlation_is_no_duplicate() -> None:
    ramp = np.tile(np.linspace(0, 255, 128).astype(np.uint8), (128, 1))
    step = np.clip(ramp.astype(int) // 200 * 200 + ramp // 20, 0, 255).astype(np.uint8)
    pair = {"ramp": Image.fromarray(ramp), "step": Image.fromarray(step)}
    assert difference_hash(pair["ramp"]) == difference_hash(pair["step"])
    assert len(set(groups_of(pair).values())) == 2


def test_high_correlation_with_another_hash_is_no_duplicate() -> None:
    thumbnails = np.array([thumbnail(smooth(1))] * 2)
    for apart_bits, pairs in ((6, [(0, 1)]), (7, [])):
        hashes = [0, 2**apart_bits - 1]
        assert list(near_duplicates(hashes, thumbnails, 6, 0.97)) == pairs


def test_blank_pictures_of_different_brightness_are_no_duplicates_but_identical_ones_are() -> None:
    blank = {str(value): Image.new("L", (64, 64), value) for value in (0, 9)}
    groups = groups_of({**blank, "copy": Image.new("L", (64, 64), 9)})
    assert groups == {"0": "0", "9": "9", "copy": "9"}


def test_groups_do_not_depend_on_the_order_of_images() -> None:
    pictures = {str(seed): smooth(seed % 3, 64 + 8 * seed) for seed in range(6)}
    expected = groups_of(pictures)
    assert len(set(expected.values())) == 3
    for order in itertools.islice(itertools.permutations(pictures), 0, None, 97):
        assert groups_of({name: pictures[name] for name in order}) == expected


def test_a_copy_is_found_among_many_pictures_of_the_same_hash() -> None:
    thumbnails: Thumbnails = np.random.default_rng(0).integers(
        0, 256, size=(1200, 32, 32), dtype=np.uint8
    )
    thumbnails[1199] = thumbnails[3]
    names = [f"{index:04d}" for index in range(1200)]
    assert list(near_duplicates([0] * 1200, thumbnails, 6, 0.97)) == [(3, 1199)]
    groups = duplicate_groups(names, names, [0] * 1200, thumbnails, 6, 0.97)
    assert [name for name, group in zip(names, groups, strict=True) if name != group] == ["1199"]
    assert groups[1199] == "0003"


def by_definition(
    dhash: Sequence[int], thumbnails: Thumbnails, max_hamming: int, min_correlation: float
) -> list[tuple[int, int]]:
    """Every pair compared with every other, the correlation as NumPy has it."""
    hashes = np.array(dhash, dtype=np.uint64)
    flat = thumbnails.reshape(len(hashes), 32 * 32).astype(np.float64)
    centred = flat - flat.mean(axis=1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    profiles = centred / np.where(length > 0, length, 1.0)
    near = np.bitwise_count(hashes[:, None] ^ hashes) <= max_hamming
    near &= profiles @ profiles.T > min_correlation
    return [(int(i), int(j)) for i, j in np.argwhere(near) if i < j]


def gallery(count: int, seed: int) -> tuple[list[int], Thumbnails]:
    """Pictures and changed copies of them: brighter, shifted, noisy, identical; some blank."""
    rng = np.random.default_rng(seed)
    bases = [np.asarray(smooth(number, 64)) for number in range(max(1, count // 4))]
    pictures = []
    for number in range(count):
        grey = bases[rng.integers(len(bases))].astype(np.float64)
        change = rng.integers(5)
        grey = np.roll(grey, rng.integers(0, 4), axis=1) if change == 1 else grey
        grey = grey * rng.uniform(0.5, 1) + rng.uniform(0, 40) if change == 2 else grey
        grey = grey + rng.normal(0, rng.uniform(0, 40), grey.shape) if change == 3 else grey
        grey = np.full_like(grey, number) if change == 4 and number % 7 == 0 else grey
        pictures.append(Image.fromarray(np.clip(grey, 0, 255).astype(np.uint8)))
    thumbnails = np.array([thumbnail(picture) for picture in pictures], dtype=np.uint8)
    return [difference_hash(picture) for picture in pictures], thumbnails.reshape(-1, 32, 32)


@pytest.mark.parametrize("min_correlation", [0.0, 0.9, 0.97, 0.999, 1.0])
@pytest.mark.parametrize("max_hamming", [0, 3, 6, 20, 64])
def test_groups_are_those_of_comparing_every_pair(max_hamming: int, min_correlation: float) -> None:
    for seed, count in enumerate((0, 1, 2, 120)):
        hashes, thumbnails = gallery(count, seed)
        names = [f"{index:03d}" for index in range(count)]
        # (a correlation of 1 is never above 1, but NumPy's may be, by its last digit)
        expected = by_definition(hashes, thumbnails, max_hamming, min(min_correlation, 1 - 1e-12))
        pairs = list(near_duplicates(hashes, thumbnails, max_hamming, min_correlation))
        if min_correlation < 1:
            assert grouped(names, pairs) == grouped(names, expected)
            assert set(pairs) <= set(expected)
        else:
            assert pairs == []


def test_the_copies_planted_among_thousands_of_pictures_are_found_and_no_others() -> None:
    rng = np.random.default_rng(1)
    thumbnails = rng.integers(0, 256, (5000, 32, 32), dtype=np.uint8)
    hashes = rng.integers(0, 2**64, 5000, dtype=np.uint64) & np.uint64(0x00FFFF7E7EFFFF00)
    for bits, rows in ((6, range(300)), (7, range(300, 600))):
        for row in rows:  # each a brighter copy of the picture 1000 behind it
            flipped = rng.choice(64, bits, replace=False).astype(np.uint64)
            hashes[row] = hashes[row + 1000] ^ np.bitwise_or.reduce(np.uint64(1) << flipped)
            thumbnails[row] = thumbnails[row + 1000] // 2 + 60
    pairs = set(near_duplicates(hashes.tolist(), thumbnails, 6, 0.97))
    assert pairs == {(row, row + 1000) for row in range(300)}


def test_copies_by_the_thousands_cost_next_to_nothing() -> None:
    """Of 20,000 there are 200 million pairs: identical ones, and ones that differ by noise."""
    rng = np.random.default_rng(0)
    picture = thumbnail(smooth(1))
    noise = rng.integers(0, 3, (10_000, 32, 32), dtype=np.uint8)
    thumbnails = np.concatenate(
        [np.repeat(picture[None] // 2, 10_000, axis=0), picture // 2 + noise]
    )
    hashes = np.full(20_000, difference_hash(smooth(1)), dtype=np.uint64)
    hashes[10_000:] ^= np.uint64(1) << rng.integers(0, 64, 10_000).astype(np.uint64)
    start = time.process_time()
    pairs = list(near_duplicates(hashes.tolist(), thumbnails, 6, 0.97))
    assert time.process_time() - start < 5
    assert len(pairs) == 19_999  # a tree
    assert set(grouped([f"{index:05d}" for index in range(20_000)], pairs)) == {"00000"}


@given(st.lists(st.integers(0, 6), max_size=12))
def test_components_are_named_by_their_smallest_member(keys: list[int]) -> None:
    names = [f"{index:02d}" for index in range(len(keys))]
    groups = grouped(names, sharing([str(key) for key in keys]))
    assert groups == [names[keys.index(key)] for key in keys]


def test_empty_keys_join_nothing_and_nothing_has_no_groups() -> None:
    assert grouped(["b", "a"], sharing(["", ""])) == ["b", "a"]
    assert grouped([], []) == []
