"""Random views: the truth fits the picture, and everything is drawn about as often as is said."""

from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from brain_tumor.data.phantom.heads import TISSUES, load_head
from brain_tumor.imaging.brain import CELL_PX, CELLS, SIDE_PX
from brain_tumor.imaging.geometry import AXES, PLANES
from evidence.brain_views import View, draw_view, recoloured

HEAD = "colin27"
VIEWS = 90


@cache
def view(index: int) -> View:
    return draw_view(np.random.default_rng((11, index)), load_head(HEAD))


def views() -> list[View]:
    return [view(index) for index in range(VIEWS)]


def cells(image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Mean of each cell."""
    return np.asarray(image.reshape(CELLS, CELL_PX, CELLS, CELL_PX).mean(axis=(1, 3)) / 255)


def test_a_view_follows_from_its_seed_alone() -> None:
    again = draw_view(np.random.default_rng((11, 3)), load_head(HEAD))
    for name, value in vars(view(3)).items():
        np.testing.assert_array_equal(getattr(again, name), value)
    assert len({view(index).image.tobytes() for index in range(10)}) == 10


def test_shapes_and_types_are_those_of_the_network() -> None:
    for each in views()[:10]:
        assert (each.image.shape, each.image.dtype.name) == ((SIDE_PX, SIDE_PX), "uint8")
        assert (each.brain.shape, each.brain.dtype.name) == ((CELLS, CELLS), "uint8")
        assert (each.place.shape, each.place.dtype.name) == ((CELLS, CELLS, 3), "int8")


def turn_and_side(each: View) -> tuple[float, bool, float]:
    """Rotation (clockwise as seen), mirroring and pixel size of a view, from its places alone."""
    plane = PLANES[each.plane]
    across, up, _ = AXES[plane]
    rows, columns = np.nonzero(each.brain > 200)
    points = each.place[rows, columns].astype(float)
    z = CELL_PX * (columns - 1j * rows)
    z = z - z.mean()
    fits = []
    for side in (1, -1):
        target = side * points[:, across] + 1j * points[:, up]
        target = target - target.mean()
        slope = (z.conj() @ target) / (np.abs(z) ** 2).sum()
        fits.append((float(np.abs(target - slope * z).mean()), side, slope))
    _, side, slope = min(fits)
    return float(np.degrees(np.angle(slope))), side < 0, abs(slope)


def test_places_lie_as_the_view_says() -> None:
    away_deg, sizes = [], []
    for each in views():
        turn_deg, mirrored, size_mm = turn_and_side(each)
        assert mirrored == each.mirrored
        away_deg.append(abs((turn_deg - each.rotation_deg + 180) % 360 - 180))
        sizes.append(size_mm / each.pixel_mm)
    assert np.median(away_deg) < 5
    assert max(away_deg) < 25
    assert np.median(sizes) == pytest.approx(1, abs=0.05)


def test_only_sagittal_views_are_mirrored_and_their_distance_from_the_middle_is_positive() -> None:
    for each in views():
        if PLANES[each.plane] == "sagittal":
            assert (each.place[..., 0] >= 0).all()
        else:
            assert not each.mirrored


def test_the_picture_shows_what_lies_at_its_places() -> None:
    """Air is dark and head is bright where the places say so, and not where a mirror has it."""
    head = load_head(HEAD)
    agreement: list[tuple[float, float]] = []
    for each in views():
        places = each.place.reshape(-1, 3).T.astype(float)
        fractions, from_brain_mm = head.sample(places)
        in_reach = (places[2] > -60) & (np.abs(places) < 127).all(axis=0)
        air = (fractions[TISSUES.index("air")] > 0.99) & (from_brain_mm > 20) & in_reach
        inside = (from_brain_mm < 0) & in_reach
        if air.sum() < 20 or inside.sum() < 20:
            continue
        assert each.brain.ravel()[inside].mean() > 4 * each.brain.ravel()[air].mean() + 60
        shown, other = (
            grey.ravel()[inside].mean() - grey.ravel()[air].mean()
            for grey in (cells(each.image), cells(each.image)[::-1, ::-1])
        )
        agreement.append((float(shown), float(other)))
    assert len(agreement) > VIEWS / 2
    right, turned = np.array(agreement).T
    assert (right > 0.05).mean() > 0.85
    assert (right > turned).mean() > 0.85


def test_every_view_shows_enough_brain() -> None:
    for each in views():
        assert each.brain.sum() / 255 * (CELL_PX * each.pixel_mm) ** 2 >= 1500


def test_kinds_are_drawn_about_as_often_as_is_said() -> None:
    planes = np.bincount([each.plane for each in views()], minlength=3) / VIEWS
    assert ((planes > 0.2) & (planes < 0.48)).all()
    mirrored = [each.mirrored for each in views() if PLANES[each.plane] == "sagittal"]
    assert 0.25 < np.mean(mirrored) < 0.75
    upright = [abs((each.rotation_deg + 180) % 360 - 180) < 40 for each in views()]
    assert 0.68 < np.mean(upright) < 0.95
    sizes = [each.pixel_mm for each in views()]
    assert 1.7 <= min(sizes) < 2.1
    assert 3.0 < max(sizes) <= 3.7


@pytest.mark.parametrize("seed", range(20))
def test_recoloured_views_keep_shape_and_range(seed: int) -> None:
    image = view(seed).image / 255.0
    first, again = (recoloured(np.random.default_rng(seed), image) for _ in range(2))
    assert (first.shape, first.dtype.name) == (image.shape, "float32")
    assert first.min() >= 0
    assert 0.95 < first.max() <= np.float32(1.2)
    np.testing.assert_array_equal(first, again)


def test_grey_levels_are_new_in_most_recoloured_views() -> None:
    image = view(0).image / 255.0
    greys = [recoloured(np.random.default_rng(seed), image) for seed in range(40)]
    relations = [np.corrcoef(grey.ravel(), image.ravel())[0, 1] for grey in greys]
    assert len({grey.tobytes() for grey in greys}) > 20
    assert min(relations) < 0.9 < max(relations)
    assert np.mean(np.array(relations) > 0.98) < 0.9
