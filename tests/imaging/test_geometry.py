import numpy as np
import pytest

from brain_tumor.imaging.geometry import (
    compose,
    invert,
    magnification,
    resized,
    similarity,
    transform,
    warp,
)

MAP = similarity(1.7, 0.3, (4.0, -9.0))


def test_inverse_undoes_a_map() -> None:
    points = np.array([[0.0, 0.0], [10.0, -3.0], [2.5, 80.0]])
    np.testing.assert_allclose(transform(compose(invert(MAP), MAP), points), points, atol=1e-12)


def test_composition_applies_the_inner_map_first() -> None:
    first, points = similarity(0.5, -1.0, (1.0, 2.0)), np.array([[3.0, 4.0]])
    twice = transform(MAP, transform(first, points))
    np.testing.assert_allclose(transform(compose(MAP, first), points), twice, atol=1e-12)


def test_magnification_is_the_scale_of_a_similarity() -> None:
    assert magnification(MAP) == pytest.approx(1.7)


def test_identity_warp_is_exact() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 20)).astype(np.uint8)
    np.testing.assert_array_equal(warp(image, similarity(1.0, 0.0, (0.0, 0.0)), 20), image)


@pytest.mark.parametrize("order", [0, 1])
def test_a_point_lands_where_the_map_says(order: int) -> None:
    image = np.zeros((60, 80))
    image[20:23, 50:53] = 1.0  # centre x = 51, y = 21
    matrix = similarity(0.8, 0.4, (30.0, -5.0))
    warped = warp(image, matrix, 100, order)
    y, x = np.argwhere(warped > 0.5).mean(axis=0)
    np.testing.assert_allclose(
        (x, y), transform(invert(matrix), np.array([[51.0, 21.0]]))[0], atol=0.6
    )


def test_outside_the_picture_is_black() -> None:
    warped = warp(np.full((10, 10), 200, np.uint8), similarity(1.0, 0.0, (-20.0, 0.0)), 30)
    assert warped[:, :19].max() == 0.0


def test_shrinking_averages_instead_of_picking() -> None:
    checkers = np.indices((100, 100)).sum(axis=0) % 2 * 255.0
    middle = warp(checkers, similarity(5.0, 0.0, (2.0, 2.0)), 20)[2:-2, 2:-2]
    np.testing.assert_allclose(middle, 127.5, atol=3.0)


def test_masks_stay_masks() -> None:
    warped = warp(np.eye(9, dtype=bool), MAP, 12, order=0)
    assert warped.dtype == bool


def test_resizing_keeps_edges_and_means() -> None:
    ramp = np.tile(np.linspace(0, 1, 100), (100, 1))
    large = resized(ramp, 299)
    assert large.shape == (299, 299)
    assert large.mean() == pytest.approx(0.5, abs=1e-6)
    np.testing.assert_allclose(large[0], large[-1], atol=1e-12)
