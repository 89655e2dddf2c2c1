"""Maps against each other, where they point, scanner text, and what is said of it."""

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

from brain_tumor.evidence import localisation_summary as summary
from brain_tumor.evidence.localisation_judged import HEAD, MODEL, RIVALS, WEIGHTS, judged
from brain_tumor.evidence.localisation_notes import notes
from brain_tumor.evidence.localisation_places import (
    BORDER,
    INSIDE,
    OUTSIDE,
    PLACES,
    TUMOUR,
    in_view,
    mean_shares,
    strongest_kinds,
    with_text,
)
from brain_tumor.evidence.localisation_text import text_figures


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
    places = {"with": summary.shares(kinds), "without": summary.shares(kinds), "blind": blind}
    return notes(
        {
            "differences": summary.differences(table, PARAMS),
            "by_plane": summary.by("plane", table, PARAMS),
            "places": places,
            "text": {"in the file": {"with": text}},
        }
    )


NO_TEXT = {"phantoms": 30, "in_view": 0}


def test_maps_that_see_the_tumour_beat_every_rival_in_every_plane() -> None:
    maps = brightness(images(toy_phantoms()))[0]
    table = scored(maps)
    judged_maps = table.groupby("map")["patient"].nunique().to_dict()
    assert judged_maps == dict.fromkeys((MODEL, *RIVALS), 30)
    assert summary.scores(table, PARAMS)[MODEL]["pointing"]["value"] == 1.0
    for differences in (
        summary.differences(table, PARAMS),
        *(one["differences"] for one in summary.by("plane", table, PARAMS).values()),
    ):
        assert all(one["low"] > 0 for figures in differences.values() for one in figures.values())
    assert told(maps, NO_TEXT)[0] == (
        "All planes: 12 of 12 differences have an interval above zero."
    )


def test_a_network_that_learnt_nothing_beats_no_chance_and_the_notes_name_it() -> None:
    maps = np.random.default_rng(2).random((30, *SHAPE))
    differences = summary.differences(scored(maps), PARAMS)
    assert not any(one["low"] > 0 for one in differences["chance"].values())
    assert not any(one["low"] > 0 for one in differences["random_head"].values())
    assert "overlap against noise in the head" in told(maps, NO_TEXT)[0]


def test_differences_are_those_of_the_same_phantoms() -> None:
    table = scored(brightness(images(toy_phantoms()))[0])
    shuffled = table.sample(frac=1.0, random_state=0)
    assert summary.differences(shuffled, PARAMS) == summary.differences(table, PARAMS)
    scores, found = summary.scores(table, PARAMS), summary.differences(table, PARAMS)
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
