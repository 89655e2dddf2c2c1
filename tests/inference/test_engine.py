"""The fast engine says what Keras says, without TensorFlow."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from brain_tumor.inference.bundle import FAST_FILE
from brain_tumor.inference.engine import KerasEngine, OnnxEngine, load_engine
from brain_tumor.inference.export import (
    COMPARED,
    TOLERANCE,
    Graph,
    compare,
    compared,
    export_network,
    walk,
)
from brain_tumor.model import saved
from brain_tumor.model.explain import Explainer, Explanation
from brain_tumor.model.network import Head
from tests.inference.toy import SIZE_PX, toy_meta, toy_network
from tests.model.networks import decided_network, images, logit

WATCHED = """
import json, sys
from pathlib import Path
import numpy as np
from brain_tumor.inference.engine import load_engine
pixels = np.random.default_rng(1).integers(0, 256, (3, 75, 75), dtype=np.uint8)
seen = load_engine(Path(sys.argv[1]), "fast", threads=1).see(pixels)
loaded = [name for name in ("tensorflow", "keras", "onnx", "tf2onnx") if name in sys.modules]
print(json.dumps([loaded, seen.probability.tolist()]))
"""


def save_model(folder: Path, network: Any) -> saved.SavedModel:
    saved.save(folder, network, toy_meta(network.count_params()))
    return saved.load(folder)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle folder as far as engines need it."""
    folder = tmp_path_factory.mktemp("bundle")
    export_network(save_model(folder, toy_network()), folder / FAST_FILE)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(("head", "block", "tuned"), [("gap", 10, 1), ("paper", 3, 0)])
def test_inception_says_the_same_in_both_engines(
    random_weights: Path, tmp_path: Path, head: Head, block: int, tuned: int
) -> None:
    pixels = images(35)
    model = save_model(tmp_path, decided_network(random_weights, head, block, tuned).whole)
    agreement = export_network(model, tmp_path / FAST_FILE, pixels)
    assert agreement.images == 35
    assert max(agreement.probability, agreement.features, agreement.contributions) < 1e-4
    keras = load_engine(tmp_path, "keras").see(pixels)
    fast = load_engine(tmp_path, "fast", threads=1).see(pixels)
    assert keras.probability.std() > 0.1
    np.testing.assert_allclose(fast.probability, keras.probability, atol=1e-4)
    bias = Explainer(model.network).bias
    added = fast.contributions.sum(axis=(1, 2), dtype=np.float64) + bias
    np.testing.assert_allclose(added, logit(fast.probability), atol=1e-4)


@pytest.mark.slow
def test_fast_engine_runs_without_tensorflow_and_says_nothing_else(toy: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", WATCHED, str(toy)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    loaded, probability = json.loads(result.stdout)
    assert loaded == []
    expected = KerasEngine(saved.load(toy).network).see(images(3)).probability
    np.testing.assert_allclose(probability, expected, atol=1e-5)


@pytest.mark.slow
def test_engines_agree_in_names_types_and_shapes_whatever_the_number_of_images(toy: Path) -> None:
    keras, fast = load_engine(toy, "keras"), load_engine(toy, "fast")
    assert (keras.name, fast.name) == ("keras", "onnxruntime")
    for count in (0, 1, 33):
        expected, exported = keras.see(images(count)), fast.see(images(count))
        for field in ("probability", "features", "contributions"):
            values, reference = getattr(exported, field), getattr(expected, field)
            assert (values.dtype, values.shape) == (reference.dtype, reference.shape)
            np.testing.assert_allclose(values, reference, atol=1e-4)
    for engine in (keras, fast):
        with pytest.raises(ValueError, match="images are float64"):
            engine.see(np.zeros((1, SIZE_PX, SIZE_PX)))  # type: ignore[arg-type]


@pytest.mark.slow
def test_the_same_network_is_written_as_the_same_bytes(toy: Path, tmp_path: Path) -> None:
    export_network(saved.load(toy), tmp_path / FAST_FILE)
    assert (tmp_path / FAST_FILE).read_bytes() == (toy / FAST_FILE).read_bytes()


@pytest.mark.slow
def test_network_with_an_unknown_layer_is_refused_and_leaves_the_old_file(tmp_path: Path) -> None:
    import keras

    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    turned = keras.layers.Permute((2, 1, 3), name="turned")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(turned)
    network = keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))
    (tmp_path / FAST_FILE).write_bytes(b"old")
    with pytest.raises(ValueError, match="layer turned is a Permute; export knows Activation"):
        export_network(save_model(tmp_path, network), tmp_path / FAST_FILE)
    assert (tmp_path / FAST_FILE).read_bytes() == b"old"


