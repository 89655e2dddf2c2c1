"""The baselines: fitted on development images alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor.model.features import FeatureCache
from brain_tumor.model.training import Start
from evidence.baselines import NAMES, Baselines, read_baselines
from evidence.parts import Fold, originals, outer_folds
from tests.evidence.small_pool import small_baselines, small_pool

POOL = small_pool()
FOLD = next(outer_folds(POOL, 2, 0))


@pytest.fixture(scope="module")
def said() -> dict[str, np.ndarray]:
    return small_baselines(POOL).predict(FOLD)


def test_each_gives_a_probability_for_each_unseen_image(said: dict[str, np.ndarray]) -> None:
    assert tuple(said) == NAMES
    for probability in said.values():
        assert probability.shape == (len(FOLD.unseen),)
        assert ((probability >= 0) & (probability <= 1)).all()


def test_majority_is_the_share_of_tumours_among_development_images(
    said: dict[str, np.ndarray],
) -> None:
    share = np.mean([path.startswith("yes") for path in FOLD.development])
    assert said["majority"] == pytest.approx(share)


def test_pixels_tell_the_square_and_names_of_files_do_not(said: dict[str, np.ndarray]) -> None:
    truth = np.array([path.startswith("yes") for path in FOLD.unseen])
    for name in ("pixels_1nn", "probe"):
        assert ((said[name] >= 0.5) == truth).all()


def hidden(fold: Fold, baselines: Baselines) -> Baselines:
    """The labels of unseen images turned round."""
    other = baselines.rows["label"].map({"no": "yes", "yes": "no"})
    unseen = baselines.rows["source"].isin(fold.unseen)
    return replace(
        baselines, rows=baselines.rows.assign(label=baselines.rows["label"].mask(unseen, other))
    )


def test_labels_of_unseen_images_change_nothing(said: dict[str, np.ndarray]) -> None:
    blind = hidden(FOLD, small_baselines(POOL)).predict(FOLD)
    for name in NAMES:
        assert np.array_equal(blind[name], said[name])


@pytest.mark.slow
def test_they_are_read_from_files_and_the_frozen_trunk(
    random_weights: Path, tmp_path: Path
) -> None:
    own = originals(POOL)
    for path, image in zip(own["source"], POOL.images[own.index], strict=True):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / path)
    start = Start(random_weights, FeatureCache(tmp_path / "cache", 10**9))
    found = read_baselines(POOL, tmp_path, start)
    assert found.features.shape == (len(POOL.images), 768)
    assert found.pixels.shape == (len(POOL.images), 32 * 32)
    assert sorted(found.files.index) == sorted(own["source"])
    assert found.files["width"].eq(75).all()
    assert isinstance(found.files, pd.DataFrame)
    assert set(found.predict(FOLD)) == set(NAMES)
