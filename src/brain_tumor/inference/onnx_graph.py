"""A Keras network as ONNX: images to what `model.explanation.beside` takes.

Keras's own export (tf2onnx) gives a graph that is as fast, but it traces with TensorFlow, takes
some twenty times as long, warns, and leaves inputs dangling where the head standardises.
"""

from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, helper

from brain_tumor.inference.onnx_layers import Graph, add_layer
from brain_tumor.model.linear_head import LinearHead, linear_head, pooling_layer

OPSET, IR_VERSION = 18, 8  # of 2022: read by any ONNX Runtime from 1.14 on
OUTPUTS = ("probability", "features", "contributions")


def to_onnx(network: Any) -> ModelProto:
    """Write a network, float32 [0, 1] (N, size, size, 1) to P(yes), as an ONNX model.

    Args:
        network: as `saved.load` gives it, with either head.

    Returns:
        A model of `images`, uint8 (N, size, size), to `probability` (N,), `features`
        (N, channels) and `contributions` (N, h, w), all float32. Batch normalisation stays as it
        is: runtimes fold it when they load the model.

    Raises:
        ValueError: the network holds a layer this writer does not know.
    """
    graph, pool = Graph(), pooling_layer(network)
    maps = _walk(graph, network, _image(graph), until=pool.name)
    _explain(graph, maps, linear_head(network))
    h, w, channels = pool.input.shape[1:]
    size = network.inputs[0].shape[1]
    shapes = zip(OUTPUTS, [("N",), ("N", channels), ("N", h, w)], strict=True)
    made = helper.make_graph(
        graph.nodes,
        "brain_tumor",
        [helper.make_tensor_value_info("images", TensorProto.UINT8, ("N", size, size))],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=IR_VERSION)


def _image(graph: Graph) -> str:
    """As `saved.to_unit`, channels first."""
    grey = graph.add("Cast", ["images"], to=TensorProto.FLOAT)
    unit = graph.add("Div", [grey, graph.constant(255)])
    return graph.add("Unsqueeze", [unit, graph.constant([1], np.int64)])


def _explain(graph: Graph, maps: str, head: LinearHead) -> None:
    channels, places = graph.constant([1], np.int64), graph.constant([1, 2], np.int64)
    graph.add("Flatten", [graph.add("GlobalAveragePool", [maps])], "features")
    parts = graph.add("Mul", [maps, graph.constant(head.weights.transpose(2, 0, 1))])
    graph.add("ReduceSum", [parts, channels], "contributions", keepdims=0)
    total = graph.add("ReduceSum", ["contributions", places], keepdims=0)
    graph.add("Sigmoid", [graph.add("Add", [total, graph.constant(head.bias)])], "probability")


def _walk(graph: Graph, model: Any, start: str, until: str = "") -> str:
    """Add the layers of a functional model of one input, connected as its config says.

    Returns:
        The model's output, or the input of the layer named `until`.
    """
    config = model.get_config()
    made: dict[str, str] = {}
    for described in config["layers"]:
        layer = model.get_layer(described["name"])
        inputs = [made[name] for name in _sources(described["inbound_nodes"])]
        if layer.name == until:
            return inputs[0]
        made[layer.name] = _add(graph, layer, inputs) if inputs else start
    return made[str(np.ravel(np.asarray(config["output_layers"], dtype=object))[0])]


def _add(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if type(layer).__name__ == "Functional":
        return _walk(graph, layer, inputs[0])
    return add_layer(graph, layer, inputs)


def _sources(described: Any) -> list[str]:
    """Names of the layers whose outputs are mentioned in a piece of Keras's config."""
    if isinstance(described, dict):
        if "keras_history" in described:
            return [str(described["keras_history"][0])]
        described = list(described.values())
    if not isinstance(described, list | tuple):
        return []
    return [name for part in described for name in _sources(part)]
