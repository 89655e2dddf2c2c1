"""Pictures unlike the training images are told, ordinary ones seldom, whatever the order."""

import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from benchmarks.strange import KINDS, OF_BRAINS, changed, make
from brain_tumor.errors import UserError
from brain_tumor.inference.familiarity import (
    REASONS,
    Familiarity,
    fit_cloud,
    held_out_distance,
    reasons,
)
from tests import sections
from tests.damage import DAMAGES, Damage

CHANNELS, RANK = 60, 8
PARAMS = sections.export()


def images(count: int, seed: int) -> tuple[Any, pd.DataFrame, Any]:
    """Features near an 8-dimensional space of 60, confidence and a cluster for each image."""
    mixing = np.random.default_rng(99).normal(0, 1, (RANK, CHANNELS))
    rng = np.random.default_rng(seed)
    features = 5 + rng.normal(0, 1, (count, RANK)) @ mixing + rng.normal(0, 0.1, (count, CHANNELS))
    statistics = pd.DataFrame({"confidence": rng.normal(0.8, 0.01, count)})
    return features.astype(np.float32), statistics, np.arange(count).astype(str)


@pytest.fixture(scope="module")
def familiarity() -> Familiarity:
    return Familiarity.fit(*images(200, 0), PARAMS)


def test_new_images_of_the_same_kind_are_flagged_about_as_often_as_is_asked(
    familiarity: Familiarity,
) -> None:
    features, statistics, _ = images(2000, 1)
    often = (familiarity.score(features, statistics) > 1).mean()
    assert 0.01 < often < 0.10
    params = sections.export(false_alarm_fraction=0.2)
    oftener = Familiarity.fit(*images(200, 0), params).score(features, statistics) > 1
    assert 0.12 < oftener.mean() < 0.28


def test_at_most_the_asked_share_of_training_images_is_flagged(familiarity: Familiarity) -> None:
    features, statistics, _ = images(200, 0)
    assert (familiarity.score(features, statistics) > 1).mean() <= PARAMS.false_alarm_fraction


def test_what_leaves_the_directions_of_the_training_images_is_flagged(
    familiarity: Familiarity,
) -> None:
    features, statistics, _ = images(50, 2)
    step = np.random.default_rng(3).normal(0, 1, features.shape).astype(np.float32)
    assert (familiarity.score(features + step, statistics) > 1).all()
    assert all(
        REASONS[0] in reasons(part) for part in familiarity.parts(features + step, statistics)
    )


def test_what_is_aligned_less_surely_is_flagged_and_what_is_aligned_more_surely_is_not(
    familiarity: Familiarity,
) -> None:
    features, statistics, _ = images(50, 2)
    before = familiarity.parts(features, statistics)
    unsure = familiarity.parts(features, statistics - 0.2)
    assert (unsure[:, 1] > 1).all()
    np.testing.assert_array_equal(unsure[:, 0], before[:, 0])
    assert (familiarity.parts(features, statistics + 0.2)[:, 1] == 0).all()
    assert reasons(np.array([0.4, 1.5])) == REASONS[1:]
    assert reasons(np.array([0.4, 0.9])) == ()


def test_score_of_a_picture_does_not_depend_on_the_others_or_their_order(
    familiarity: Familiarity,
) -> None:
    features, statistics, _ = images(20, 4)
    scores = familiarity.score(features, statistics)
    order = np.random.default_rng(5).permutation(20)
    np.testing.assert_allclose(
        familiarity.score(features[order], statistics.iloc[order]), scores[order]
    )
    alone = familiarity.score(features[7:8], statistics[7:8])
    np.testing.assert_allclose(alone, scores[7:8])
    assert familiarity.score(features[:0], statistics[:0]).shape == (0,)


