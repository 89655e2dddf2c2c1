"""Phantoms that differ by their tumour alone; masks on places and pixels; scanner text."""

import numpy as np
import pytest

from evidence.phantoms import Maker, in_view, outline, pairs, share, spread_out, with_text
from tests import sections
from tests.evidence.toys import SHAPE, SIZE_PX, STRIDE_PX, rectangle

PREPROCESS = sections.preprocess(size_px=75, normalisation="none")
MAKER = Maker(sections.phantom(), PREPROCESS)
SQUARE = rectangle(slice(16, 32), slice(24, 40))


def test_pairs_differ_where_the_warped_mask_says_and_come_again() -> None:
    phantoms = MAKER.make(3, pairs(3), "phantoms")
    assert [phantom.case.plane for phantom in phantoms[::2]] == ["axial", "coronal", "sagittal"]
    for healthy, ill in zip(phantoms[::2], phantoms[1::2], strict=True):
        assert not healthy.tumour.any()
        assert (ill.tumour <= ill.head).mean() > 0.99
        changed = np.abs(ill.image.astype(int) - healthy.image)
        assert changed[ill.tumour].mean() > 3 * changed[~ill.tumour].mean()
    again = MAKER.make(3, pairs(3), "phantoms")
    assert all(
        np.array_equal(a.image, b.image) and np.array_equal(a.tumour, b.tumour)
        for a, b in zip(phantoms, again, strict=True)
    )


def test_a_mask_goes_the_way_of_its_picture() -> None:
    phantom = MAKER.make(3, pairs(1), "phantoms")[1]
    image, bright = MAKER.preprocess_pictures([(phantom.grey, phantom.grey > 128)], "again")[0]
    assert np.array_equal(image, phantom.image)
    assert image[bright].mean() > image[~bright].mean() + 80


def test_shares_add_up_to_the_area_and_flat_maps_stay_flat() -> None:
    odd = rectangle(slice(3, 30), slice(11, 50))
    assert share(odd, SHAPE, STRIDE_PX).sum() * STRIDE_PX**2 == pytest.approx(odd.sum())
    np.testing.assert_allclose(spread_out(np.full(SHAPE, 3.0), STRIDE_PX, SIZE_PX), 3.0)


def test_an_outline_is_the_edge_alone() -> None:
    assert outline(SQUARE).sum() == 4 * 15
    assert (outline(SQUARE) <= SQUARE).all()


def test_text_is_written_into_the_upper_left_corner_alone() -> None:
    grey = np.full((120, 160), 40, np.uint8)
    text, around = with_text(grey)
    assert text[~around].max() == 40
    assert text[around].max() > 200
    assert around[:40, :100].any()
    assert not around[40:].any()


def test_letters_that_preprocessing_took_away_are_not_in_view() -> None:
    grey = np.zeros((72, 72), np.uint8)
    text, around = with_text(grey)
    assert in_view(grey, text, around).any()
    assert not in_view(grey, grey, around).any()
