"""The same study the naive way and on stored features of the frozen trunk, side by side.

Run `make repro` first: this takes its phantom images (299 px, without augmented copies). Every
trial is trained twice with the same head, order, epochs and number of images: the naive way, the
whole network in float32 for every image and epoch; and as stage `tune` does. The floor is the
time the unavoidable arithmetic would take (the trunk once per image, forward and backward through
the tuned blocks per epoch) at the rate this machine multiplies large matrices:

    python benchmarks/search.py PATH/TO/inception_v3.weights.h5
"""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import keras
import numpy as np
import pandas as pd
import typer

from brain_tumor import settings
from brain_tumor.model import metrics, network, training
from brain_tumor.model.backbone import prepare
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import output_shape, trunk_outputs
from brain_tumor.model.folds import TrainingData, read_development
from brain_tumor.model.saved import predict_in_batches, to_unit
from brain_tumor.model.training import Start, class_weight, exact_outputs, fit, outputs
from brain_tumor.settings import BackboneParams, TrainParams

PARAMS = Path("params.yaml")
GIGA = 1e9


def main(
    source: Annotated[str, typer.Argument(help="As backbone.source.")],
    head_block: Annotated[int, typer.Option(help="Block the head sits on.")] = 10,
    deepest: Annotated[int, typer.Option(help="Trials have depth 0 to this.")] = 4,
    train_images: Annotated[int, typer.Option(help="Images to fit.")] = 120,
    val_images: Annotated[int, typer.Option(help="Images to stop by.")] = 40,
    fine_tune_epochs: Annotated[int, typer.Option(help="Epochs of fine-tuning.")] = 5,
) -> None:
    """Print a row per trial, the ratios and the floor."""
    data = some_of(train_images, val_images)
    with tempfile.TemporaryDirectory() as temporary:
        weights = Path(temporary) / "backbone.weights.h5"
        prepare(weights, BackboneParams(source=source, seed=0), Path)
        trials = [trial(head_block, depth, fine_tune_epochs) for depth in range(deepest + 1)]
        start = Start(weights, FeatureCache(Path(temporary) / "features", 10**11))
        formats: set[str] = {"float32", training.number_format("auto")}
        rates = {name: matmul_rate(name) for name in sorted(formats)}
        features_s = timed(lambda: store_features(start, data, trials))[0]
        rows = [compare(start, data, params, rates) for params in trials]
    report(pd.DataFrame(rows), features_s, trunk_floor(data, trials, rates), rates)


