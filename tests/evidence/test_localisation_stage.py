"""Phantoms and their truth, randomised networks, and the stage as evidence/dvc.yaml calls it."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ruamel.yaml import YAML
from tests import sections
from tests.model.networks import SIZE_PX, decided_network, images
from tests.stage_here import run_here

from brain_tumor.atomic import write_json
from brain_tumor.evidence.localisation import (
    looking,
    with_random_head,
    with_random_weights,
)
from brain_tumor.evidence.phantom_truth import Maker, pairs
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.inference.export import REPORT_FILE
from brain_tumor.model import saved

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
    preprocess = sections.preprocess(size_px=SIZE_PX, normalisation="none")
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
    maps, said = looking(network)(images(4))
    drawn = {seed: looking(with_random_head(network, seed))(images(4))[0] for seed in (1, 2)}
    assert np.array_equal(drawn[1], looking(with_random_head(network, 1))(images(4))[0])
    assert not np.allclose(drawn[1], drawn[2])
    anew = with_random_weights(network, 1)
    assert [one.shape for one in anew.get_weights()] == [one.shape for one in before]
    assert looking(anew)(images(4))[0].shape == drawn[1].shape == maps.shape
    assert all(np.array_equal(a, b) for a, b in zip(before, network.get_weights(), strict=True))
    trunk = with_random_head(network, 1).get_weights()
    assert sum(not np.array_equal(a, b) for a, b in zip(before, trunk, strict=True)) == 2
    hotter = looking(network, 2.0)(images(4))[1]
    assert (np.abs(hotter - 0.5) < np.abs(said - 0.5)).all()


@pytest.fixture
def project(random_weights: Path, tmp_path: Path) -> Path:
    """What the stage reads, where it reads it."""
    network = decided_network(random_weights, "gap", BLOCK, 0).whole
    meta = saved.ModelMeta(
        head="gap",
        head_block=BLOCK,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
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
    (tmp_path / "outputs" / "export" / REPORT_FILE).write_text('{"digest": "d1"}')
    sections.write_params(tmp_path, preprocess={"size_px": SIZE_PX, "normalisation": "none"})
    (tmp_path / "evidence").mkdir()
    (tmp_path / "evidence" / "params.yaml").write_text(SECTION)
    return tmp_path


def command() -> str:
    described = YAML(typ="safe", pure=True).load((ROOT / "evidence" / "dvc.yaml").read_text())
    return str(described["stages"]["localisation"]["cmd"])


def run(project: Path) -> subprocess.CompletedProcess[str]:
    words = command().split()
    return subprocess.run(
        [sys.executable, *words[1:]], cwd=project, capture_output=True, text=True, check=False
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
