"""Several devices: they share the work, and what comes out is what one device gives.

The devices are logical ones of the processor; on GPUs none of this has run.
"""

import os
import re
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from brain_tumor.model import devices

CLOSE, CLOSE_BFLOAT16 = 1e-5, 1e-3  # in losses, probabilities and weights
CASES = (
    "even batches, the last one of 5 rows",
    "odd batches, the last one of 2 rows",
    "the last batch of 1 row",
    "bfloat16",
)


class Ran(NamedTuple):
    """What `train_on_devices` wrote, and its log of which device each operation ran on."""

    results: dict[str, Any]
    log: str


def ran(count: int, weights: Path, folder: Path) -> Ran:
    results = folder / f"{count}.npz"
    command = [sys.executable, "-m", "tests.model.train_on_devices"]
    done = subprocess.run(
        [*command, str(count), weights, folder / "cache", results],
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "0"},
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return Ran(dict(np.load(results)), done.stdout + done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("devices")


@pytest.fixture(scope="module")
def one(random_weights: Path, folder: Path) -> Ran:
    return ran(1, random_weights, folder)


@pytest.fixture(scope="module")
def two(random_weights: Path, folder: Path, one: Ran) -> Ran:
    """After `one`, whose stored features it trains on."""
    return ran(2, random_weights, folder)


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_two_devices_train_as_one_does(one: Ran, two: Ran, case: str) -> None:
    close = CLOSE_BFLOAT16 if case == "bfloat16" else CLOSE
    for what in ("losses", "probability", "weights"):
        name = f"{case}: {what}"
        np.testing.assert_allclose(two.results[name], one.results[name], rtol=0, atol=close)
    losses = one.results[f"{case}: losses"][:, 1]
    assert abs(losses[0] - losses[-1]) > 10 * close  # it did learn something to differ in


@pytest.mark.slow
def test_two_devices_give_the_trunk_s_outputs_of_every_image_once(one: Ran, two: Ran) -> None:
    for name in ("trunk: mixed2", "trunk: mixed4", "trunk: mixed1"):
        np.testing.assert_allclose(two.results[name], one.results[name], rtol=1e-4, atol=CLOSE)


@pytest.mark.slow
def test_both_devices_take_part(one: Ran, two: Ran) -> None:
    assert (one.results["devices"], two.results["devices"]) == (1, 2)
    gradients, forward = placed("Conv2DBackpropFilter", two), placed("Conv2D", two)
    assert gradients["CPU:0"] == gradients["CPU:1"] > 20
    assert forward["CPU:1"] > 100
    assert set(placed("Conv2DBackpropFilter", one)) == {"CPU:0"}


def placed(operation: str, run: Ran) -> Counter[str]:
    """On how many places of the prepared functions an operation ran, by device."""
    return Counter(re.findall(rf"\({operation}\): \S+/device:(CPU:\d)", run.log))


@pytest.mark.slow
def test_head_alone_trains_on_one_device(one: Ran, two: Ran) -> None:
    """Its dropout would differ with the number of devices."""
    name = "a head trained by AdamW: losses"
    epochs = len(one.results[name]) - 2  # the last two fine-tune
    assert epochs > 2
    np.testing.assert_array_equal(one.results[name][:epochs], two.results[name][:epochs])
    np.testing.assert_allclose(one.results[name], two.results[name], rtol=0, atol=CLOSE)


def test_rows_of_zeros_fill_up_the_last_device() -> None:
    filled = devices._filled(np.ones((5, 2), np.float32), 3)
    np.testing.assert_array_equal(filled, [[1, 1]] * 5 + [[0, 0]])
    assert filled.dtype == np.float32
    assert len(devices._filled(np.ones(6), 3)) == 6
