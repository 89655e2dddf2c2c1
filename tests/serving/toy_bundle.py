"""A small model in a pulled folder, made without TensorFlow, so that a server starts in seconds."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.inference import bundle
from tests import sections
from tests.inference.toy import NAME, SIZE_PX, THRESHOLD, disc

CHANNELS = 4
_WEIGHTS = np.array([3.0, -2.0, 1.5, -1.0], np.float32)
CARD_FACTS: dict[str, Any] = {
    "intended_use": "Research only. Not for diagnosis, triage or any clinical decision.",
    "model": {"head": "gap", "initial_weights": "random"},
    "images": {"train": {"no": 60, "yes": 103}, "test": {"no": 20, "yes": 20}},
    "metrics": {
        "train": {"accuracy": {"value": 0.95}},
        "test": {
            "accuracy": {"value": 0.9, "low": 0.77, "high": 0.96},
            "auroc": {"value": 0.93, "low": 0.84, "high": 0.98},
        },
    },
    "digest": "ab" * 32,
    "limits": ["Single slices, read one at a time."],
}


def write_toy(root: Path) -> Path:
    """Write a model folder as `brain-tumor pull` leaves it; discs are familiar to it."""
    from brain_tumor.imaging.atlas import Atlas
    from brain_tumor.inference.classifier import describe
    from brain_tumor.inference.engine import load_engine
    from brain_tumor.inference.familiarity import Familiarity
    from brain_tumor.model.saved import META_FILE, ModelMeta

    folder = root / "artifacts" / "bundle"
    folder.mkdir(parents=True)
    meta = ModelMeta(
        head="gap",
        head_block=0,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
        threshold=THRESHOLD,
        initial_weights="random",
        initial_weights_sha256="0" * 64,
        parameters=0,
        seed=0,
    )
    (folder / META_FILE).write_text(meta.model_dump_json(), encoding="utf-8")
    grid = np.zeros((1, 128, 128), dtype=np.uint8)
    atlas = Atlas(grid, grid > 0, ("axial",), np.zeros(1), np.zeros(1, bool))
    atlas.save(folder / bundle.ATLAS_FILE)
    preprocess = sections.preprocess(normalisation="none", size_px=SIZE_PX)
    bundle.write(folder, [], preprocess)
    _write_network(folder / bundle.FAST_FILE)
    known = [disc(level, side_px=side) for side in (80, 90, 100) for level in range(60, 250, 10)]
    rows, features = describe(load_engine(folder, "fast"), atlas, preprocess, known)
    clusters = np.arange(len(rows)).astype(str)
    familiarity = Familiarity.fit(features, pd.DataFrame(rows), clusters, sections.export())
    familiarity.save(folder / bundle.FAMILIARITY_FILE)
    name, version = NAME.split(" version ")
    (root / "registered_model_meta").write_text(f"model_name: {name}\nmodel_version: '{version}'\n")
    (root / "MLmodel").write_text("{}\n", encoding="utf-8")
    (root / "MODEL_CARD.md").write_text("# Toy\n\n**Research only.**\n", encoding="utf-8")
    (root / "model_card.json").write_text(json.dumps(CARD_FACTS), encoding="utf-8")
    return root


def _write_network(path: Path) -> None:
    """Convolution, mean of its maps, a sigmoid unit: outputs as `inference.engine` reads them."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    kernel = np.random.default_rng(0).normal(0, 0.1, (CHANNELS, 1, 5, 5)).astype(np.float32)
    constants = {
        "scale": np.array(255, np.float32),
        "axes": np.array([1], np.int64),
        "places": np.array([1, 2], np.int64),
        "kernel": kernel,
        "weights": _WEIGHTS.reshape(1, CHANNELS, 1, 1) / 18**2,
        "bias": np.array(0.1, np.float32),
    }
    nodes = [
        ("Cast", ["images"], "cast", {"to": TensorProto.FLOAT}),
        ("Div", ["cast", "scale"], "unit", {}),
        ("Unsqueeze", ["unit", "axes"], "grey", {}),
        ("Conv", ["grey", "kernel"], "edges", {"strides": [4, 4]}),
        ("Relu", ["edges"], "maps", {}),
        ("GlobalAveragePool", ["maps"], "pooled", {}),
        ("Flatten", ["pooled"], "features", {}),
        ("Conv", ["maps", "weights"], "weighted", {}),
        ("Squeeze", ["weighted", "axes"], "contributions", {}),
        ("ReduceSum", ["contributions", "places"], "sum", {"keepdims": 0}),
        ("Add", ["sum", "bias"], "logit", {}),
        ("Sigmoid", ["logit"], "probability", {}),
    ]
    outputs = [("probability", ["N"]), ("features", ["N", 4]), ("contributions", ["N", 18, 18])]
    graph = helper.make_graph(
        [helper.make_node(kind, given, [made], **how) for kind, given, made, how in nodes],
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
