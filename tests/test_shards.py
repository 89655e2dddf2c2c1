"""Images on disk: every row as it was written, little changed by new ones, damage named."""

import gc
import pickle
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.shards import (
    INDEX,
    ImageRows,
    RowFile,
    chunks,
    concatenate,
    open_images,
    take,
    write_aside,
    write_images,
)
from tests.damage import DAMAGES, Damage
from tests.stored import contents, spoil
from tests.test_outputs import NAMES

SIDE_PX = 20
PATHS = [f"no/{number}.jpg" for number in range(300)]
IMAGES = np.random.default_rng(0).integers(0, 256, (300, SIDE_PX, SIDE_PX)).astype(np.uint8)


def write(folder: Path, paths: Sequence[str] = PATHS, images: NDArray[np.uint8] = IMAGES) -> Path:
    write_images(folder, zip(paths, images, strict=True))
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not to be changed."""
    return write(tmp_path_factory.mktemp("images"))


KEYS: list[Any] = [
    slice(None),
    slice(5, 200, 7),
    slice(290, 400),
    slice(0, 0),
    np.array([7, 3, 299, 3, 4, 5]),
    np.array([-1, 0]),
    np.arange(300) % 3 == 1,
    np.zeros(0, np.int64),
]


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_images_are_read_as_an_array_would_be(key: Any, folder: Path) -> None:
    images = open_images(folder, PATHS)
    assert (images.shape, images.dtype, images.ndim) == (IMAGES.shape, IMAGES.dtype, IMAGES.ndim)
    np.testing.assert_array_equal(images[key], IMAGES[key])
    np.testing.assert_array_equal(take(images, key), take(IMAGES, key))


def test_images_come_in_the_order_asked(folder: Path) -> None:
    images = open_images(folder, PATHS[::-1])
    np.testing.assert_array_equal(images[:], IMAGES[::-1])
    np.testing.assert_array_equal(images[4], IMAGES[-5])
    np.testing.assert_array_equal(np.concatenate(list(chunks(images))), IMAGES[::-1])


def test_nothing_asked_is_nothing(folder: Path, tmp_path: Path) -> None:
    assert open_images(folder, []).shape == (0, 0, 0)
    write_images(tmp_path / "empty", [])
    assert contents(tmp_path / "empty") == {}


def test_parts_on_disk_and_in_memory_are_read_as_one(folder: Path) -> None:
    parts: list[ImageRows] = [open_images(folder, PATHS[:10]), IMAGES[:0], IMAGES[50:60]]
    joined = concatenate([concatenate(parts), open_images(folder, PATHS[7:9])])
    expected = IMAGES[[*range(10), *range(50, 60), 7, 8]]
    np.testing.assert_array_equal(joined[:], expected)
    np.testing.assert_array_equal(joined.take([3, 15, 21])[:], expected[[3, 15, 21]])
    with pytest.raises(ValueError, match="of one size"):
        concatenate([IMAGES, np.zeros((1, 5, 5), np.uint8)])


def test_another_process_gets_the_same_images(folder: Path) -> None:
    images = open_images(folder, PATHS).take([5, 9])
    sent = pickle.dumps(images)
    assert len(sent) < 20_000
    np.testing.assert_array_equal(pickle.loads(sent)[:], IMAGES[[5, 9]])


def test_new_images_leave_nearly_all_files_as_they_are(folder: Path, tmp_path: Path) -> None:
    before = {file.name: file.read_bytes() for file in folder.glob("*.npy")}
    assert 3 <= len(before) <= 10
    other = np.full((SIDE_PX, SIDE_PX), 7, np.uint8)
    for new in ("a.jpg", "no/1000.jpg", "no/150b.jpg", "yes/z.jpg"):
        named = dict(zip(PATHS, IMAGES, strict=True)) | {new: other}
        write_images(tmp_path / "grown", sorted(named.items()))
        write_images(tmp_path / "sorted", sorted(zip(PATHS, IMAGES, strict=True)))
        grown, sorted_before = (
            {file.name: file.read_bytes() for file in (tmp_path / name).glob("*.npy")}
            for name in ("grown", "sorted")
        )
        changed = [name for name in grown if sorted_before.get(name) != grown[name]]
        assert 1 <= len(changed) <= 2, new
        assert contents(tmp_path / "grown")[new] == other.tobytes()
        for name in ("grown", "sorted"):
            for file in (tmp_path / name).iterdir():
                file.unlink()


def test_the_same_images_give_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    write(tmp_path / "again")
    for file in folder.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()


def test_images_of_any_name_are_stored(tmp_path: Path) -> None:
    images = np.arange(len(NAMES) * 4, dtype=np.uint8).reshape(-1, 2, 2)
    write(tmp_path / "odd", NAMES, images)
    np.testing.assert_array_equal(open_images(tmp_path / "odd", NAMES)[:], images)


@pytest.mark.parametrize(
    "odd",
    [np.zeros((21, 21), np.uint8), np.zeros((20, 30), np.uint8), np.zeros((20, 20), np.float32)],
    ids=["larger", "oblong", "float"],
)
def test_images_unlike_the_first_are_refused(odd: NDArray[np.uint8], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no/odd\.png: "):
        write_images(tmp_path, [("no/1.png", IMAGES[0]), ("no/odd.png", odd)])
    with pytest.raises(ValueError, match=r"no/odd\.png: "):
        write_images(tmp_path, [("no/odd.png", np.zeros((20, 30), np.uint8))])


def test_an_image_that_is_missing_is_named(folder: Path) -> None:
    with pytest.raises(UserError, match=r"index\.csv: has no image no/x\.png; run `dvc repro`"):
        open_images(folder, [*PATHS, "no/x.png"])


def test_a_damaged_image_is_named_when_it_is_read_and_no_other(tmp_path: Path) -> None:
    write(tmp_path)
    spoil(tmp_path, [PATHS[17]])
    images = open_images(tmp_path, PATHS)
    np.testing.assert_array_equal(images[18:], IMAGES[18:])
    with pytest.raises(UserError, match=r"\.npy: damaged, .*; run `dvc repro`"):
        images[17]


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("which", ["shard", "index"])
def test_a_damaged_file_is_named_in_a_line_with_what_to_do(
    which: str, damage: Damage, tmp_path: Path
) -> None:
    write(tmp_path)
    file = tmp_path / INDEX if which == "index" else min(tmp_path.glob("*.npy"))
    damage(file)
    with pytest.raises(UserError, match=rf"{file.stem}.*`dvc (repro|pull)[ `]") as caught:
        open_images(tmp_path, PATHS)[:]
    assert "\n" not in str(caught.value)


def test_images_written_aside_go_when_nobody_uses_them(tmp_path: Path) -> None:
    images = write_aside(tmp_path / "aside", zip(PATHS, IMAGES, strict=True), PATHS[::-1])
    some = images.take([0, 5])
    del images
    gc.collect()
    np.testing.assert_array_equal(some[:], IMAGES[[-1, -6]])
    assert len(list(tmp_path.iterdir())) == 1
    del some
    gc.collect()
    assert list(tmp_path.iterdir()) == []


def test_rows_of_any_array_are_read_from_its_file(tmp_path: Path) -> None:
    array = np.random.default_rng(0).normal(size=(50, 3, 4)).astype(np.float32)
    np.save(tmp_path / "a.npy", array)
    rows = RowFile(tmp_path / "a.npy")
    assert (rows.shape, rows.dtype, len(rows)) == (array.shape, array.dtype, 50)
    for key in (
        slice(0, 0),
        np.zeros(0, np.int64),
        array[:, 0, 0] > 99,
        slice(3, 9),
        np.array([4, 4, 2, 49]),
        array[:, 0, 0] > 0,
        7,
    ):
        np.testing.assert_array_equal(rows[key], array[key])
    np.testing.assert_array_equal(np.asarray(rows), array)
    with pytest.raises(IndexError):
        rows[np.array([50])]
