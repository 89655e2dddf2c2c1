"""What is measured of an image follows what is done to it."""

import numpy as np
import pytest

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_grey, preprocess_image
from brain_tumor.imaging.statistics import ImageStatistics, image_statistics, uprightness
from tests import sections
from tests.imaging.conftest import Simulate
from tests.imaging.drawn_heads import encoded, head

PARAMS = sections.preprocess(normalisation="none", size_px=120)


def statistics_of(picture: np.ndarray) -> ImageStatistics:
    data = encoded(picture)
    done = preprocess_image(data, None, PARAMS)
    return image_statistics(done.image, done.record, len(data), None)


def test_size_and_shape_are_those_of_the_raw_image() -> None:
    statistics = statistics_of(head(200, 100))
    assert statistics.side_px == pytest.approx(np.sqrt(200 * 100))
    assert statistics.aspect == pytest.approx(100 / 200)


def test_head_area_is_that_of_the_raw_image_whatever_the_crop() -> None:
    disc = head(240, 240, radius=60.0)
    share = np.count_nonzero(disc > 20) / disc.size
    assert statistics_of(disc).head_fraction == pytest.approx(share, rel=0.1)
    twice = head(240, 240, radius=85.0)
    assert statistics_of(twice).head_fraction == pytest.approx(2 * share, rel=0.1)


def test_brightness_moves_grey_levels_and_not_what_the_network_sees() -> None:
    picture = head(200, 200)
    dark, bright = statistics_of((picture * 0.5).astype(np.uint8)), statistics_of(picture)
    assert dark.white_level == pytest.approx(bright.white_level / 2, abs=2)
    assert dark.head_mean == pytest.approx(bright.head_mean, abs=0.02)


def test_noise_raises_detail_and_blur_lowers_it() -> None:
    from scipy.ndimage import gaussian_filter

    picture = head(200, 200)
    noise = np.random.default_rng(3).normal(0, 25, picture.shape) * (picture > 0)
    noisy = np.clip(picture + noise, 0, 255).astype(np.uint8)
    blurred = gaussian_filter(picture, 3.0)
    assert (
        statistics_of(blurred).detail < statistics_of(picture).detail < statistics_of(noisy).detail
    )


def test_black_picture_has_finite_statistics() -> None:
    done = preprocess_image(encoded(head(100, 100)), None, PARAMS)
    statistics = image_statistics(np.zeros((120, 120), np.uint8), done.record, 500, None)
    assert np.isfinite(list(statistics.row().values())).all()
    assert statistics.head_fraction == 0
    assert statistics.bytes_per_px == 0.05


TURNS = (lambda image: image[::-1], np.rot90, lambda image: np.rot90(image, 3))


def test_slices_of_the_atlas_stand_upright_and_turned_ones_do_not(atlas: Atlas) -> None:
    for square in atlas.squares:
        assert uprightness(square.astype(np.uint8), atlas) > 0.1
        for turn in TURNS:
            assert uprightness(turn(square).astype(np.uint8), atlas) < -0.1


def test_scale_of_the_grey_levels_does_not_matter(atlas: Atlas) -> None:
    square = atlas.squares[3]
    half = uprightness((square / 2).astype(np.uint8), atlas)
    assert half == pytest.approx(uprightness(square.astype(np.uint8), atlas), abs=0.05)


@pytest.mark.parametrize("level", [0, 90, 255])
def test_an_even_picture_is_neither_upright_nor_turned(atlas: Atlas, level: int) -> None:
    assert uprightness(np.full((75, 75), level, np.uint8), atlas) == 0


@pytest.mark.slow
def test_preprocessed_slices_are_more_upright_than_those_that_came_turned(
    atlas: Atlas, simulate: Simulate
) -> None:
    params = sections.preprocess(size_px=96, refined_slices=1)

    def uprightness_of(image: np.ndarray) -> float:
        return uprightness(preprocess_grey(image, atlas, params).image, atlas)

    pictures = [simulate(seed, "axial").image for seed in range(12)]
    upright = np.array([uprightness_of(picture) for picture in pictures])
    for turn in TURNS:
        turned = np.array(
            [uprightness_of(np.ascontiguousarray(turn(picture))) for picture in pictures]
        )
        assert np.median(upright) > np.median(turned) + 0.01
        assert (upright > turned).mean() >= 0.75
