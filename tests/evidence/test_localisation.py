"""Maps judged by masks and against each other, where they point, scanner text, notes."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_tumor.files import write_json
from brain_tumor.model import saved
from brain_tumor.outputs import EXPORT_REPORT
from evidence.localisation import (
    COMPARISONS,
    HEAD,
    MODEL,
    SCORES,
    WEIGHTS,
    centre_prior,
    explainer,
    kind_shares,
    mean_differences,
    mean_score,
    mean_scores,
    mean_shares,
    noise,
    notes,
    score,
    score_maps,
    scores_by,
    strongest_kinds,
    text_figures,
    with_random_head,
    with_random_weights,
)
from evidence.pages import localisation_page
from evidence.phantoms import BORDER, INSIDE, OUTSIDE, PLACES, TUMOUR, images_of, share
from evidence.stages import localisation
from tests import sections
from tests.evidence.toys import (
    HEAD_MASK,
    SHAPE,
    STRIDE_PX,
    STUDY,
    blindness,
    brightness,
    rectangle,
    toy_phantoms,
    write_study,
)
from tests.model.networks import SIZE_PX as NETWORKS_SIZE_PX
from tests.model.networks import decided_network
from tests.model.networks import images as networks_images
from tests.stages.command import invoke

PARAMS = sections.replaced(
    STUDY.localisation, seed=0, pairs=30, random_networks=1, chance_draws=5, bootstrap_resamples=200
)
TUMOUR_MASK = rectangle(slice(16, 32), slice(24, 40))  # four whole squares


def test_a_perfect_map_scores_one() -> None:
    scores = score(share(TUMOUR_MASK, SHAPE, STRIDE_PX), TUMOUR_MASK, STRIDE_PX)
    assert (scores["pointing"], scores["mass"]) == (1.0, 1.0)
    assert scores["overlap"] > 0.7  # between places it is interpolated: corners are cut


def test_a_map_of_everything_else_scores_nothing() -> None:
    scores = score(1 - share(TUMOUR_MASK, SHAPE, STRIDE_PX), TUMOUR_MASK, STRIDE_PX)
    assert scores == dict.fromkeys(SCORES, 0.0)


def test_scores_heed_no_scale_and_nothing_that_speaks_against() -> None:
    values = np.random.default_rng(0).normal(size=SHAPE)
    once = score(values, TUMOUR_MASK, STRIDE_PX)
    assert score(1024 * values, TUMOUR_MASK, STRIDE_PX) == once
    assert score(np.where(values > 0, values, 7 * values), TUMOUR_MASK, STRIDE_PX) == once


def test_a_map_that_speaks_for_nothing_points_nowhere() -> None:
    assert score(-np.ones(SHAPE), TUMOUR_MASK, STRIDE_PX) == dict.fromkeys(SCORES, 0.0)


def test_without_a_mask_there_is_no_score() -> None:
    with pytest.raises(ValueError, match="empty"):
        score(np.ones(SHAPE), np.zeros_like(TUMOUR_MASK), STRIDE_PX)


def test_chance_is_the_share_of_the_head() -> None:
    maps = noise(HEAD_MASK, SHAPE, STRIDE_PX, np.random.default_rng(0), 2000)
    scores = mean_score(maps, TUMOUR_MASK, STRIDE_PX)
    assert scores["pointing"] == pytest.approx(4 / 49, abs=0.02)
    assert scores["mass"] == pytest.approx(4 / 49, rel=0.05)


def test_the_centre_prior_is_strongest_at_the_heads_centre_and_even() -> None:
    prior = centre_prior(rectangle(slice(0, 40), slice(24, 64)), SHAPE, STRIDE_PX)
    assert prior.argmax() == np.ravel_multi_index((2, 5), SHAPE)
    np.testing.assert_allclose(prior[2, 2:5], prior[2, 8:5:-1])


def scores_of(maps: np.ndarray) -> Any:
    """Maps of the toys, beside noise of the whole picture for both randomised networks."""
    noise = np.random.default_rng(1).random((2, *maps.shape))
    random = {HEAD: [noise[0]], WEIGHTS: [noise[1], noise[0]]}
    return score_maps(toy_phantoms(), maps, random, STRIDE_PX, 5, 0)


def notes_of(maps: np.ndarray, text: dict[str, Any]) -> list[str]:
    table, phantoms = scores_of(maps), toy_phantoms()
    kinds = strongest_kinds(phantoms, maps, STRIDE_PX)
    blind = {
        name: {"value": part} for name, part in mean_shares(phantoms, SHAPE, STRIDE_PX).items()
    }
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
    maps = brightness(images_of(toy_phantoms()))[0]
    table = scores_of(maps)
    phantoms_of_maps = table.groupby("map")["patient"].nunique().to_dict()
    assert phantoms_of_maps == dict.fromkeys((MODEL, *COMPARISONS), 30)
    assert mean_scores(table, PARAMS)[MODEL]["pointing"]["value"] == 1.0
    for differences in (
        mean_differences(table, PARAMS),
        *(part["differences"] for part in scores_by("plane", table, PARAMS).values()),
    ):
        means = (mean for scores in differences.values() for mean in scores.values())
        assert all(mean["low"] > 0 for mean in means)
    assert notes_of(maps, NO_TEXT)[0] == (
        "All planes: 12 of 12 differences have an interval above zero."
    )


def test_a_network_that_learnt_nothing_beats_no_chance_and_the_notes_name_it() -> None:
    maps = np.random.default_rng(2).random((30, *SHAPE))
    differences = mean_differences(scores_of(maps), PARAMS)
    assert not any(mean["low"] > 0 for mean in differences["chance"].values())
    assert not any(mean["low"] > 0 for mean in differences["random_head"].values())
    assert "overlap against noise in the head" in notes_of(maps, NO_TEXT)[0]


def test_differences_are_those_of_the_same_phantoms() -> None:
    table = scores_of(brightness(images_of(toy_phantoms()))[0])
    shuffled = table.sample(frac=1.0, random_state=0)
    assert mean_differences(shuffled, PARAMS) == mean_differences(table, PARAMS)
    scores, differences = mean_scores(table, PARAMS), mean_differences(table, PARAMS)
    assert differences["centre"]["mass"]["value"] == pytest.approx(
        scores[MODEL]["mass"]["value"] - scores["centre"]["mass"]["value"], abs=2e-6
    )


def test_a_phantom_without_a_tumour_in_view_cannot_be_judged() -> None:
    with pytest.raises(ValueError, match="empty"):
        score_maps(toy_phantoms(1, tumour=False), np.ones((1, *SHAPE)), {}, STRIDE_PX, 1, 0)


@pytest.mark.parametrize(
    ("place", "kind"), [((0, 4), OUTSIDE), ((1, 1), BORDER), ((6, 6), INSIDE), (None, TUMOUR)]
)
def test_the_strongest_place_is_told_from_others(place: tuple[int, int] | None, kind: str) -> None:
    phantom = toy_phantoms(1)[0]
    values = np.zeros((1, *SHAPE))
    tumour = tuple(int(pixels[0]) // STRIDE_PX for pixels in np.nonzero(phantom.tumour))
    values[0][place or tumour] = 1.0
    assert strongest_kinds([phantom], values, STRIDE_PX) == [kind]


def test_every_place_is_of_one_kind() -> None:
    shares = mean_shares(toy_phantoms(), SHAPE, STRIDE_PX)
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares[TUMOUR] == pytest.approx(4 / 81)
    assert shares[OUTSIDE] == pytest.approx(32 / 81)
    assert list(shares) == list(PLACES)


def test_maps_at_borders_and_in_the_background_are_said_to_be_there() -> None:
    border, outside = (np.zeros((30, *SHAPE)) for _ in range(2))
    border[:, 1, 1] = outside[:, 0, 0] = 1.0
    for maps, where in ((border, "at the border"), (outside, "outside")):
        starts = f"Maps favour places {where}"
        assert any(note.startswith(starts) for note in notes_of(maps, NO_TEXT))
    seeing = notes_of(brightness(images_of(toy_phantoms()))[0], NO_TEXT)
    assert not [note for note in seeing if "favour" in note]


CORNER = rectangle(slice(16), slice(16))  # where text might stand


def whitened(phantoms: Any) -> list[Any]:
    """A white square there."""
    return [(np.where(CORNER, 255, phantom.image).astype(np.uint8), CORNER) for phantom in phantoms]


def test_a_network_that_takes_text_for_a_tumour_is_found_out() -> None:
    phantoms = toy_phantoms(tumour=False)
    figures = text_figures(brightness, images_of(phantoms), whitened(phantoms), STRIDE_PX, PARAMS)
    assert figures["in_view"] == figures["phantoms"] == 30
    assert figures["strongest_at_text"]["value"] == 1.0
    assert figures["probability_moved"]["low"] > 0.5
    assert "maps point at it" in notes_of(np.ones((30, *SHAPE)), figures)[-1]


def test_a_network_that_heeds_no_text_is_not_accused() -> None:
    phantoms = toy_phantoms()
    figures = text_figures(blindness, images_of(phantoms), whitened(phantoms), STRIDE_PX, PARAMS)
    assert figures["strongest_at_text"] == figures["strongest_there_without"]
    assert figures["probability_moved"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert "maps are not shown to point at it" in notes_of(np.ones((30, *SHAPE)), figures)[-1]


def test_text_out_of_view_is_no_test() -> None:
    phantoms = toy_phantoms(4)
    same = [(phantom.image, CORNER) for phantom in phantoms]
    figures = text_figures(brightness, images_of(phantoms), same, STRIDE_PX, PARAMS)
    assert figures == {"phantoms": 4, "in_view": 0}
    assert notes_of(np.ones((30, *SHAPE)), figures)[-1].endswith("reach the network in 0 of 4.")


BLOCK, PAIRS = 2, 6


@pytest.mark.slow
def test_randomised_networks_keep_their_form_and_lose_what_was_learnt(
    random_weights: Path,
) -> None:
    network = decided_network(random_weights, "gap", BLOCK, 0).whole
    before = network.get_weights()
    maps, p = explainer(network)(networks_images(4))
    drawn = {
        seed: explainer(with_random_head(network, seed))(networks_images(4))[0] for seed in (1, 2)
    }
    assert np.array_equal(drawn[1], explainer(with_random_head(network, 1))(networks_images(4))[0])
    assert not np.allclose(drawn[1], drawn[2])
    anew = with_random_weights(network, 1)
    assert [each.shape for each in anew.get_weights()] == [each.shape for each in before]
    assert explainer(anew)(networks_images(4))[0].shape == drawn[1].shape == maps.shape
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    trunk = with_random_head(network, 1).get_weights()
    assert sum(not np.array_equal(a, b) for a, b in zip(before, trunk, strict=True)) == 2
    hotter = explainer(network, 2.0)(networks_images(4))[1]
    assert (np.abs(hotter - 0.5) < np.abs(p - 0.5)).all()


@pytest.fixture
def project(random_weights: Path, tmp_path: Path) -> Path:
    """What the stage reads, where it reads it."""
    network = decided_network(random_weights, "gap", BLOCK, 0).whole
    meta = saved.ModelMeta(
        head="gap",
        head_block=BLOCK,
        fine_tuned_blocks=0,
        size_px=NETWORKS_SIZE_PX,
        threshold=0.5,
        initial_weights="random",
        initial_weights_sha256="0" * 64,
        parameters=network.count_params(),
        seed=0,
        temperature=1.5,
    )
    saved.save_network(tmp_path / "outputs" / "train" / "model.keras", network)
    write_json(tmp_path / "outputs" / "calibrate" / "model.json", meta.model_dump())
    (tmp_path / "outputs" / "export").mkdir()
    (tmp_path / "outputs" / "export" / EXPORT_REPORT).write_text('{"digest": "d1"}')
    sections.write_params(
        tmp_path, preprocess={"size_px": NETWORKS_SIZE_PX, "normalisation": "none"}
    )
    small = {"seed": 3, "pairs": PAIRS, "random_networks": 1, "chance_draws": 2}
    write_study(tmp_path, localisation=small | {"bootstrap_resamples": 50})
    return tmp_path


@pytest.mark.slow
def test_the_stage_leaves_scores_page_and_pictures(project: Path) -> None:
    done = invoke(localisation.main, project)
    assert done.exit_code == 0, done.stderr
    folder = project / "docs" / "evidence"
    facts = json.loads((folder / "localisation.json").read_text())
    assert (facts["patients"], facts["model"], facts["seed"]) == (PAIRS, "d1", 3)
    assert set(facts["differences"]) == {"chance", "centre", "random_head", "random"}
    assert sum(part["phantoms"] for part in facts["by_contrast"].values()) == facts["phantoms"]
    assert set(facts["by_plane"]) == {"axial", "coronal", "sagittal"}
    assert facts["text"]["on the network's input"]["without"]["in_view"] == PAIRS
    table = pd.read_csv(folder / "localisation.csv")
    assert len(table) == 5 * facts["phantoms"]
    assert table[list(SCORES)].to_numpy().min() >= 0
    assert table[list(SCORES)].to_numpy().max() <= 1
    page = (folder / "localisation.md").read_text()
    assert all(note in page for note in facts["notes"])
    assert len(facts["made"]["commits"]) == 1
    assert page == localisation_page(facts)
    assert (folder / "figures" / "localisation.svg").read_text().startswith("<svg")
    picture = (folder / "figures" / "localisation.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
    first = (folder / "localisation.csv").read_bytes()
    assert invoke(localisation.main, project).exit_code == 0
    assert (folder / "localisation.csv").read_bytes() == first


@pytest.mark.slow
def test_a_model_that_is_missing_is_one_line(project: Path) -> None:
    (project / "outputs" / "train" / "model.keras").unlink()
    done = invoke(localisation.main, project)
    assert done.exit_code == 1
    assert "model.keras" in done.stderr
    assert len(done.stderr.splitlines()) == 1
