"""The network that finds the brain: trained on heads that are drawn at random.

`python -m evidence.brain_network` draws the views, trains, writes `brain.onnx` and `brain.json`
into `brain_tumor/imaging`, and prints how often views of a brain that it never saw are found right.
With `--calibrate-only` the network stays as it is and only its confidence is fitted again.
No picture is read. See docs/alignment.md for time, machine and result.
"""

import hashlib
import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, helper, load_from_string, numpy_helper
from sklearn.linear_model import LogisticRegression

from brain_tumor.data.phantom.heads import load_head
from brain_tumor.errors import UserError
from brain_tumor.files import read_json, replacing, write_json
from brain_tumor.imaging.brain import (
    CELLS,
    FEATURES,
    NETWORK,
    SIDE_PX,
    described_in,
    find_brain,
    probability_right,
)
from brain_tumor.imaging.geometry import AXES, PLANES, magnification, rotation_deg, similarity
from brain_tumor.inference.export import Graph, walk
from brain_tumor.machine import spread
from evidence.brain_views import View, draw_view, recoloured

SEED = 20191
TRAINING_HEAD, TEST_HEAD = "mni152", "colin27"
BATCH, LEARNING_RATE, EMA = 64, 2e-3, 0.998
POINT_SCALE_MM = 100.0
TOLERANCE = {"rotation_deg": 15.0, "position_mm": 20.0, "size": 1.2}  # of what counts as right
_TRAINING, _CALIBRATION, _TEST, _EMPTY = range(4)  # random streams


def draw(seed: int, head: str, stream: int, index: int) -> View:
    """The view of that number in a random stream."""
    return draw_view(np.random.default_rng((seed, stream, index)), load_head(head))


