"""A small model in a pulled folder, made without TensorFlow, so that a server starts in seconds."""

from pathlib import Path
from typing import Any

import numpy as np

from brain_tumor.inference.bundle import FAST_FILE
from brain_tumor.inference.engine import load_engine
from brain_tumor.model.saved import META_FILE
from tests.inference.toy import SIZE_PX, toy_meta, write_surroundings

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
    folder = root / "artifacts" / "bundle"
    folder.mkdir(parents=True)
    (folder / META_FILE).write_text(toy_meta().model_dump_json(), encoding="utf-8")
    _write_network(folder / FAST_FILE)
    write_surroundings(root, load_engine(folder, "fast"), CARD_FACTS)
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
        [helper.make_node(kind, inputs, [output], **how) for kind, inputs, output, how in nodes],
        "toy",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ["N", SIZE_PX, SIZE_PX])],
        [helper.make_tensor_value_info(n, TensorProto.FLOAT, shape) for n, shape in outputs],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    opset = helper.make_opsetid("", 17)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
