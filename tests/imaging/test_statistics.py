"""What is measured of an image follows what is done to it."""

import numpy as np
import pytest

from brain_tumor.imaging.preprocess import preprocess_grey, preprocess_image
from brain_tumor.imaging.statistics import ImageStatistics, image_statistics
from tests import sections
from tests.imaging.drawn_heads import encoded, head
from tests.imaging.whole_heads import PLANES, whole_head

PARAMS = sections.preprocess(normalisation="none", size_px=120)


def statistics_of(picture: np.ndarray) -> ImageStatistics:
    data = encoded(picture)
    done = preprocess_image(data, PARAMS)
    return image_statistics(done.image, done.record, len(data))


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
    done = preprocess_image(encoded(head(100, 100)), PARAMS)
    statistics = image_statistics(np.zeros((120, 120), np.uint8), done.record, 500)
    assert np.isfinite(list(statistics.row().values())).all()
    assert statistics.head_fraction == 0
    assert statistics.bytes_per_px == 0.05


@pytest.mark.parametrize("plane", PLANES)
def test_alignment_is_that_of_the_record(plane: str) -> None:
    done = preprocess_grey(whole_head(1, plane).image, sections.preprocess(size_px=120))
    statistics = image_statistics(done.image, done.record, 500)
    assert statistics.confidence == done.record.confidence > 0
    assert statistics.axial == (plane == "axial")


def test_without_an_alignment_there_is_no_confidence_and_no_plane() -> None:
    statistics = statistics_of(whole_head(1, "axial").image)
    assert (statistics.confidence, statistics.axial) == (0, 0)
