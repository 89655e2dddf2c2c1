"""A program: small trainings on so many logical processors, `COUNT WEIGHTS CACHE RESULTS.npz`.

TensorFlow is told of logical devices before it starts, so each count needs a process of its own.
"""

import sys
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from brain_tumor.model import devices, network
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.folds import TrainingData
from brain_tumor.model.saved import to_unit
from brain_tumor.model.training import Start, fit
from tests.model.test_training import PARAMS, blobs

TRAIN, VAL = 37, 35
SOLVED: dict[str, Any] = {"head_penalty": 0.1, "learning_rate": 5e-5}
CASES: dict[str, dict[str, Any]] = {
    "even batches, the last one of 5 rows": {"batch_size": 8, "fine_tune_epochs": 3},
    "odd batches, the last one of 2 rows": {"batch_size": 7, "fine_tune_blocks": 2},
    "the last batch of 1 row": {"batch_size": 36},
    "a head trained by AdamW": {"head_penalty": None, "learning_rate": 1e-2, "batch_size": 5},
    "bfloat16": {"precision": "bfloat16"},
}


def main(count: int, weights: Path, cache: Path, results: Path) -> None:
    """Train every case and write losses, probabilities and weights."""
    processor = tf.config.list_physical_devices("CPU")[0]
    each = [tf.config.LogicalDeviceConfiguration()] * count
    tf.config.set_logical_device_configuration(processor, each)
    tf.debugging.set_log_device_placement(True)  # read by the tests
    start = Start(weights, FeatureCache(cache, 10**9))
    (train, train_labels), (val, val_labels) = blobs(TRAIN, 1), blobs(VAL, 2)
    data = TrainingData(
        np.concatenate([train, val]),
        np.concatenate([train_labels, val_labels]),
        np.arange(TRAIN),
        np.arange(TRAIN, TRAIN + VAL),
    )
    written: dict[str, Any] = {"devices": np.asarray(devices.count())}
    for case, changes in CASES.items():
        params = PARAMS.model_copy(update={**SOLVED, **changes})
        fitted = fit(start, data, params, lambda *_: None)
        parts = [*fitted.head, *(fitted.tuned or [])]
        written[f"{case}: losses"] = np.array(
            [[row["loss"], row["val_loss"]] for row in fitted.history]
        )
        written[f"{case}: probability"] = fitted.val_probability
        written[f"{case}: weights"] = np.concatenate([np.ravel(part) for part in parts])
    with devices.strategy().scope():
        trunk = network.trunk(weights, 75, [(2, "maps"), (4, "gap")])
    for block, output in zip((2, 4), devices.predictor(trunk)(to_unit(val)), strict=True):
        written[f"trunk: mixed{block}"] = output
    with devices.strategy().scope():
        single = network.trunk(weights, 75, [(1, "gap")])
    (written["trunk: mixed1"],) = devices.predictor(single)(to_unit(val[:1]))
    np.savez(results, allow_pickle=False, **written)


if __name__ == "__main__":
    main(int(sys.argv[1]), *map(Path, sys.argv[2:]))