def layers_agree(layer: Any, other: Any) -> None:
    """A network of these layers says the same in Keras and ONNX Runtime."""
    import keras
    import onnxruntime
    from onnx import TensorProto, helper

    inputs = keras.Input((12, 16, 3))
    outputs = keras.layers.Concatenate()([layer(other(inputs)), inputs])
    network = keras.Model(inputs, outputs)
    graph = Graph()
    graph.add("Identity", [walk(graph, network, "maps")], "answer")
    taken = helper.make_tensor_value_info("maps", TensorProto.FLOAT, ("N", 3, 12, 16))
    written = graph.model(taken, {"answer": ("N", *(outputs.shape[axis] for axis in (3, 1, 2)))})
    session = onnxruntime.InferenceSession(
        written.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    maps = np.random.default_rng(4).normal(0, 1, (2, 12, 16, 3)).astype(np.float32)
    (answer,) = session.run(None, {"maps": maps.transpose(0, 3, 1, 2)})
    expected = np.asarray(network(maps)).transpose(0, 3, 1, 2)
    assert answer.shape == expected.shape
    np.testing.assert_allclose(answer, expected, atol=1e-5)


@pytest.mark.slow
def test_enlarged_maps_are_written_as_keras_enlarges_them() -> None:
    import keras

    layers_agree(keras.layers.UpSampling2D((2, 4)), keras.layers.MaxPooling2D((2, 4)))
    shrunk = keras.layers.AveragePooling2D(3, strides=2, padding="same")
    layers_agree(keras.layers.UpSampling2D(2), shrunk)
    with pytest.raises(ValueError, match=r"layer smooth: bilinear; export knows nearest"):
        layers_agree(
            keras.layers.UpSampling2D(2, interpolation="bilinear", name="smooth"),
            keras.layers.MaxPooling2D(2),
        )


@pytest.mark.slow
def test_pooled_maps_are_written_as_keras_pools_them() -> None:
    import keras

    pooled = keras.layers.GlobalAveragePooling2D(keepdims=True)
    layers_agree(keras.layers.UpSampling2D((12, 16)), pooled)
    flat = keras.layers.GlobalAveragePooling2D(name="flat")
    inputs = keras.Input((12, 16, 3))
    with pytest.raises(ValueError, match=r"layer flat drops axes; export knows keepdims=True"):
        walk(Graph(), keras.Model(inputs, flat(inputs)), "maps")


SEEN = Explanation(
    np.array([0.5]), np.full((1, 3), 10, np.float32), np.full((1, 2, 2), -4, np.float32)
)


@pytest.mark.parametrize(
    "other",
    [
        replace(SEEN, probability=np.array([0.502])),
        replace(SEEN, features=SEEN.features * np.float32(1.01)),
        replace(SEEN, contributions=SEEN.contributions * np.float32(1.01)),
        replace(SEEN, probability=np.array([np.nan])),
    ],
    ids=["probability", "features", "contributions", "nan"],
)
def test_a_difference_in_any_output_is_an_error(other: Explanation) -> None:
    assert compare(SEEN, replace(SEEN, probability=np.array([0.5 + TOLERANCE / 2]))).images == 1
    with pytest.raises(ValueError, match=r"the exported network's \w+ is"):
        compare(SEEN, other)


def test_nothing_to_compare_is_an_error() -> None:
    none = Explanation(SEEN.probability[:0], SEEN.features[:0], SEEN.contributions[:0])
    with pytest.raises(ValueError, match="no images to compare"):
        compare(none, none)


def test_missing_or_damaged_fast_network_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=rf"{FAST_FILE}: no network for the fast engine"):
        load_engine(tmp_path, "fast")
    (tmp_path / FAST_FILE).write_bytes(b"no network")
    with pytest.raises(ValueError, match=rf"{FAST_FILE}: not a readable exported network"):
        OnnxEngine(tmp_path / FAST_FILE)


@pytest.mark.parametrize("images", [1, 2, 999, 1000, 1001, 60_000])
def test_both_are_compared_on_all_training_images_or_a_thousand_spread_evenly(images: int) -> None:
    chosen = compared(images)
    assert len(chosen) == len(set(chosen)) == min(images, COMPARED)
    assert (chosen[0], chosen[-1]) == (0, images - 1)
    assert np.ptp(np.diff(chosen)) <= 1 if images > 1 else True
