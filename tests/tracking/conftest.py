"""Section `train` of params.yaml with what a study chose."""

from typing import Any

import pytest


@pytest.fixture
def train() -> dict[str, Any]:
    return {
        "seed": 0,
        "head": "gap",
        "head_block": 6,
        "fine_tune_blocks": 2,
        "head_penalty": 0.0312,
        "dropout": 0.0,
        "learning_rate": 1.2345e-4,
        "fine_tune_rate_fraction": 0.03,
        "weight_decay": 1e-2,
        "batch_size": 32,
        "precision": "auto",
        "head_epochs": 100,
        "fine_tune_epochs": 4,
        "patience": 5,
        "class_weight": "balanced",
    }
