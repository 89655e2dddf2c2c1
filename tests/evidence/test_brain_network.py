"""The training of the network that finds the brain, small: what it leaves, and what that says."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from brain_tumor.errors import UserError
from brain_tumor.imaging.brain import (
    CELLS,
    FEATURES,
    NETWORK,
    SIDE_PX,
    described_in,
    find_brain,
    look,
    probability_right,
)
from brain_tumor.imaging.geometry import similarity
from evidence import brain_network
from evidence.brain_network import POINT_SCALE_MM, Pool, calibrate, draw, judge

pytestmark = pytest.mark.slow
SEED = 7


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "1")


@pytest.fixture(scope="module")
def pool() -> Pool:
    return Pool.of([draw(SEED, "mni152", 0, index) for index in range(60)])


def test_a_batch_mirrors_pictures_with_their_truth(pool: Pool) -> None:
    images, truth = pool.batch(np.random.default_rng(1))
    assert images.shape == (brain_network.BATCH, SIDE_PX, SIDE_PX, 1)
    assert truth.shape == (brain_network.BATCH, CELLS, CELLS, 4)
    assert 0 <= truth[..., 0].min() < truth[..., 0].max() <= 1
    known = {(row[..., 0] / 255).astype(np.float32).tobytes(): row for row in pool.truth}
    mirrors = 0
    for answer in truth:
        share = np.ascontiguousarray(answer[..., 0], np.float32)
        if share.tobytes() in known:
            row = known[share.tobytes()]
            np.testing.assert_allclose(answer[..., 1:] * POINT_SCALE_MM, row[..., 1:], atol=1e-3)
            continue
        mirrors += 1
        row = known[np.ascontiguousarray(share[:, ::-1]).tobytes()][:, ::-1]
        x, away = answer[..., 1] * POINT_SCALE_MM, row[..., 1]
        assert np.allclose(x, -away, atol=1e-3) or (x >= 0).all()  # sagittal x is a distance
        np.testing.assert_allclose(answer[..., 2:] * POINT_SCALE_MM, row[..., 2:], atol=1e-3)
    assert brain_network.BATCH * 0.25 < mirrors < brain_network.BATCH * 0.75


def test_a_network_is_trained_and_the_exported_one_says_the_same(
    pool: Pool, tmp_path: Path
) -> None:
    model = brain_network.train(pool, 4, SEED)
    path = tmp_path / "small.onnx"
    about = {"weights": [0.0] * 6, "mean": [0.0] * 6, "deviation": [1.0] * 6, "bias": 0.0}
    brain_network.write(path, brain_network.exported(model), {"seed": SEED, "confidence": about})
    facts = json.loads(described_in(path).read_text(encoding="utf-8"))
    assert facts["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
    assert path.stat().st_size < 1_000_000
    for view in pool.images[:3]:
        unit = view.astype(np.float32) / 255
        answer = np.asarray(model(unit[None, ..., None]))[0].astype(np.float64)
        places = look(unit, path)
        share = 1 / (1 + np.exp(-answer[..., 0]))
        np.testing.assert_allclose(places.brain, share, atol=0.01)
        points = POINT_SCALE_MM * answer[..., 1:]
        np.testing.assert_allclose(places.points, points, atol=0.01 * np.abs(points).max() + 0.1)
    assert find_brain(pool.images[0], similarity(1, 0, (0, 0)), path).confidence in (0.0, 0.5)


def test_a_training_that_finds_nothing_says_so_and_leaves_a_network_to_go_on_with(
    tmp_path: Path,
) -> None:
    path = tmp_path / "brain.onnx"
    with pytest.raises(UserError, match=r"0 of .* views are found right.*train for more steps"):
        brain_network.main(views=64, steps=1, judged=24, seed=SEED, network=path)
    facts = json.loads(described_in(path).read_text(encoding="utf-8"))
    assert {"sha256", "seed", "views", "steps", "confidence"} == set(facts)
    assert (facts["seed"], facts["views"], facts["steps"]) == (SEED, 64, 1)


def test_the_confidence_can_be_fitted_again_and_the_network_stays(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "brain.onnx"
    path.write_bytes(NETWORK.read_bytes())
    described_in(path).write_bytes(described_in(NETWORK).read_bytes())
    brain_network.main(judged=90, seed=SEED, network=path, calibrate_only=True)
    assert path.read_bytes() == NETWORK.read_bytes()
    facts, before = (
        json.loads(described_in(file).read_text(encoding="utf-8")) for file in (path, NETWORK)
    )
    assert {name: facts[name] for name in ("sha256", "seed", "views", "steps")} == {
        name: before[name] for name in ("sha256", "seed", "views", "steps")
    }
    about = facts["confidence"]
    assert about["features"] == list(FEATURES)
    for name in ("mean", "deviation", "weights"):
        assert len(about[name]) == len(FEATURES)
        assert np.isfinite(about[name]).all()
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines[-3:]] == ["axial", "coronal", "sagittal"]


def test_what_is_right_is_judged_by_the_view_and_confidence_follows() -> None:
    about = calibrate(NETWORK, SEED, 120)
    answers = [judge(NETWORK, SEED, "mni152", 0, index) for index in range(90)]
    right = np.array([answer.is_right for answer in answers])
    sure = np.array(
        [
            probability_right(np.array([answer.features]), about)[0] if answer.features else 0.0
            for answer in answers
        ]
    )
    assert right.mean() > 0.6
    assert sure[right].mean() > sure[~right].mean() + 0.2
    empty = [brain_network.empty(NETWORK, SEED, index) for index in range(30)]
    of_nothing = [probability_right(np.array([each]), about)[0] if each else 0.0 for each in empty]
    assert np.mean(of_nothing) < 0.3
