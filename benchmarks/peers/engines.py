"""Each engine as a function of images, uint8 (N, size, size), to P(yes), (N,), in float32."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from brain_tumor.inference.bundle import FAST_FILE
from brain_tumor.inference.engine import OnnxEngine
from brain_tumor.model import saved

Run = Callable[[NDArray[np.uint8]], NDArray[Any]]


@dataclass(frozen=True)
class Sources:
    """Where the weights are and how to run them.

    Attributes:
        root: folder with the outputs of `make repro`.
        threads: of each engine.
    """

    root: Path
    threads: int

    @property
    def onnx(self) -> Path:
        """The network as stage export wrote it."""
        return self.root / "outputs" / "export" / FAST_FILE


def this(sources: Sources) -> Run:
    """This project's fast engine."""
    engine = OnnxEngine(sources.onnx, sources.threads)
    return lambda images: engine.see(images).probability


def keras_predict(sources: Sources) -> Run:
    """What a Keras user calls."""
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(sources.threads)
    network = saved.load_network(sources.root / "outputs" / "train" / "model.keras")
    return lambda images: network.predict(saved.to_unit(images), verbose=0)[:, 0]


def onnx_runtime(sources: Sources) -> Run:
    """ONNX Runtime as its documentation starts it."""
    import onnxruntime

    session = onnxruntime.InferenceSession(sources.onnx)
    return lambda images: session.run(["probability"], {"images": images})[0]


def openvino(sources: Sources) -> Run:
    """OpenVINO, kept to float32 (it would take bfloat16 where the processor has it)."""
    import openvino as ov

    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": sources.threads}
    request = ov.compile_model(sources.onnx, "CPU", settings).create_infer_request()
    return lambda images: request.infer([images])["probability"]


def pytorch(sources: Sources) -> Run:
    """PyTorch as it is, batch normalisation folded, in the faster memory layout of the two."""
    from benchmarks.peers.torch_network import eager

    return eager(sources.onnx, sources.threads)


def pytorch_compiled(sources: Sources) -> Run:
    """PyTorch through `torch.compile` with frozen weights."""
    from benchmarks.peers.torch_network import compiled

    return compiled(sources.onnx, sources.threads)


THIS, THIS_PARALLEL, KERAS = "this", "this, in processes", "keras predict"
ENGINES: dict[str, Callable[[Sources], Run]] = {
    THIS: this,
    THIS_PARALLEL: this,
    KERAS: keras_predict,
    "ONNX Runtime": onnx_runtime,
    "OpenVINO": openvino,
    "PyTorch": pytorch,
    "PyTorch, compiled": pytorch_compiled,
}
INSTALL = {
    "OpenVINO": "uv pip install openvino",
    "PyTorch": "uv pip install torch",
    "PyTorch, compiled": "uv pip install torch (it also needs a C++ compiler)",
}
