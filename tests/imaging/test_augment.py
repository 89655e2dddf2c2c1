from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from brain_tumor.imaging.augment import (
    augment_image,
    augment_sheet,
    augmented,
    copy_names,
    random_generator,
)
from brain_tumor.settings import AugmentParams
from brain_tumor.shards import open_images, write_images
from tests import sections
from tests.stored import contents

OFF = sections.augment(
    crop_fraction=0.0,
    horizontal_flip_probability=0.0,
    vertical_flip_probability=0.0,
    rotation_deg=0.0,
    brightness=0.0,
    contrast=0.0,
    gamma=0.0,
    blur_sigma_px=0.0,
    noise_sigma=0.0,
)
PATHS = [f"yes/Y{number}.jpg" for number in range(9)]


def image(seed: int = 0) -> np.ndarray:
    y, x = np.mgrid[:75, :75] - 37.0
    texture = np.random.default_rng(seed).uniform(60, 200, (75, 75))
    picture: np.ndarray = np.where(x**2 / 600 + y**2 / 1000 < 1, texture, 0).astype(np.uint8)
    return picture


def variant(params: AugmentParams, copy: int = 0) -> np.ndarray:
    return augment_image(image(), random_generator(0, PATHS[0], copy), params)


def with_(**values: float) -> AugmentParams:
    return OFF.model_copy(update=values)


def test_everything_off_is_the_identity() -> None:
    np.testing.assert_array_equal(variant(OFF), image())


@pytest.mark.parametrize(
    "change",
    [
        {"crop_fraction": 0.3},
        {"rotation_deg": 20.0},
        {"brightness": 0.3},
        {"contrast": 0.5},
        {"gamma": 0.7},
        {"blur_sigma_px": 3.0},
        {"noise_sigma": 0.2},
    ],
)
def test_each_change_alone_does_something(change: dict[str, float]) -> None:
    assert not np.array_equal(variant(with_(**change)), image())


def test_certain_flips_are_exact_mirrors() -> None:
    sideways = variant(with_(horizontal_flip_probability=1.0))
    np.testing.assert_array_equal(sideways, image()[:, ::-1])
    np.testing.assert_array_equal(variant(with_(vertical_flip_probability=1.0)), image()[::-1])


def test_flips_happen_as_often_as_asked() -> None:
    params = with_(horizontal_flip_probability=0.3)
    flipped = [not np.array_equal(variant(params, copy), image()) for copy in range(200)]
    assert 0.2 < np.mean(flipped) < 0.4


def test_a_crop_magnifies_and_rotation_keeps_the_size() -> None:
    cropped = variant(with_(crop_fraction=0.5))
    assert np.count_nonzero(cropped) > 1.05 * np.count_nonzero(image())
    turned = variant(with_(rotation_deg=45.0))
    assert np.count_nonzero(turned) == pytest.approx(np.count_nonzero(image()), rel=0.05)


def test_intensity_changes_leave_the_padding_black() -> None:
    bright = variant(with_(brightness=0.3, contrast=0.5, gamma=0.7))
    np.testing.assert_array_equal(bright == 0, image() == 0)


def test_no_change_of_the_default_ones_reaches_the_padding() -> None:
    moved_only = {"crop_fraction": 0.0, "rotation_deg": 0.0, "horizontal_flip_probability": 0.0}
    varied = variant(sections.augment().model_copy(update=moved_only))
    assert not varied[image() == 0].any()
    assert (varied != image()).mean() > 0.2


def test_switching_one_change_off_leaves_the_others_as_they_were() -> None:
    both = with_(horizontal_flip_probability=0.5, brightness=0.2)
    for copy in range(8):
        flipped = np.argmax(variant(with_(horizontal_flip_probability=0.5), copy) > 0)
        assert np.argmax(variant(both, copy) > 0) == flipped


def test_copies_and_seeds_and_images_differ() -> None:
    draws = [
        random_generator(*key).random()
        for key in ((0, "a", 0), (0, "a", 1), (1, "a", 0), (0, "b", 0))
    ]
    assert len(set(draws)) == 4
    assert random_generator(0, "a", 0).random() == draws[0]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    write_images(tmp_path / "images", [(path, image(seed)) for seed, path in enumerate(PATHS)])
    return tmp_path / "images"


def augment(images: Path, paths: Sequence[str], folder: Path, params: AugmentParams) -> None:
    write_images(folder, augmented(open_images(images, paths), paths, params))


def test_workers_order_and_company_change_nothing(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = sections.augment(copies=3)
    for workers, paths in (("1", PATHS), ("2", PATHS[::-1]), ("1", PATHS[4:5])):
        monkeypatch.setenv("BRAIN_TUMOR_WORKERS", workers)
        augment(images, paths, tmp_path / f"{workers}-{len(paths)}", params)
    one_worker, two_workers, alone = (contents(tmp_path / name) for name in ("1-9", "2-9", "1-1"))
    assert len(one_worker) == 27
    assert one_worker == two_workers
    assert alone.items() <= one_worker.items()
    assert set(alone) == {f"{PATHS[4]}--{number:02d}" for number in range(3)}


def test_copies_load_by_their_names_and_the_sheet_repeats(images: Path, tmp_path: Path) -> None:
    params = sections.augment(copies=2)
    augment(images, PATHS[:3], tmp_path / "augmented", params)
    names = copy_names(PATHS[0], params)
    assert open_images(tmp_path / "augmented", names).shape == (2, 75, 75)
    for name in ("a.png", "b.png"):
        augment_sheet(images, PATHS[:3], tmp_path / "augmented", params, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_no_copies_leaves_an_empty_folder(images: Path, tmp_path: Path) -> None:
    augment(images, PATHS, tmp_path / "augmented", sections.augment(copies=0))
    assert contents(tmp_path / "augmented") == {}