def network() -> Any:
    """A small U-net: a view (`SIDE_PX`, `SIDE_PX`, 1) to a logit and a point for each cell."""
    import keras
    from keras import layers

    def block(maps: Any, channels: int, size: int = 3, strides: int = 1) -> Any:
        convolution = layers.Conv2D(channels, size, strides=strides, padding="same", use_bias=False)
        maps = layers.BatchNormalization(momentum=0.97)(convolution(maps))
        return layers.Activation("relu")(maps)

    view = layers.Input((SIDE_PX, SIDE_PX, 1))
    half = block(block(view, 16, 5, 2), 24)
    quarter = block(block(half, 40, 3, 2), 40)
    eighth = block(block(quarter, 64, 3, 2), 64)
    maps = block(block(eighth, 96, 3, 2), 96)
    whole = layers.GlobalAveragePooling2D(keepdims=True)(maps)
    whole = layers.Conv2D(64, 1, activation="relu")(whole)
    maps = layers.Concatenate()([maps, layers.UpSampling2D(SIDE_PX // 16)(whole)])
    maps = block(layers.Concatenate()([layers.UpSampling2D(2)(maps), eighth]), 64)
    maps = block(layers.Concatenate()([layers.UpSampling2D(2)(maps), quarter]), 48)
    return keras.Model(view, layers.Conv2D(4, 1)(maps))


def loss(truth: Any, answer: Any) -> Any:
    """Cross-entropy of the brain, and the distance of the points over `POINT_SCALE_MM`.

    Both are float32 (N, `CELLS`, `CELLS`, 4): share or logit of brain, then the point.
    """
    from keras import ops

    share, points = truth[..., 0], truth[..., 1:]
    entropy = ops.mean(ops.binary_crossentropy(share, answer[..., 0], from_logits=True))
    away = ops.sqrt(ops.sum((answer[..., 1:] - points) ** 2, axis=-1) + 1e-4)
    return entropy + 3 * ops.sum(away * share) / (ops.sum(share) + 1e-3)


@dataclass(frozen=True)
class Pool:
    """Training views, an axis for all first; see `View`."""

    images: NDArray[np.uint8]
    truth: NDArray[np.int16]
    sagittal: NDArray[np.bool_]

    @classmethod
    def of(cls, views: Sequence[View]) -> "Pool":
        """Stack views."""
        truth = [
            np.concatenate([view.brain[..., None], view.place], -1, dtype=np.int16)
            for view in views
        ]
        sagittal = np.array([PLANES[view.plane] == "sagittal" for view in views])
        return cls(np.stack([view.image for view in views]), np.stack(truth), sagittal)

    def batch(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """Draw views, give them new grey levels, and mirror half of them."""
        chosen = rng.integers(0, len(self.images), BATCH)
        scale = np.array([255] + [POINT_SCALE_MM] * 3, dtype=np.float32)
        images = np.stack([recoloured(rng, self.images[index] / 255.0) for index in chosen])
        truth = self.truth[chosen] / scale
        mirrored = rng.random(BATCH) < 0.5
        images[mirrored] = images[mirrored, :, ::-1]
        truth[mirrored] = truth[mirrored, :, ::-1]
        truth[mirrored & ~self.sagittal[chosen], ..., 1] *= -1
        return images[..., None], truth


def train(pool: Pool, steps: int, seed: int) -> Any:
    """Train the network; returns it with averaged weights."""
    import keras

    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng((seed, _TRAINING))

    class Batches(keras.utils.PyDataset):  # type: ignore[misc]
        def __len__(self) -> int:
            return steps

        def __getitem__(self, _: int) -> tuple[np.ndarray, np.ndarray]:
            return pool.batch(rng)

    model = network()
    optimizer = keras.optimizers.AdamW(
        keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps),
        weight_decay=1e-4,
        use_ema=True,
        ema_momentum=EMA,
    )
    model.compile(optimizer, loss)
    model.fit(Batches(), epochs=1, shuffle=False, verbose=1)
    return model


def exported(model: Any) -> ModelProto:
    """The network as ONNX: `view` to `brain`, a probability, and `points`, mm; see `Places`."""
    graph = Graph()
    channel = graph.constant([1], np.int64)
    answer = walk(graph, model, graph.add("Unsqueeze", ["view", channel]))
    parts = [graph.constant(ends, np.int64) for ends in ([0], [1], [4])]
    logit = graph.add("Slice", [answer, parts[0], parts[1], parts[1]])
    graph.add("Sigmoid", [graph.add("Squeeze", [logit, channel])], "brain")
    points = graph.add("Slice", [answer, parts[1], parts[2], parts[1]])
    scaled = graph.add("Mul", [points, graph.constant(POINT_SCALE_MM)])
    graph.add("Transpose", [scaled], "points", perm=[0, 2, 3, 1])
    view = helper.make_tensor_value_info("view", TensorProto.FLOAT, ("N", SIDE_PX, SIDE_PX))
    places = {"brain": ("N", CELLS, CELLS), "points": ("N", CELLS, CELLS, 3)}
    return _halved(graph.model(view, places))


def _halved(model: ModelProto) -> ModelProto:
    """Keep the large weights as float16: half the bytes; they are float32 when it runs."""
    graph, casts = model.graph, []
    for number, tensor in enumerate(graph.initializer):
        weights = numpy_helper.to_array(tensor)
        if weights.dtype != np.float32 or weights.size < 100:
            continue
        half = numpy_helper.from_array(weights.astype(np.float16), f"{tensor.name}_half")
        casts.append(helper.make_node("Cast", [half.name], [tensor.name], f"cast_{number}", to=1))
        graph.initializer[number].CopyFrom(half)
    nodes = [*casts, *graph.node]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


@dataclass(frozen=True)
class Answer:
    """How well the brain was found in a view.

    Attributes:
        plane: index of the view's.
        features: what the confidence rests on; empty where no brain was found.
        is_right: plane, side, rotation, size and position are right (see `TOLERANCE`).
        off_mm: of the position; nan where the plane is wrong.
    """

    plane: int
    features: tuple[float, ...] = ()
    is_right: bool = False
    off_mm: float = math.nan


def judge(network: Path, seed: int, head: str, stream: int, index: int) -> Answer:
    """Find the brain in a view of that number by the network in a file."""
    view = draw(seed, head, stream, index)
    found = find_brain(view.image, similarity(1.0, 0.0, (0.0, 0.0)), network)
    if found.fit is None:
        return Answer(view.plane)
    share = view.brain / view.brain.sum()
    truth_mm = float((share * view.place[..., AXES[PLANES[view.plane]][2]]).sum())
    if found.fit.plane != PLANES[view.plane]:
        return Answer(view.plane, found.features)
    off_mm = abs(found.fit.position_mm - truth_mm)
    turn = rotation_deg(found.matrix) - view.rotation_deg
    size = magnification(found.matrix) * view.pixel_mm
    right = (
        found.fit.mirrored == view.mirrored
        and abs((turn + 180) % 360 - 180) < TOLERANCE["rotation_deg"]
        and off_mm < TOLERANCE["position_mm"]
        and 1 / TOLERANCE["size"] < size < TOLERANCE["size"]
    )
    return Answer(view.plane, found.features, bool(right), off_mm)


def empty(network: Path, seed: int, index: int) -> tuple[float, ...]:
    """The features where a picture shows no brain: blobs and waves with edges and noise."""
    rng = np.random.default_rng((seed, _EMPTY, index))
    y, x = np.indices((SIDE_PX, SIDE_PX)) - rng.uniform(30, 66, (2, 1, 1))
    radii = rng.uniform(15, 60, 2)
    inside = np.hypot(x / radii[0], y / radii[1]) < 1 + 0.3 * rng.random() * np.sin(x / 5)
    image = inside * rng.uniform(0.2, 1)
    for _ in range(rng.integers(0, 8)):
        cx, cy, r = rng.uniform(-40, 40), rng.uniform(-40, 40), rng.uniform(2, 20)
        image = np.where((np.hypot(x - cx, y - cy) < r) & inside, rng.random(), image)
    image = image + rng.uniform(0, 0.2) * rng.normal(0, 1, image.shape)
    grey = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    return find_brain(grey, similarity(1.0, 0.0, (0.0, 0.0)), network).features


def calibrate(network: Path, seed: int, views: int) -> dict[str, Any]:
    """Fit the confidence on views of the training head that did not train, and on no brains.

    Raises:
        UserError: all views are found right, or all wrong.
    """
    indices = list(range(views))
    view_of = partial(judge, network, seed, TRAINING_HEAD, _CALIBRATION)
    answers = list(spread(view_of, indices, "calibrate"))
    nothing = list(spread(partial(empty, network, seed), indices[:: len(PLANES)], "no brain"))
    pairs = [(answer.features, answer.is_right) for answer in answers if answer.features]
    pairs += [(features, False) for features in nothing if features]
    right = np.array([is_right for _, is_right in pairs], dtype=bool)
    if right.all() or not right.any():
        raise UserError(
            f"{right.sum()} of {len(right)} views are found right, which tells nothing of the "
            "confidence; judge more views, or train for more steps"
        )
    values = np.log1p(np.array([features for features, _ in pairs]))
    mean, deviation = values.mean(axis=0), values.std(axis=0)
    fitted = LogisticRegression(C=10.0).fit((values - mean) / deviation, right)
    return _about(mean.tolist(), deviation.tolist(), fitted.coef_[0].tolist(), fitted.intercept_[0])


def _about(
    mean: list[float], deviation: list[float], weights: list[float], bias: float
) -> dict[str, Any]:
    values = {"mean": mean, "deviation": deviation, "weights": weights, "bias": float(bias)}
    return {"features": list(FEATURES), **values}


def report(network: Path, seed: int, about: dict[str, Any], views: int) -> list[str]:
    """How views of the head that did not train are found, a line per plane."""
    indices = list(range(views))
    answers = list(spread(partial(judge, network, seed, TEST_HEAD, _TEST), indices, "test"))
    lines = []
    for number, plane in enumerate(PLANES):
        own = [answer for answer in answers if answer.plane == number]
        found = [answer for answer in own if answer.features]
        values = probability_right(np.array([answer.features for answer in found]), about)
        trusted = [answer for answer, value in zip(found, values, strict=True) if value >= 0.5]
        half, most = np.nanpercentile([answer.off_mm for answer in trusted], [50, 95])
        right, right_if_trusted = (
            sum(answer.is_right for answer in group) / len(group) for group in (own, trusted)
        )
        lines.append(
            f"{plane}: {len(own)} views, right {right:.3f}, trusted {len(trusted) / len(own):.3f}, "
            f"right if trusted {right_if_trusted:.3f}, position off by {half:.1f} mm (median), "
            f"{most:.1f} mm (95 %)"
        )
    return lines


def write(network: Path, model: ModelProto, facts: dict[str, Any]) -> None:
    """Write a network to a file, and its digest with `facts` beside it."""
    data = model.SerializeToString(deterministic=True)
    with replacing(network) as aside:
        Path(aside).write_bytes(data)
    write_json(described_in(network), {"sha256": hashlib.sha256(data).hexdigest(), **facts})


def main(
    views: Annotated[int, typer.Option(help="To train on.")] = 100_000,
    steps: Annotated[int, typer.Option(help="Of training.")] = 8000,
    judged: Annotated[int, typer.Option(help="Other views, to calibrate on.")] = 3000,
    seed: int = SEED,
    network: Annotated[Path, typer.Option(help="Where it is written.")] = NETWORK,
    calibrate_only: Annotated[bool, typer.Option(help="Keep the network that is there.")] = False,
) -> None:
    """Train the network that finds the brain; calibrate and test its confidence."""
    if calibrate_only:
        proto = load_from_string(network.read_bytes())
        facts = read_json(described_in(network), "train the network first")
        facts = {name: facts[name] for name in ("seed", "views", "steps")}
    else:
        view_of = partial(draw, seed, TRAINING_HEAD, _TRAINING)
        pool = Pool.of(list(spread(view_of, list(range(views)), "draw views")))
        proto = exported(train(pool, steps, seed))
        facts = {"seed": seed, "views": views, "steps": steps}
        nothing = [0.0] * len(FEATURES)
        unknown = _about(nothing, [1.0] * len(FEATURES), nothing, 0.0)
        write(network, proto, {**facts, "confidence": unknown})
    about = calibrate(network, seed, judged)
    write(network, proto, {**facts, "confidence": about})
    print(*report(network, seed, about, judged // 2), sep="\n")


if __name__ == "__main__":
    typer.run(main)
