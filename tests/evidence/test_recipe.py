"""The recipe as a function: what it may see, what it answers."""

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
import pytest

from brain_tumor.model.calibration import calibrate, fit_temperature, threshold_for_sensitivity
from brain_tumor.model.recipe import VERSION
from brain_tumor.model.training import Start
from brain_tumor.settings import CalibrateParams, Settings
from evidence.parts import Pool
from evidence.recipe import Answer, product_recipe
from tests.sections import SETTINGS, replaced

pytestmark = pytest.mark.slow

SPACE = {
    "learning_rate": {"low": 1e-3, "high": 1e-2, "log": True},
    "dropout": {"low": 0.0, "high": 0.5, "log": False},
    "weight_decay": {"low": 1e-4, "high": 1e-2, "log": True},
    "head_penalty": {"low": 1e-2, "high": 1.0, "log": True},
    "head_block": {"low": 2, "high": 3},
    "fine_tune_blocks": {"low": 0, "high": 0},
}


def small_settings(**train: Any) -> Settings:
    """The repository's settings, small."""
    tune = {"n_trials": 3, "startup_trials": 2, "space": SPACE, "folds": 2}
    train = {
        "fine_tune_blocks": 0,
        "learning_rate": 1e-2,
        "head_epochs": 4,
        "fine_tune_epochs": 3,  # with more, probabilities are 0 or 1 in float32
        "batch_size": 8,
    } | train
    return replace(
        SETTINGS,
        train=replaced(SETTINGS.train, **train),
        tune=replaced(SETTINGS.tune, **tune),
        calibrate=CalibrateParams(sensitivity=0.9),
    )


def make_pool(images: int = 24, changed: int | None = None) -> Pool:
    """Noise, tumours with a bright square; pairs of images are a cluster; a copy of each."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 120, (images, 75, 75)).astype(np.uint8)
    pixels[1::2, 20:50, 20:50] += 90
    if changed is not None:
        pixels[changed] = 255 - pixels[changed]
    names = [f"{'yes' if i % 2 else 'no'}/{i:02}.png" for i in range(images)]
    rows = pd.DataFrame({"source": names, "label": [name.split("/")[0] for name in names]})
    rows["cluster"] = [f"{name.split('/')[0]}{i // 4}" for i, name in enumerate(names)]
    both = pd.concat([rows.assign(copy=False), rows.assign(copy=True)], ignore_index=True)
    return Pool(np.concatenate([pixels, pixels[:, :, ::-1]]), both)


def ask(start: Start, pool: Pool, params: Settings, seed: int = 0) -> Answer:
    """The last 8 images are not seen."""
    names = list(pool.rows["source"][~pool.rows["copy"]])
    return product_recipe(start, params, pool, names[:-8], names[-8:], seed)


@pytest.fixture(scope="module")
def answer(start: Start) -> Answer:
    """With the settings as they are, to the first seed."""
    return ask(start, make_pool(), small_settings())


@pytest.mark.parametrize("train", [{}, {"head_penalty": None}, {"fine_tune_blocks": 1}])
def test_answer_is_one_operating_point_by_inner_predictions(
    start: Start, train: dict[str, Any]
) -> None:
    pool = make_pool()
    answer = ask(start, pool, small_settings(**train))
    truth = answer.out_of_fold["path"].str.startswith("yes").to_numpy().astype(np.int64)
    assert sorted(answer.out_of_fold["path"]) == sorted(pool.rows["source"][:16])
    p = answer.out_of_fold["probability"].to_numpy()
    assert answer.threshold == threshold_for_sensitivity(truth, p, 0.9)
    assert fit_temperature(truth, p) == pytest.approx(1.0, abs=1e-3) or answer.temperature in (
        pytest.approx(0.05, rel=1e-3),
        pytest.approx(20.0, rel=1e-3),
    )
    np.testing.assert_allclose(
        answer.probability, calibrate(answer.uncalibrated, answer.temperature)
    )
    assert set(answer.chosen) == set(small_settings(**train).train.tuned())


def test_images_it_is_asked_about_change_nothing_but_their_own_answer(
    start: Start, answer: Answer
) -> None:
    first, second = answer, ask(start, make_pool(changed=23), small_settings())
    assert first.chosen == second.chosen
    assert (first.temperature, first.threshold) == (second.temperature, second.threshold)
    np.testing.assert_allclose(first.uncalibrated[:-1], second.uncalibrated[:-1], atol=1e-6)
    assert abs(first.uncalibrated[-1] - second.uncalibrated[-1]) > 1e-5


def test_same_seed_gives_the_same_answer_and_another_another(start: Start, answer: Answer) -> None:
    first = answer
    again, other = (ask(start, make_pool(), small_settings(), seed) for seed in (0, 1))
    np.testing.assert_array_equal(first.probability, again.probability)
    assert first.chosen == again.chosen != other.chosen


def test_a_log_has_a_line_for_each_trial(start: Start, capfd: pytest.CaptureFixture[str]) -> None:
    params = small_settings()
    ask(start, make_pool(), params)
    lines = re.findall(r"^(\d+)/(\d+): trial", capfd.readouterr().err, re.MULTILINE)
    count = params.tune.n_trials
    assert lines == [(str(done), str(count)) for done in range(1, count + 1)]


def test_answers_are_those_of_this_version(answer: Answer) -> None:
    """Where this fails, the recipe predicts otherwise: raise `model.recipe.VERSION`, then adapt."""
    assert VERSION == 1
    assert answer.chosen == {"head_block": 2, "head_penalty": pytest.approx(0.0100689, rel=1e-5)}
    expected = [0.00129, 0.99949, 0.00123, 0.99933, 0.0014, 0.99792, 0.00205, 0.99957]
    np.testing.assert_allclose(answer.uncalibrated, expected, atol=2e-4)
