"""The exported network as a PyTorch module: the same weights, batch normalisation folded."""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx import numpy_helper

Run = Callable[[NDArray[np.uint8]], NDArray[Any]]
Step = tuple[str, list[str], str, dict[str, Any]]


class TorchNetwork(torch.nn.Module):  # type: ignore[misc]
    """Float32 [0, 1] (N, 1, size, size) to P(yes), (N,)."""

    def __init__(self, path: Path) -> None:
        """Read the network that stage export wrote."""
        super().__init__()
        graph = onnx.load(path).graph
        self.values = {one.name: numpy_helper.to_array(one).copy() for one in graph.initializer}
        self.convolutions = torch.nn.ModuleDict()
        self.steps: list[Step] = []
        self.same: dict[str, str] = {}  # names for what is folded into a convolution
        for node in graph.node:
            given = {one.name: onnx.helper.get_attribute_value(one) for one in node.attribute}
            self._read(node.op_type, list(node.input), node.output[0], given)
        for name, value in self.values.items():
            self.register_buffer(name, torch.from_numpy(value), persistent=False)

    def _read(self, kind: str, inputs: list[str], output: str, given: dict[str, Any]) -> None:
        if kind == "BatchNormalization":
            self._fold(self.convolutions[inputs[0]], inputs[1:], given["epsilon"])
            self.same[output] = inputs[0]
            return
        if kind == "Conv":
            weight = torch.from_numpy(self.values[inputs[1]])
            size, padding = given["kernel_shape"], _padding(given)
            made = torch.nn.Conv2d(*weight.shape[1::-1], size, given["strides"], padding)
            made.weight.data, made.bias.data = weight, torch.zeros(len(weight))
            self.convolutions[output] = made
        if kind == "ReduceSum":
            given["axes"] = self.values[inputs[1]].tolist()
        self.steps.append((kind, [self.same.get(name, name) for name in inputs], output, given))

    def _fold(self, convolution: Any, names: list[str], epsilon: float) -> None:
        gamma, beta, mean, variance = (torch.from_numpy(self.values[name]) for name in names)
        scale = gamma / torch.sqrt(variance + epsilon)
        convolution.weight.data = convolution.weight.data * scale[:, None, None, None]
        convolution.bias.data = beta - mean * scale

    def forward(self, image: Any) -> Any:
        """See the class."""
        made: dict[str, Any] = {}
        for kind, inputs, output, given in self.steps:
            if kind == "Unsqueeze":
                made[output] = image
            elif kind not in ("Cast", "Div"):  # the caller has done what is before the image
                tensors = [made[name] if name in made else getattr(self, name) for name in inputs]
                made[output] = self._step(kind, tensors, output, given)
        return made["probability"]

    def _step(self, kind: str, tensors: list[Any], output: str, given: dict[str, Any]) -> Any:
        if kind == "Conv":
            return self.convolutions[output](tensors[0])
        if kind == "ReduceSum":
            return tensors[0].sum(given["axes"])
        if kind not in ("AveragePool", "MaxPool"):
            return _SIMPLE[kind](tensors)
        window = (given["kernel_shape"], given["strides"], _padding(given))
        if kind == "MaxPool":
            return torch.nn.functional.max_pool2d(tensors[0], *window)
        return torch.nn.functional.avg_pool2d(tensors[0], *window, count_include_pad=False)


_SIMPLE: dict[str, Callable[[list[Any]], Any]] = {
    "Add": lambda tensors: tensors[0] + tensors[1],
    "Concat": lambda tensors: torch.cat(tensors, 1),
    "Flatten": lambda tensors: tensors[0].flatten(1),
    "GlobalAveragePool": lambda tensors: tensors[0].mean((2, 3), keepdim=True),
    "Mul": lambda tensors: tensors[0] * tensors[1],
    "Relu": lambda tensors: torch.relu(tensors[0]),
    "Sigmoid": lambda tensors: torch.sigmoid(tensors[0]),
}


def _padding(given: dict[str, Any]) -> list[int]:
    """Of windows of odd size and stride 1; others of InceptionV3 have none."""
    if given["auto_pad"] == b"VALID":
        return [0, 0]
    return [(side - 1) // 2 for side in given["kernel_shape"]]


def eager(path: Path, threads: int) -> Run:
    """Run as it is, in the memory layout that is faster."""
    torch.set_num_threads(threads)
    layouts = (torch.contiguous_format, torch.channels_last)
    runs = [_run(TorchNetwork(path).eval().to(memory_format=one), one) for one in layouts]
    side = onnx.load(path).graph.input[0].type.tensor_type.shape.dim[1].dim_value
    sample = np.zeros((8, side, side), np.uint8)
    return min(runs, key=lambda run: _seconds(run, sample))


def compiled(path: Path, threads: int) -> Run:
    """Run through TorchInductor; compiles for every batch size."""
    import torch._inductor.config as inductor

    torch.set_num_threads(threads)
    inductor.freezing = True
    network = torch.compile(TorchNetwork(path).eval(), dynamic=False)
    return _run(network, torch.contiguous_format)


def _run(network: Any, layout: Any) -> Run:
    def run(images: NDArray[np.uint8]) -> NDArray[Any]:
        with torch.inference_mode():
            image = torch.from_numpy(images[:, None]).float().div(255).to(memory_format=layout)
            answer: NDArray[Any] = network(image).numpy()
            return answer

    return run


def _seconds(run: Run, sample: NDArray[np.uint8]) -> float:
    run(sample)
    start = perf_counter()
    run(sample)
    return perf_counter() - start