def some_of(train_images: int, val_images: int) -> TrainingData:
    """Originals only, the first of each class in turn."""
    images = read_development()
    rows = images.rows[~images.rows["copy"]]
    turn = rows.groupby(["split", "label"]).cumcount()
    wanted = {"train": train_images // 2, "val": val_images // 2}
    kept = rows.index[turn < rows["split"].map(wanted)]
    return replace(
        images, images=images.images[kept], rows=images.rows.loc[kept].reset_index(drop=True)
    ).holdout()


def trial(head_block: int, depth: int, fine_tune_epochs: int) -> TrainParams:
    """Parameters of a trial: everything but its depth the same."""
    section = settings.read(PARAMS).train
    values = {"learning_rate": 1e-4, "head_penalty": 0.1, "head_block": head_block}
    values |= {"fine_tune_blocks": depth, "dropout": 0.0, "fine_tune_epochs": fine_tune_epochs}
    return TrainParams.model_validate(section.model_dump() | values)


def store_features(start: Start, data: TrainingData, trials: list[TrainParams]) -> None:
    """One pass over all images, one over those of validation, as stage `tune` begins."""
    wanted = {output: None for params in trials for output in outputs(params)}
    trunk_outputs(start.weights, data.images, list(wanted), start.cache)
    exact = {output: None for params in trials for output in exact_outputs(params)}
    if exact:
        trunk_outputs(start.weights, data.images[data.val], list(exact), start.cache)


def compare(
    start: Start, data: TrainingData, params: TrainParams, rates: dict[str, float]
) -> dict[str, Any]:
    """Wall times and validation log loss of one trial, both ways."""
    ours_s, ours = timed(lambda: fit(start, data, params, lambda _, __: None).val_probability)
    naive_s, naive = timed(lambda: train_naively(start, data, params))
    truth = data.labels[data.val].astype(np.int64)
    row = {
        "depth": params.fine_tune_blocks,
        "naive_s": naive_s,
        "ours_s": ours_s,
        "ratio": naive_s / ours_s,
        "floor_s": tuning_floor(start, data, params, rates),
        "naive_loss": metrics.log_loss(truth, naive),
        "ours_loss": metrics.log_loss(truth, ours),
    }
    print({key: round(value, 3) for key, value in row.items()}, flush=True)
    return row


def train_naively(start: Start, data: TrainingData, params: TrainParams) -> Any:
    """Solve the head, then fine-tune the whole network in float32, from the images up."""
    import tensorflow as tf

    training.make_repeatable(params.seed)
    names = {"head", "head_block", "fine_tune_blocks", "seed"}
    settings = params.model_dump(include=names)
    net = network.build(start.weights, size_px=data.images.shape[1], dropout=0.0, **settings)
    images = to_unit(data.images[:])
    vectors = np.asarray(net.pool(net.tuned(net.frozen.predict(images, verbose=0))))
    network.standardise(net.head, vectors, data.train)
    training.solve_head(net.head, vectors, data, params)
    if params.fine_tunes:
        trained = list(net.tuned.trainable_variables + net.head.trainable_variables)
        adam = keras.optimizers.Adam(params.learning_rate)
        adam.build(trained)
        step = tf.function(lambda x, y, weight: naive_step(net.whole, trained, adam, x, y, weight))
        importance = class_weight(params, data)
        weight = np.where(data.labels > 0.5, *((importance or {0: 1, 1: 1})[k] for k in (1, 0)))
        rng = np.random.default_rng(params.seed)
        for _ in range(params.fine_tune_epochs):
            drawn = data.draw(rng, params.phantom_weight)
            for first in range(0, len(drawn), params.batch_size):
                rows = drawn[first : first + params.batch_size]
                step(images[rows], data.labels[rows], weight[rows].astype(np.float32))
            predict_in_batches(net.whole, images[data.val])
    return predict_in_batches(net.whole, images[data.val])


def naive_step(whole: Any, trained: Any, adam: Any, x: Any, y: Any, weight: Any) -> None:
    """One step of Adam; the arithmetic of `fine_tuning`, without its schedule and averages."""
    import tensorflow as tf

    with tf.GradientTape() as tape:
        losses = keras.losses.binary_crossentropy(y[:, None], whole(x, training=False))
        loss = tf.reduce_mean(weight * losses)
    adam.apply(tape.gradient(loss, [v.value for v in trained]), trained)


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """Wall seconds and the result."""
    started = time.perf_counter()
    result = work()
    return time.perf_counter() - started, result


def matmul_rate(number_format: str) -> float:
    """Operations a second of multiplying 4096 x 4096 matrices, the best of five."""
    import tensorflow as tf

    a = tf.cast(tf.random.stateless_uniform((4096, 4096), (0, 0)), number_format)
    multiply = tf.function(tf.linalg.matmul)
    multiply(a, a)
    return 2 * 4096**3 / min(timed(lambda: multiply(a, a).numpy())[0] for _ in range(5))


def trunk_floor(data: TrainingData, trials: list[TrainParams], rates: dict[str, float]) -> float:
    """Seconds to send every image through the trunk once, as far as any head sits."""
    top = max(params.head_block for params in trials)
    full = network.inception_v3()
    trunk = keras.Model(full.input, full.get_layer(f"mixed{top}").output)
    per_image = sum(flops for flops, _ in convolutions(trunk, data.images.shape[1:]))
    return per_image * len(data.images) / rates["float32"]


def tuning_floor(
    start: Start, data: TrainingData, params: TrainParams, rates: dict[str, float]
) -> float:
    """Seconds of the arithmetic of fine-tuning: forward, weights' and inputs' gradients."""
    if not params.fine_tune_blocks:
        return 0.0
    number_format = training.number_format(params.precision)
    depth = params.head_block, params.fine_tune_blocks
    blocks = network.top_blocks(start.weights, *depth, number_format)
    side = output_shape(depth[0] - depth[1], "maps", data.images.shape[1])[:2]
    layers = convolutions(blocks, side)
    forward = sum(flops for flops, _ in layers)
    backward = sum(flops * (1 if first else 2) for flops, first in layers)
    per_epoch = (forward + backward) * len(data.train) + forward * len(data.val)
    return per_epoch * params.fine_tune_epochs / rates[number_format]


def convolutions(model: Any, side: tuple[int, ...]) -> list[tuple[float, bool]]:
    """Operations per image of each convolution, and whether it reads the model's input."""
    shapes = keras.models.clone_model(
        model, input_tensors=keras.Input((*side, model.input.shape[-1]))
    )
    return [
        (
            2.0 * float(np.prod(layer.output.shape[1:3])) * float(np.prod(layer.kernel.shape)),
            layer.input is shapes.input,
        )
        for layer in shapes.layers
        if isinstance(layer, keras.layers.Conv2D)
    ]


def report(
    table: pd.DataFrame, features_s: float, trunk_floor_s: float, rates: dict[str, float]
) -> None:
    """Print what the trials cost together; the features are paid once."""
    print(table.round(3).to_string(index=False))
    print(f"features {features_s:.1f} s (floor {trunk_floor_s:.1f} s)")
    print({name: f"{rate / GIGA:.0f} GFLOP/s" for name, rate in rates.items()})
    for deepest in sorted({min(2, table["depth"].max()), table["depth"].max()}):
        part = table[table["depth"] <= deepest]
        naive, ours = part["naive_s"].sum(), part["ours_s"].sum() + features_s
        floor = part["floor_s"].sum() + trunk_floor_s
        gap = part["ours_loss"].min() - part["naive_loss"].min()
        print(
            f"depths 0-{deepest}: naive {naive:.0f} s, ours {ours:.0f} s, "
            f"ratio {naive / ours:.1f}, floor {floor:.0f} s (ours / floor {ours / floor:.2f}), "
            f"best objective ours minus naive {gap:+.4f}"
        )


if __name__ == "__main__":
    typer.run(main)
