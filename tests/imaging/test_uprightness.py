"""A brain that stands upright fits the atlas better than it does turned."""

import numpy as np
import pytest
from tests import sections
from tests.imaging.conftest import Simulate

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_grey
from brain_tumor.imaging.uprightness import uprightness

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

    def of(image: np.ndarray) -> float:
        return uprightness(preprocess_grey(image, atlas, params).image, atlas)

    pictures = [simulate(seed, "axial").image for seed in range(12)]
    upright = np.array([of(one) for one in pictures])
    for turn in TURNS:
        turned = np.array([of(np.ascontiguousarray(turn(one))) for one in pictures])
        assert np.median(upright) > np.median(turned) + 0.01
        assert (upright > turned).mean() >= 0.75
