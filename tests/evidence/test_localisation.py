"""Scores of maps: what is known beforehand about perfect, blind and empty ones."""

import numpy as np
import pytest

from brain_tumor.evidence.localisation import (
    Scores,
    centre_prior,
    chance,
    outline,
    score,
)
from brain_tumor.evidence.localisation_grid import share, spread_out

SIZE_PX, STRIDE_PX, SHAPE = 72, 8, (9, 9)


def mask(rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((SIZE_PX, SIZE_PX), np.bool_)
    made[rows, columns] = True
    return made


TUMOUR = mask(slice(16, 32), slice(24, 40))  # four whole squares
HEAD = mask(slice(8, 64), slice(8, 64))  # 49 of them


def test_a_perfect_map_scores_one() -> None:
    found = score(share(TUMOUR, SHAPE, STRIDE_PX), TUMOUR, STRIDE_PX)
    assert (found.pointing, found.mass) == (1.0, 1.0)
    assert found.overlap > 0.7  # between places it is interpolated: corners are cut


def test_a_map_of_everything_else_scores_nothing() -> None:
    found = score(1 - share(TUMOUR, SHAPE, STRIDE_PX), TUMOUR, STRIDE_PX)
    assert (found.pointing, found.mass, found.overlap) == (0.0, 0.0, 0.0)


def test_scores_heed_no_scale_and_nothing_that_speaks_against() -> None:
    values = np.random.default_rng(0).normal(size=SHAPE)
    once = score(values, TUMOUR, STRIDE_PX)
    assert score(1024 * values, TUMOUR, STRIDE_PX) == once
    assert score(np.where(values > 0, values, 7 * values), TUMOUR, STRIDE_PX) == once


def test_a_map_that_speaks_for_nothing_points_nowhere() -> None:
    assert score(-np.ones(SHAPE), TUMOUR, STRIDE_PX) == Scores(0.0, 0.0, 0.0)


def test_without_a_mask_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="empty"):
        score(np.ones(SHAPE), np.zeros_like(TUMOUR), STRIDE_PX)


def test_chance_is_the_share_of_the_head() -> None:
    found = chance(HEAD, TUMOUR, SHAPE, STRIDE_PX, np.random.default_rng(0), 2000)
    assert found.pointing == pytest.approx(4 / 49, abs=0.02)
    assert found.mass == pytest.approx(4 / 49, rel=0.05)


def test_the_centre_prior_is_strongest_at_the_heads_centre_and_even() -> None:
    prior = centre_prior(mask(slice(0, 40), slice(24, 64)), SHAPE, STRIDE_PX)
    assert prior.argmax() == np.ravel_multi_index((2, 5), SHAPE)
    np.testing.assert_allclose(prior[2, 2:5], prior[2, 8:5:-1])


def test_shares_add_up_to_the_area_and_flat_maps_stay_flat() -> None:
    odd = mask(slice(3, 30), slice(11, 50))
    assert share(odd, SHAPE, STRIDE_PX).sum() * STRIDE_PX**2 == pytest.approx(odd.sum())
    np.testing.assert_allclose(spread_out(np.full(SHAPE, 3.0), STRIDE_PX, SIZE_PX), 3.0)


def test_an_outline_is_the_edge_alone() -> None:
    assert outline(TUMOUR).sum() == 4 * 15
    assert (outline(TUMOUR) <= TUMOUR).all()
