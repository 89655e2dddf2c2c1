"""A small real model in the folder MLflow would bring, and pictures for it."""

import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.files import write_text
from tests import sections

if TYPE_CHECKING:
    from brain_tumor.inference.engine import Engine
    from brain_tumor.model.saved import ModelMeta

SIZE_PX = 75
THRESHOLD = 0.6
NAME = "toy version 3"


def disc(brightness: float, kind: str = "PNG", side_px: int = 90) -> bytes:
    """An encoded picture of a disc that is brighter to the right."""
    buffer = io.BytesIO()
    Image.fromarray(disc_pixels(brightness, side_px)).save(buffer, kind)
    return buffer.getvalue()


def disc_pixels(brightness: float, side_px: int = 90) -> NDArray[np.uint8]:
    """The same as uint8 (side, 4 / 3 side)."""
    y, x = np.mgrid[-1 : 1 : side_px * 1j, -1 : 1 : side_px * 4 // 3 * 1j]
    grey = np.where(x**2 + y**2 < 0.7, brightness * (1 + x) / 2, 0)
    return grey.astype(np.uint8)


def toy_network() -> Any:
    """Grey (75, 75) to a probability: a convolution, the mean of its maps, a sigmoid unit."""
    import keras

    keras.utils.set_random_seed(0)
    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    maps = keras.layers.Conv2D(4, 5, strides=4, activation="relu")(inputs)
    pooled = keras.layers.GlobalAveragePooling2D()(maps)
    return keras.Model(inputs, keras.layers.Dense(1, activation="sigmoid")(pooled))


def toy_meta(parameters: int = 0, temperature: float | None = None) -> "ModelMeta":
    from brain_tumor.model.saved import ModelMeta

    return ModelMeta(
        head="gap",
        head_block=0,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
        threshold=THRESHOLD,
        initial_weights="random",
        initial_weights_sha256="0" * 64,
        parameters=parameters,
        seed=0,
        temperature=temperature,
    )


def write_model(root: Path, *, temperature: float | None = None) -> Path:
    """Write a model folder and return its bundle; discs of brightness 60 to 250 are familiar."""
    from brain_tumor.inference.bundle import FAST_FILE
    from brain_tumor.inference.engine import KerasEngine
    from brain_tumor.inference.export import export_network
    from brain_tumor.model import saved

    network = toy_network()
    folder = root / "artifacts" / "bundle"
    folder.mkdir(parents=True)
    saved.save(folder, network, toy_meta(network.count_params(), temperature))
    export_network(saved.load(folder), folder / FAST_FILE)
    write_surroundings(root, KerasEngine(network), {"intended_use": "Research only."})
    return folder


def write_surroundings(root: Path, engine: "Engine", facts: dict[str, Any]) -> None:
    """Write all of a model folder but the network: what it is used with, and its card."""
    from brain_tumor.inference import bundle
    from brain_tumor.inference.classifier import describe
    from brain_tumor.inference.familiarity import Familiarity

    folder = root / "artifacts" / "bundle"
    preprocess = sections.preprocess(normalisation="none", size_px=SIZE_PX)
    write_text(folder / bundle.PREPROCESS_FILE, preprocess.model_dump_json())
    familiar = [disc(level, side_px=side) for side in (80, 90, 100) for level in range(60, 250, 10)]
    rows, features = describe(engine, preprocess, familiar)
    clusters = np.arange(len(rows)).astype(str)
    familiarity = Familiarity.fit(features, pd.DataFrame(rows), clusters, sections.export())
    familiarity.save(folder / bundle.FAMILIARITY_FILE)
    bundle.seal(folder, weights="0" * 64)
    name, version = NAME.split(" version ")
    (root / "registered_model_meta").write_text(f"model_name: {name}\nmodel_version: '{version}'\n")
    (root / "MLmodel").write_text("{}\n", encoding="utf-8")
    (root / "MODEL_CARD.md").write_text("# Toy\n\n**Research only.**\n", encoding="utf-8")
    (root / "model_card.json").write_text(json.dumps(facts), encoding="utf-8")
