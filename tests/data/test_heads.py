"""The whole heads that phantoms are cut from."""

from pathlib import Path

import numpy as np
import pytest

from brain_tumor.data.phantom.heads import FILE, HEADS, TISSUES, load_head, save


@pytest.mark.parametrize("name", HEADS)
def test_fractions_sum_to_one_everywhere(name: str) -> None:
    head = load_head(name)
    np.testing.assert_allclose(head.tissues[..., :-1].sum(axis=-1), 1.0, atol=1e-5)


@pytest.mark.parametrize("name", HEADS)
def test_known_places_have_their_tissue(name: str) -> None:
    places = {
        "air": (0, 140, 0),
        "white": (28, -20, 28),
        "fluid": (0, -20, 70),
        "eye": (33, 58, -38),
    }
    points = np.array([places[tissue] for tissue in places], dtype=float).T
    fractions, _ = load_head(name).sample(points)
    most = [TISSUES[index] for index in fractions.argmax(axis=0)]
    assert most == list(places)


@pytest.mark.parametrize("name", HEADS)
def test_distance_is_negative_in_the_brain_only(name: str) -> None:
    points = np.array([(0, -20, 20), (0, -18, 100), (0, 80, -40)], dtype=float).T
    _, from_brain_mm = load_head(name).sample(points)
    assert (from_brain_mm < 0).tolist() == [True, False, False]


def test_the_neck_goes_on_below_and_the_face_ends_in_air() -> None:
    points = np.array([(0, -40, -150), (0, 130, -60)], dtype=float).T
    fractions, _ = load_head("mni152").sample(points)
    air = fractions[TISSUES.index("air")]
    assert air[0] < 0.5 < air[1]


def test_the_file_is_small_and_writes_the_same_bytes(tmp_path: Path) -> None:
    with np.load(FILE) as stored:
        save(tmp_path / "again.npz", {name: stored[name] for name in HEADS})
    assert (tmp_path / "again.npz").read_bytes() == FILE.read_bytes()
    assert FILE.stat().st_size < 400_000
