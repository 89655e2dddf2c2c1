"""Maps judged by masks and against each other, where they point, scanner text, what is said."""

from typing import Any

import numpy as np
import pytest
from tests.evidence.toy_phantoms import (
    PARAMS,
    SHAPE,
    STRIDE_PX,
    blindness,
    brightness,
    square,
    toy_phantoms,
)

from brain_tumor.evidence.localisation import (
    BORDER,
    COMPARISONS,
    HEAD,
    INSIDE,
    MODEL,
    OUTSIDE,
    PLACES,
    TUMOUR,
    WEIGHTS,
    Scores,
    centre_prior,
    chance,
    in_view,
    judged,
    kind_shares,
    mean_differences,
    mean_scores,
    mean_shares,
    notes,
    outline,
    score,
    scores_by,
    share,
    spread_out,
    strongest_kinds,
    text_figures,
    with_text,
)

SIZE_PX = 72


def mask(rows: slice, columns: slice) -> np.ndarray:
    made = np.zeros((SIZE_PX, SIZE_PX), np.bool_)
    made[rows, columns] = True
    return made


TUMOUR_MASK = mask(slice(16, 32), slice(24, 40))  # four whole squares
HEAD_MASK = mask(slice(8, 64), slice(8, 64))  # 49 of them


def test_a_perfect_map_scores_one() -> None:
    found = score(share(TUMOUR_MASK, SHAPE, STRIDE_PX), TUMOUR_MASK, STRIDE_PX)
    assert (found.pointing, found.mass) == (1.0, 1.0)
    assert found.overlap > 0.7  # between places it is interpolated: corners are cut


def test_a_map_of_everything_else_scores_nothing() -> None:
    found = score(1 - share(TUMOUR_MASK, SHAPE, STRIDE_PX), TUMOUR_MASK, STRIDE_PX)
    assert (found.pointing, found.mass, found.overlap) == (0.0, 0.0, 0.0)


def test_scores_heed_no_scale_and_nothing_that_speaks_against() -> None:
    values = np.random.default_rng(0).normal(size=SHAPE)
    once = score(values, TUMOUR_MASK, STRIDE_PX)
    assert score(1024 * values, TUMOUR_MASK, STRIDE_PX) == once
    assert score(np.where(values > 0, values, 7 * values), TUMOUR_MASK, STRIDE_PX) == once


def test_a_map_that_speaks_for_nothing_points_nowhere() -> None:
    assert score(-np.ones(SHAPE), TUMOUR_MASK, STRIDE_PX) == Scores(0.0, 0.0, 0.0)


def test_without_a_mask_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="empty"):
        score(np.ones(SHAPE), np.zeros_like(TUMOUR_MASK), STRIDE_PX)


def test_chance_is_the_share_of_the_head() -> None:
    found = chance(HEAD_MASK, TUMOUR_MASK, SHAPE, STRIDE_PX, np.random.default_rng(0), 2000)
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
    assert outline(TUMOUR_MASK).sum() == 4 * 15
    assert (outline(TUMOUR_MASK) <= TUMOUR_MASK).all()


def images(phantoms: Any) -> np.ndarray:
    return np.stack([one.image for one in phantoms])


def scored(maps: np.ndarray) -> Any:
    """Maps of the toys, beside noise of the whole picture for both randomised networks."""
    noise = np.random.default_rng(1).random((2, *maps.shape))
    random = {HEAD: [noise[0]], WEIGHTS: [noise[1], noise[0]]}
    return judged(toy_phantoms(), maps, random, STRIDE_PX, 5, 0)


def told(maps: np.ndarray, text: dict[str, Any]) -> list[str]:
    table, phantoms = scored(maps), toy_phantoms()
    kinds = strongest_kinds(phantoms, maps, STRIDE_PX)
    blind = {name: {"value": one} for name, one in mean_shares(phantoms, SHAPE, STRIDE_PX).items()}
    places = {"with": kind_shares(kinds), "without": kind_shares(kinds), "blind": blind}
    return notes(
        {
            "differences": mean_differences(table, PARAMS),
            "by_plane": scores_by("plane", table, PARAMS),
            "places": places,
            "text": {"in the file": {"with": text}},
        }
    )


NO_TEXT = {"phantoms": 30, "in_view": 0}


def test_maps_that_see_the_tumour_beat_every_rival_in_every_plane() -> None:
    maps = brightness(images(toy_phantoms()))[0]
    table = scored(maps)
    judged_maps = table.groupby("map")["patient"].nunique().to_dict()
    assert judged_maps == dict.fromkeys((MODEL, *COMPARISONS), 30)
    assert mean_scores(table, PARAMS)[MODEL]["pointing"]["value"] == 1.0
    for differences in (
        mean_differences(table, PARAMS),
        *(one["differences"] for one in scores_by("plane", table, PARAMS).values()),
    ):
        assert all(one["low"] > 0 for figures in differences.values() for one in figures.values())
    assert told(maps, NO_TEXT)[0] == (
        "All planes: 12 of 12 differences have an interval above zero."
    )


