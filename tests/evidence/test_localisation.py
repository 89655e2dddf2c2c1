"""Maps judged by masks and against each other, where they point, scanner text, what is said."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML

from brain_tumor.files import write_json
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.model import saved
from brain_tumor.outputs import EXPORT_REPORT
from evidence.localisation import (
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
    looking,
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
    with_random_head,
    with_random_weights,
    with_text,
)
from evidence.phantoms import Maker, pairs
from tests import sections
from tests.evidence.toy_phantoms import (
    PARAMS,
    SHAPE,
    STRIDE_PX,
    blindness,
    brightness,
    square,
    toy_phantoms,
)
from tests.model.networks import SIZE_PX as NETWORKS_SIZE_PX
from tests.model.networks import decided_network
from tests.model.networks import images as networks_images
from tests.stage_here import run_here

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


ROOT = Path(__file__).parents[2]
BLOCK, PAIRS = 2, 6
SECTION = (
    f"localisation: {{seed: 3, pairs: {PAIRS}, random_networks: 1, chance_draws: 2, "
    "bootstrap_resamples: 50}\n"
)


def flat_atlas() -> Atlas:
    grid = np.zeros((1, 128, 128), np.uint8)
    return Atlas(grid, grid > 0, ("axial",), np.zeros(1), np.zeros(1, bool))


def maker() -> Maker:
    preprocess = sections.preprocess(size_px=NETWORKS_SIZE_PX, normalisation="none")
    return Maker(sections.phantom(), flat_atlas(), preprocess)


def test_pairs_differ_where_the_warped_mask_says_and_come_again() -> None:
    phantoms = maker().make(3, pairs(3), "phantoms")
    assert [one.case.plane for one in phantoms[::2]] == ["axial", "coronal", "sagittal"]
    for healthy, ill in zip(phantoms[::2], phantoms[1::2], strict=True):
        assert not healthy.tumour.any()
        assert (ill.tumour <= ill.head).mean() > 0.99
        changed = np.abs(ill.image.astype(int) - healthy.image)
        assert changed[ill.tumour].mean() > 3 * changed[~ill.tumour].mean()
    again = maker().make(3, pairs(3), "phantoms")
    assert all(
        np.array_equal(a.image, b.image) and np.array_equal(a.tumour, b.tumour)
        for a, b in zip(phantoms, again, strict=True)
    )


def test_a_mask_goes_the_way_of_its_picture() -> None:
    phantom = maker().make(3, pairs(1), "phantoms")[1]
    image, bright = maker().see([(phantom.grey, phantom.grey > 128)], "again")[0]
    assert np.array_equal(image, phantom.image)
    assert image[bright].mean() > image[~bright].mean() + 80


@pytest.mark.slow
def test_randomised_networks_keep_their_form_and_lose_what_was_learnt(
    random_weights: Path,
) -> None:
    network = decided_network(random_weights, "gap", BLOCK, 0).whole
    before = network.get_weights()
    maps, said = looking(network)(networks_images(4))
    drawn = {
        seed: looking(with_random_head(network, seed))(networks_images(4))[0] for seed in (1, 2)
    }
    assert np.array_equal(drawn[1], looking(with_random_head(network, 1))(networks_images(4))[0])
    assert not np.allclose(drawn[1], drawn[2])
    anew = with_random_weights(network, 1)
    assert [one.shape for one in anew.get_weights()] == [one.shape for one in before]
    assert looking(anew)(networks_images(4))[0].shape == drawn[1].shape == maps.shape
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    trunk = with_random_head(network, 1).get_weights()
    assert sum(not np.array_equal(a, b) for a, b in zip(before, trunk, strict=True)) == 2
    hotter = looking(network, 2.0)(networks_images(4))[1]
    assert (np.abs(hotter - 0.5) < np.abs(said - 0.5)).all()


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
    flat_atlas().save(tmp_path / "outputs" / "preprocess" / "atlas.npz")
    (tmp_path / "outputs" / "export").mkdir()
    (tmp_path / "outputs" / "export" / EXPORT_REPORT).write_text('{"digest": "d1"}')
    sections.write_params(
        tmp_path, preprocess={"size_px": NETWORKS_SIZE_PX, "normalisation": "none"}
    )
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "params.yaml").write_text(SECTION)
    return tmp_path


def command() -> str:
    described = YAML(typ="safe", pure=True).load((ROOT / "evidence" / "dvc.yaml").read_text())
    return str(described["stages"]["localisation"]["cmd"])


def run(project: Path) -> subprocess.CompletedProcess[str]:
    words = command().split()
    return subprocess.run(
        [sys.executable, *words[1:]],
        cwd=project,
        env=os.environ | {"PYTHONPATH": str(ROOT)},  # where the study is imported from
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.slow
def test_the_stage_leaves_scores_page_and_pictures(project: Path) -> None:
    done = run(project)
    assert done.returncode == 0, done.stderr
    folder = project / "docs" / "evidence"
    found = json.loads((folder / "localisation.json").read_text())
    assert (found["patients"], found["model"], found["seed"]) == (PAIRS, "d1", 3)
    assert set(found["differences"]) == {"chance", "centre", "random_head", "random"}
    assert sum(one["phantoms"] for one in found["by_contrast"].values()) == found["phantoms"]
    assert set(found["by_plane"]) == {"axial", "coronal", "sagittal"}
    assert found["text"]["on the network's input"]["without"]["in_view"] == PAIRS
    table = pd.read_csv(folder / "localisation.csv")
    assert len(table) == 5 * found["phantoms"]
    assert table[["pointing", "mass", "overlap"]].to_numpy().min() >= 0
    assert table[["pointing", "mass", "overlap"]].to_numpy().max() <= 1
    page = (folder / "localisation.md").read_text()
    assert all(note in page for note in found["notes"])
    assert (folder / "figures" / "localisation.svg").read_text().startswith("<svg")
    picture = (folder / "figures" / "localisation.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert len(picture) < 200_000
    first = {path: path.read_bytes() for path in (folder / "localisation.csv",)}
    assert run_here(command(), project).returncode == 0
    assert {path: path.read_bytes() for path in first} == first


@pytest.mark.slow
def test_a_model_that_is_missing_is_one_line(project: Path) -> None:
    (project / "outputs" / "train" / "model.keras").unlink()
    done = run_here(command(), project)
    assert done.returncode == 1
    assert "model.keras" in done.stderr
    assert "Traceback" not in done.stderr