def test_distance_is_mahalanobis_with_the_shrunk_covariance() -> None:
    from sklearn.covariance import LedoitWolf

    for count in (40, 300):  # fewer and more images than channels
        points, _, _ = images(count, 6)
        new = images(30, 7)[0] + np.float32(0.3)
        z = (points - points.mean(axis=0)) / points.std(axis=0)
        moved = (new - points.mean(axis=0)) / points.std(axis=0)
        expected = LedoitWolf(assume_centered=True).fit(z).mahalanobis(moved) / CHANNELS
        np.testing.assert_allclose(fit_cloud(points).distance(new), np.sqrt(expected), rtol=1e-3)


def test_a_cloud_of_many_blocks_of_images_is_that_of_all_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    points, new = images(1000, 6)[0], images(30, 7)[0] + np.float32(0.3)
    whole = fit_cloud(points)
    expected = whole.distance(new)
    monkeypatch.setattr("brain_tumor.inference.familiarity._AT_ONCE", 70)
    parted = fit_cloud(points)
    np.testing.assert_allclose(parted.variances, whole.variances, rtol=1e-12)
    np.testing.assert_allclose(parted.distance(new), expected, rtol=1e-6)  # (axes are float32)


def test_the_cloud_of_many_images_takes_about_twice_their_features_in_memory() -> None:
    points = np.random.default_rng(0).normal(0, 1, (20_000, 64)).astype(np.float32)
    tracemalloc.start()
    fit_cloud(points).distance(points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2.6 * points.size * 8


def test_copies_do_not_make_each_other_familiar() -> None:
    rng = np.random.default_rng(8)
    cores = np.repeat(rng.normal(0, 1, (25, CHANNELS)), 4, axis=0)
    features = (cores + rng.normal(0, 0.1, cores.shape)).astype(np.float32)
    whole = held_out_distance(features, np.repeat(np.arange(25), 4).astype(str), 10)
    divided = held_out_distance(features, rng.permutation(100).astype(str), 10)
    assert np.median(whole) > 1.5 * np.median(divided)


def test_phantoms_make_what_they_show_familiar_and_set_no_limit() -> None:
    """As coronal slices, which the images have none of."""
    rng = np.random.default_rng(9)
    features, statistics, clusters = images(200, 0)
    other_plane = rng.normal(0, 1, (RANK, CHANNELS))

    def coronal(count: int) -> NDArray[np.float32]:
        points = 5 + rng.normal(0, 1, (count, RANK)) @ other_plane
        return (points + rng.normal(0, 0.1, points.shape)).astype(np.float32)

    phantoms, new = coronal(400), coronal(100)
    with_them = Familiarity.fit(features, statistics, clusters, PARAMS, phantoms)
    without = Familiarity.fit(features, statistics, clusters, PARAMS)
    row = statistics[:100]
    assert (without.score(new, row) > 1).all()
    assert (with_them.score(new, row) > 1).mean() < 0.3
    elsewhere = rng.normal(0, 1, (100, RANK)) @ rng.normal(0, 1, (RANK, CHANNELS))
    assert (with_them.score((5 + elsewhere).astype(np.float32), row) > 1).all()
    again, again_statistics, _ = images(2000, 1)
    assert 0.01 < (with_them.score(again, again_statistics) > 1).mean() < 0.10


def test_it_is_kept_whole_in_the_same_bytes(familiarity: Familiarity, tmp_path: Path) -> None:
    first, second = tmp_path / "first.npz", tmp_path / "second.npz"
    familiarity.save(first)
    loaded = Familiarity.load(first)
    loaded.save(second)
    assert first.read_bytes() == second.read_bytes()
    features, statistics, _ = images(20, 4)
    np.testing.assert_array_equal(
        loaded.score(features, statistics), familiarity.score(features, statistics)
    )


def test_a_file_that_is_not_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "familiarity.npz"
    with pytest.raises(ValueError, match=r"familiarity\.npz: missing; run `dvc repro export`"):
        Familiarity.load(path)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_with_what_to_do(
    damage: Damage, familiarity: Familiarity, tmp_path: Path
) -> None:
    path = tmp_path / "familiarity.npz"
    familiarity.save(path)
    damage(path)
    with pytest.raises(UserError, match=r"familiarity\.npz: .*`dvc repro export`") as caught:
        Familiarity.load(path)
    assert "\n" not in str(caught.value)


def test_wrong_tables_are_refused(familiarity: Familiarity) -> None:
    features, statistics, clusters = images(20, 4)
    broken = features.copy()
    broken[3, 5] = np.nan
    with pytest.raises(ValueError, match=r"image 3: .* not finite"):
        familiarity.score(broken, statistics)
    with pytest.raises(ValueError, match=r"image 0: .* not finite"):
        Familiarity.fit(features, statistics * np.inf, clusters, PARAMS)
    with pytest.raises(ValueError, match="59 features an image, 60 at the fit"):
        familiarity.score(features[:, 1:], statistics)
    with pytest.raises(ValueError, match="19 rows of statistics"):
        familiarity.score(features, statistics[1:])
    with pytest.raises(ValueError, match="'confidence' are needed"):
        familiarity.score(features, statistics.rename(columns={"confidence": "certainty"}))
    with pytest.raises(ValueError, match="1 different clusters: at least 4"):
        Familiarity.fit(features, statistics, np.full(20, "a"), PARAMS)
    with pytest.raises(ValueError, match="clusters named for 19"):
        Familiarity.fit(features, statistics, clusters[1:], PARAMS)


def test_equal_training_images_leave_finite_scores() -> None:
    features, statistics, clusters = images(20, 4)
    same = np.ones_like(features)
    familiarity = Familiarity.fit(same, statistics * 0, clusters, PARAMS)
    assert (familiarity.score(same, statistics * 0) <= 1).all()
    assert (familiarity.score(features, statistics * 0) > 1).all()
    assert np.isfinite(familiarity.score(features, statistics)).all()


@pytest.mark.parametrize("kind", [*KINDS, *OF_BRAINS])
def test_strange_pictures_follow_from_kind_index_and_seed(kind: str) -> None:
    brain = np.random.default_rng(0).integers(0, 255, (90, 80)).astype(np.uint8)

    def picture(index: int, seed: int = 0) -> np.ndarray:
        return make(kind, index, seed) if kind in KINDS else changed(kind, brain, index, seed)

    pictures = [picture(index) for index in range(6)]
    for index, image in enumerate(pictures):
        assert image.dtype == np.uint8
        assert image.ndim == 2 or image.shape[2:] == (3,)
        np.testing.assert_array_equal(image, picture(index))
    distinct = {image.tobytes() for image in pictures}
    assert len(distinct) >= (2 if kind in OF_BRAINS else 6)
    others = [picture(index, seed=1).tobytes() for index in range(6)]
    assert others != [image.tobytes() for image in pictures]


@pytest.mark.slow
def test_pictures_that_are_no_brains_are_flagged_from_their_bytes_on(random_weights: Path) -> None:
    from brain_tumor.data.phantom.folder import encode_png
    from brain_tumor.data.phantom.slices import make_slice
    from brain_tumor.inference.classifier import describe
    from brain_tumor.inference.engine import KerasEngine
    from tests.model.networks import decided_network

    params, phantom = sections.preprocess(size_px=75), sections.phantom()
    engine = KerasEngine(decided_network(random_weights, "gap", 3, 0).whole)
    slices = [make_slice(5, index, 0, index % 2 == 0, phantom).image for index in range(76)]

    def described(pictures: list[np.ndarray]) -> tuple[Any, pd.DataFrame]:
        grey = [
            image if image.ndim == 2 else image.mean(axis=2).astype(np.uint8) for image in pictures
        ]
        rows, features = describe(engine, params, [encode_png(image) for image in grey])
        return features, pd.DataFrame(rows)

    features, rows = described(slices)
    train = slice(0, 60)
    familiarity = Familiarity.fit(features[train], rows[train], np.arange(60).astype(str), PARAMS)
    assert (familiarity.score(features[60:], rows[60:]) > 1).mean() < 0.25
    for kind in ("blank", "noise", "text", "chart"):
        assert (
            familiarity.score(*described([make(kind, index) for index in range(4)])) > 1
        ).all(), kind
