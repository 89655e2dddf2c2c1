"""The baselines: fitted on development images alone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from brain_tumor.model.training import Start
from evidence.baselines import NAMES, read_baselines
from evidence.parts import originals, outer_folds
from tests.evidence.toys import small_baselines, small_pool

POOL = small_pool()
FOLD = next(outer_folds(POOL, 2, 0))


@pytest.fixture(scope="module")
def predictions() -> dict[str, np.ndarray]:
    return small_baselines(POOL).predict(FOLD)


def test_each_gives_a_probability_for_each_unseen_image(predictions: dict[str, np.ndarray]) -> None:
    assert tuple(predictions) == NAMES
    for probability in predictions.values():
        assert probability.shape == (len(FOLD.unseen),)
        assert ((probability >= 0) & (probability <= 1)).all()


def test_majority_is_the_share_of_tumours_among_development_images(
    predictions: dict[str, np.ndarray],
) -> None:
    share = np.mean([path.startswith("yes") for path in FOLD.development])
    assert predictions["majority"] == pytest.approx(share)


def test_pixels_tell_the_square_and_names_of_files_do_not(
    predictions: dict[str, np.ndarray],
) -> None:
    truth = np.array([path.startswith("yes") for path in FOLD.unseen])
    for name in ("pixels_1nn", "probe"):
        assert ((predictions[name] >= 0.5) == truth).all()


def test_labels_of_unseen_images_change_nothing(predictions: dict[str, np.ndarray]) -> None:
    baselines = small_baselines(POOL)
    labels, unseen = baselines.rows["label"], baselines.rows["source"].isin(FOLD.unseen)
    turned = labels.mask(unseen, labels.map({"no": "yes", "yes": "no"}))
    blind = replace(baselines, rows=baselines.rows.assign(label=turned)).predict(FOLD)
    for name in NAMES:
        assert np.array_equal(blind[name], predictions[name])


@pytest.mark.slow
def test_they_are_read_from_files_and_the_frozen_trunk(start: Start, tmp_path: Path) -> None:
    own = originals(POOL)
    for path, image in zip(own["source"], POOL.images[own.index], strict=True):
        (tmp_path / path).parent.mkdir(exist_ok=True)
        Image.fromarray(image).save(tmp_path / path)
    baselines = read_baselines(POOL, tmp_path, start)
    assert baselines.features.shape == (len(POOL.images), 768)
    assert baselines.pixels.shape == (len(POOL.images), 32 * 32)
    assert sorted(baselines.files.index) == sorted(own["source"])
    assert baselines.files["width"].eq(75).all()
    assert isinstance(baselines.files, pd.DataFrame)
    assert set(baselines.predict(FOLD)) == set(NAMES)