def test_a_network_that_learnt_nothing_beats_no_chance_and_the_notes_name_it() -> None:
    maps = np.random.default_rng(2).random((30, *SHAPE))
    differences = mean_differences(scored(maps), PARAMS)
    assert not any(one["low"] > 0 for one in differences["chance"].values())
    assert not any(one["low"] > 0 for one in differences["random_head"].values())
    assert "overlap against noise in the head" in told(maps, NO_TEXT)[0]


def test_differences_are_those_of_the_same_phantoms() -> None:
    table = scored(brightness(images(toy_phantoms()))[0])
    shuffled = table.sample(frac=1.0, random_state=0)
    assert mean_differences(shuffled, PARAMS) == mean_differences(table, PARAMS)
    scores, found = mean_scores(table, PARAMS), mean_differences(table, PARAMS)
    assert found["centre"]["mass"]["value"] == pytest.approx(
        scores[MODEL]["mass"]["value"] - scores["centre"]["mass"]["value"], abs=2e-6
    )


def test_a_phantom_without_a_tumour_in_view_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="empty"):
        judged(toy_phantoms(1, tumour=False), np.ones((1, *SHAPE)), {}, STRIDE_PX, 1, 0)


@pytest.mark.parametrize(
    ("place", "kind"), [((0, 4), OUTSIDE), ((1, 1), BORDER), ((6, 6), INSIDE), (None, TUMOUR)]
)
def test_the_strongest_place_is_told_from_others(place: tuple[int, int] | None, kind: str) -> None:
    phantom = toy_phantoms(1)[0]
    values = np.zeros((1, *SHAPE))
    tumour = tuple(int(at[0]) // STRIDE_PX for at in np.nonzero(phantom.tumour))
    values[0][place or tumour] = 1.0
    assert strongest_kinds([phantom], values, STRIDE_PX) == [kind]


def test_every_place_is_of_one_kind() -> None:
    found = mean_shares(toy_phantoms(), SHAPE, STRIDE_PX)
    assert sum(found.values()) == pytest.approx(1.0)
    assert found[TUMOUR] == pytest.approx(4 / 81)
    assert found[OUTSIDE] == pytest.approx(32 / 81)
    assert list(found) == list(PLACES)


def test_maps_at_borders_and_in_the_background_are_said_to_be_there() -> None:
    border, outside = (np.zeros((30, *SHAPE)) for _ in range(2))
    border[:, 1, 1] = outside[:, 0, 0] = 1.0
    assert any(one.startswith("Maps favour places at the border") for one in told(border, NO_TEXT))
    assert any(one.startswith("Maps favour places outside") for one in told(outside, NO_TEXT))
    seeing = told(brightness(images(toy_phantoms()))[0], NO_TEXT)
    assert not [one for one in seeing if "favour" in one]


def test_text_is_written_into_the_upper_left_corner_alone() -> None:
    grey = np.full((120, 160), 40, np.uint8)
    written, around = with_text(grey)
    assert written[~around].max() == 40
    assert written[around].max() > 200
    assert around[:40, :100].any()
    assert not around[40:].any()


def test_letters_that_preprocessing_took_away_are_not_in_view() -> None:
    grey = np.zeros((72, 72), np.uint8)
    written, around = with_text(grey)
    assert in_view(grey, written, around).any()
    assert not in_view(grey, grey, around).any()


def written(phantoms: Any) -> list[Any]:
    """A white square where text might stand."""
    corner = square(0, 0, 16)
    return [(np.where(corner, 255, one.image).astype(np.uint8), corner) for one in phantoms]


def test_a_network_that_takes_text_for_a_tumour_is_found_out() -> None:
    phantoms = toy_phantoms(tumour=False)
    found = text_figures(brightness, images(phantoms), written(phantoms), STRIDE_PX, PARAMS)
    assert found["in_view"] == found["phantoms"] == 30
    assert found["strongest_at_text"]["value"] == 1.0
    assert found["probability_moved"]["low"] > 0.5
    assert "maps point at it" in told(np.ones((30, *SHAPE)), found)[-1]


def test_a_network_that_heeds_no_text_is_not_accused() -> None:
    phantoms = toy_phantoms()
    found = text_figures(blindness, images(phantoms), written(phantoms), STRIDE_PX, PARAMS)
    assert found["strongest_at_text"] == found["strongest_there_without"]
    assert found["probability_moved"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "maps are not shown to point at it" in told(np.ones((30, *SHAPE)), found)[-1]


def test_text_out_of_view_is_no_test() -> None:
    phantoms = toy_phantoms(4)
    same = [(one.image, square(0, 0, 16)) for one in phantoms]
    found = text_figures(brightness, images(phantoms), same, STRIDE_PX, PARAMS)
    assert found == {"phantoms": 4, "in_view": 0}
    assert told(np.ones((30, *SHAPE)), found)[-1].endswith("reach the network in 0 of 4.")
