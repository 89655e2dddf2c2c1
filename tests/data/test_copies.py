import hashlib
import itertools

import numpy as np
import numpy.typing as npt
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


def test_more_images_than_one_chunk_are_compared() -> None:
    thumbnails: npt.NDArray[np.uint8] = np.random.default_rng(0).integers(
        0, 256, size=(1200, 32, 32), dtype=np.uint8
    )
    thumbnails[1199] = thumbnails[3]
    names = [f"{index:04d}" for index in range(1200)]
    assert list(near_duplicates([0] * 1200, thumbnails, 6, 0.97)) == [(3, 1199)]
    groups = duplicate_groups(names, names, [0] * 1200, thumbnails, 6, 0.97)
    assert [name for name, group in zip(names, groups, strict=True) if name != group] == ["1199"]
    assert groups[1199] == "0003"


@given(st.lists(st.integers(0, 6), max_size=12))
def test_components_are_named_by_their_smallest_member(keys: list[int]) -> None:
    names = [f"{index:02d}" for index in range(len(keys))]
    groups = grouped(names, sharing([str(key) for key in keys]))
    assert groups == [names[keys.index(key)] for key in keys]


def test_empty_keys_join_nothing_and_nothing_has_no_groups() -> None:
    assert grouped(["b", "a"], sharing(["", ""])) == ["b", "a"]
    assert grouped([], []) == []
