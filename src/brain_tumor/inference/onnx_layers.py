"""The kinds of Keras layers InceptionV3 is made of, as ONNX nodes, channels first."""

from collections.abc import Callable
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper


class Graph:
    """Nodes and constants so far; names count up, so the same network gives the same bytes.

    Attributes:
        nodes: in the order they are computed.
        constants: weights.
    """

    def __init__(self) -> None:
        """Start empty."""
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def add(self, kind: str, inputs: list[str], output: str = "", **attributes: Any) -> str:
        """Add a node of an ONNX operator; gives the name of its output."""
        output = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, inputs, [output], output, **attributes))
        return output

    def constant(self, value: Any, dtype: type[np.generic] = np.float32) -> str:
        """Add a constant; gives its name."""
        name = f"constant_{len(self.constants)}"
        array = np.ascontiguousarray(np.asarray(value, dtype)).reshape(np.shape(value))
        self.constants.append(numpy_helper.from_array(array, name))
        return name


def add_layer(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """Add a Keras layer that is no model; gives the name of its output.

    Raises:
        ValueError: its kind or activation is not known here.
    """
    kind = type(layer).__name__
    if kind not in _WRITERS:
        raise ValueError(f"layer {layer.name} is a {kind}; export knows {', '.join(_WRITERS)}")
    return _WRITERS[kind](graph, layer, inputs)


def _activation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    name = layer.activation.__name__
    if name not in ("linear", "relu"):
        raise ValueError(f"layer {layer.name} has activation {name}; export knows linear and relu")
    return graph.add("Relu", inputs) if name == "relu" else inputs[0]


def _concatenation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.axis not in (-1, 3):
        raise ValueError(f"layer {layer.name} joins axis {layer.axis}; export knows channels (3)")
    return graph.add("Concat", inputs, axis=1)


def _convolution(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kernel, *bias = (np.asarray(weight) for weight in layer.get_weights())
    parameters = [kernel.transpose(3, 2, 0, 1), *bias]
    shape = {"dilations": layer.dilation_rate, "group": layer.groups}
    inputs = [*inputs, *(graph.constant(one) for one in parameters)]
    made = graph.add("Conv", inputs, **_window(layer, layer.kernel_size), **shape)
    return _activation(graph, layer, [made])


def _normalisation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    mean, variance = layer.moving_mean, layer.moving_variance
    gamma = layer.gamma if layer.scale else np.ones(mean.shape)
    beta = layer.beta if layer.center else np.zeros(mean.shape)
    constants = [graph.constant(one) for one in (gamma, beta, mean, variance)]
    return graph.add("BatchNormalization", [*inputs, *constants], epsilon=layer.epsilon)


def _pooling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kind = type(layer).__name__.removesuffix("Pooling2D") + "Pool"  # MaxPool, AveragePool
    return graph.add(kind, inputs, **_window(layer, layer.pool_size))


def _rescaling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    scaled = graph.add("Mul", [*inputs, graph.constant(layer.scale)])
    return graph.add("Add", [scaled, graph.constant(layer.offset)])


def _window(layer: Any, shape: tuple[int, int]) -> dict[str, Any]:
    """Size, strides and padding; `same` as TensorFlow has it: the odd one goes after."""
    padding = {"valid": "VALID", "same": "SAME_UPPER"}[layer.padding]
    return {"kernel_shape": shape, "strides": layer.strides, "auto_pad": padding}


_WRITERS: dict[str, Callable[[Graph, Any, list[str]], str]] = {
    "Activation": _activation,
    "AveragePooling2D": _pooling,
    "BatchNormalization": _normalisation,
    "Concatenate": _concatenation,
    "Conv2D": _convolution,
    "MaxPooling2D": _pooling,
    "Rescaling": _rescaling,
}
