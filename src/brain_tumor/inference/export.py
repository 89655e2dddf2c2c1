"""The network written as ONNX for the fast engine, and proof that it says the same.

Keras's own export (tf2onnx) gives a graph that is as fast, but it traces with TensorFlow, takes
some twenty times as long, warns, and leaves inputs dangling where the head standardises.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from brain_tumor.errors import UserError
from brain_tumor.files import RESTORE, read_json, replacing
from brain_tumor.inference.engine import KerasEngine, OnnxEngine
from brain_tumor.model.explain import Explanation, LinearHead, linear_head, pooling_layer
from brain_tumor.model.saved import SavedModel
from brain_tumor.outputs import EXPORT_REPORT

COMPARED = 1000  # training images at most: of 60,000 it would take hours
TOLERANCE = 1e-3  # of a probability; of features and contributions, relative to the largest
OPSET, IR_VERSION = 18, 8  # of 2022: read by any ONNX Runtime from 1.14 on
OUTPUTS = ("probability", "features", "contributions")


@dataclass(frozen=True)
class Agreement:
    """How far the exported network is from the Keras one.

    Attributes:
        images: how many were compared.
        probability: largest difference of a probability.
        features: of a feature, as a fraction of the largest feature.
        contributions: of a place's contribution, as a fraction of the largest one.
    """

    images: int
    probability: float
    features: float
    contributions: float


def compared(images: int) -> NDArray[np.intp]:
    """Which of so many training images both are shown: all, or `COMPARED` of them spread evenly."""
    return np.linspace(0, images - 1, min(images, COMPARED)).round().astype(np.intp)


def export_network(
    model: SavedModel, path: Path, images: NDArray[np.uint8] | None = None
) -> Agreement:
    """Write a network for `engine.OnnxEngine`; the same network gives the same bytes.

    The file is written whole or not at all. Both are compared on images, uint8 (N, size, size), N
    at least 1; by default on two of noise.

    Raises:
        UserError: they do not, or the network holds a layer that cannot be exported.
    """
    if images is None:
        side = model.meta.size_px
        images = np.random.default_rng(0).integers(0, 256, (2, side, side), dtype=np.uint8)
    with replacing(path) as aside:
        aside.write_bytes(to_onnx(model.network).SerializeToString(deterministic=True))
        return compare(KerasEngine(model.network).see(images), OnnxEngine(aside).see(images))


def exported_digest(folder: Path) -> str:
    """The digest of the model that stage export left in `folder`, as the registry has it.

    Raises:
        UserError: its report is missing or older than the digest.
    """
    path = folder / EXPORT_REPORT
    report = read_json(path, RESTORE, dict[str, Any])
    if "digest" not in report:
        raise UserError(f"{path}: no digest of a model; run `dvc repro`")
    return str(report["digest"])


def compare(reference: Explanation, exported: Explanation) -> Agreement:
    """How far the exported network is from the reference, of the same images.

    Raises:
        UserError: there are no images, or a difference is above `TOLERANCE`.
    """
    if not len(reference.probability):
        raise UserError("no images to compare the exported network with the trained one on")
    differences = {}
    for name in OUTPUTS:
        expected, values = getattr(reference, name), getattr(exported, name)
        tiny = float(np.finfo(np.float32).tiny)
        scale = 1.0 if name == "probability" else max(float(np.abs(expected).max()), tiny)
        differences[name] = float(np.abs(values - expected).max()) / scale
        if not differences[name] <= TOLERANCE:  # so that nan fails
            raise UserError(
                f"the exported network's {name} is {differences[name]:.2g} from the trained "
                f"network's; at most {TOLERANCE} is allowed"
            )
    return Agreement(len(reference.probability), **differences)


class Graph:
    """Nodes in the order they are computed, and weights.

    Names count up, so the same network gives the same bytes.
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

    def model(self, taken: ValueInfoProto, given: dict[str, tuple[str | int, ...]]) -> ModelProto:
        """The model that takes one tensor and gives float32 tensors of these names and shapes."""
        outputs = [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
            for name, shape in given.items()
        ]
        described = helper.make_graph(self.nodes, "brain_tumor", [taken], outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        return helper.make_model(described, opset_imports=opsets, ir_version=IR_VERSION)


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
    inputs = [*inputs, *(graph.constant(value) for value in parameters)]
    convolved = graph.add("Conv", inputs, **_window(layer, layer.kernel_size), **shape)
    return _activation(graph, layer, [convolved])


def _normalisation(graph: Graph, layer: Any, inputs: list[str]) -> str:
    mean, variance = layer.moving_mean, layer.moving_variance
    gamma = layer.gamma if layer.scale else np.ones(mean.shape)
    beta = layer.beta if layer.center else np.zeros(mean.shape)
    constants = [graph.constant(value) for value in (gamma, beta, mean, variance)]
    return graph.add("BatchNormalization", [*inputs, *constants], epsilon=layer.epsilon)


def _pooling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    kind = type(layer).__name__.removesuffix("Pooling2D") + "Pool"  # MaxPool, AveragePool
    return graph.add(kind, inputs, **_window(layer, layer.pool_size))


def _pooled(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if not layer.keepdims:
        raise ValueError(f"layer {layer.name} drops axes; export knows keepdims=True")
    return graph.add("GlobalAveragePool", inputs)


def _enlarged(graph: Graph, layer: Any, inputs: list[str]) -> str:
    if layer.interpolation != "nearest":
        raise ValueError(f"layer {layer.name}: {layer.interpolation}; export knows nearest")
    scales = graph.constant([1, 1, *layer.size])
    rounding = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    return graph.add("Resize", [*inputs, "", scales], mode="nearest", **rounding)


def _rescaling(graph: Graph, layer: Any, inputs: list[str]) -> str:
    scaled = graph.add("Mul", [*inputs, graph.constant(layer.scale)])
    return graph.add("Add", [scaled, graph.constant(layer.offset)])


def _window(layer: Any, shape: tuple[int, int]) -> dict[str, Any]:
    """Size, strides and padding; `same` as TensorFlow has it: the odd pixel goes after."""
    padding = {"valid": "VALID", "same": "SAME_UPPER"}[layer.padding]
    return {"kernel_shape": shape, "strides": layer.strides, "auto_pad": padding}


_WRITERS: dict[str, Callable[[Graph, Any, list[str]], str]] = {
    "Activation": _activation,
    "AveragePooling2D": _pooling,
    "BatchNormalization": _normalisation,
    "Concatenate": _concatenation,
    "Conv2D": _convolution,
    "GlobalAveragePooling2D": _pooled,
    "MaxPooling2D": _pooling,
    "Rescaling": _rescaling,
    "UpSampling2D": _enlarged,
}


def to_onnx(network: Any) -> ModelProto:
    """Write a network with either head (see `saved.load`), as an ONNX model.

    Returns:
        A model of `images`, uint8 (N, size, size), to `probability` (N,), `features`
        (N, channels) and `contributions` (N, h, w), all float32. Batch normalisation stays as it
        is: runtimes fold it when they load the model.

    Raises:
        ValueError: the network holds a layer this writer does not know.
    """
    graph, pool = Graph(), pooling_layer(network)
    maps = walk(graph, network, _image(graph), until=pool.name)
    _explain(graph, maps, linear_head(network))
    h, w, channels = pool.input.shape[1:]
    size = network.inputs[0].shape[1]
    shapes = zip(OUTPUTS, [("N",), ("N", channels), ("N", h, w)], strict=True)
    images = helper.make_tensor_value_info("images", TensorProto.UINT8, ("N", size, size))
    return graph.model(images, dict(shapes))


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


def walk(graph: Graph, model: Any, start: str, until: str = "") -> str:
    """Add the layers of a functional model of one input, connected as its config says.

    Returns:
        The model's output, or the input of the layer named `until`.
    """
    config = model.get_config()
    outputs: dict[str, str] = {}
    for described in config["layers"]:
        layer = model.get_layer(described["name"])
        inputs = [outputs[name] for name in _sources(described["inbound_nodes"])]
        if layer.name == until:
            return inputs[0]
        outputs[layer.name] = _add(graph, layer, inputs) if inputs else start
    return outputs[str(np.ravel(np.asarray(config["output_layers"], dtype=object))[0])]


def _add(graph: Graph, layer: Any, inputs: list[str]) -> str:
    """Add a Keras layer or a model; gives the name of its output."""
    kind = type(layer).__name__
    if kind == "Functional":
        return walk(graph, layer, inputs[0])
    if kind not in _WRITERS:
        raise ValueError(f"layer {layer.name} is a {kind}; export knows {', '.join(_WRITERS)}")
    return _WRITERS[kind](graph, layer, inputs)


def _sources(described: Any) -> list[str]:
    """Names of the layers whose outputs are mentioned in a piece of Keras's config."""
    if isinstance(described, dict):
        if "keras_history" in described:
            return [str(described["keras_history"][0])]
        described = list(described.values())
    if not isinstance(described, list | tuple):
        return []
    return [name for part in described for name in _sources(part)]
