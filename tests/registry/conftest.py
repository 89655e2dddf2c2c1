"""Stage outputs of a tiny real model on a few drawn images, as the register stage finds them."""

import hashlib
import io
import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from ruamel.yaml import YAML

from brain_tumor.files import write_json
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.register import register
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking import connection
from tests import sections
from tests.small_project import ROOT

NAME = "brain-tumor-inceptionv3"
SIZE_PX = 75
PREPROCESS = sections.preprocess(normalisation="none", size_px=SIZE_PX)
Split = Callable[[int], str]
MakeOutputs = Callable[..., StageOutputs]


def picture(label: str, index: int) -> bytes:
    """A disc on black: even where there is a `yes`, getting darker to one side where not."""
    rng = np.random.default_rng([index, label == "yes"])
    y, x = np.mgrid[-1:1:100j, -1:1:100j]
    level = np.full((100, 100), 200.0) if label == "yes" else 110 + 100 * x
    image = np.where(x**2 + y**2 < 0.7, level + rng.normal(0, 12, (100, 100)), 0)
    buffer = io.BytesIO()
    # Every file is as large as the others: nothing is known of it without its picture.
    pixels = np.clip(image, 0, 255).astype(np.uint8)
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=0)
    return buffer.getvalue()


def thirds(index: int) -> str:
    """Which split the image of that index is in, by default."""
    return ("train", "val", "test")[index % 3]


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with nothing in it: copied, since making one takes seconds."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(root))
        connection.experiment_id(connection.make_and_connect())
    return root / "mlruns"


@pytest.fixture
def own_store(empty_store: Path, tmp_path: Path) -> None:
    """A store in `tmp_path`, where the environment of every test points."""
    shutil.copytree(empty_store, tmp_path / "mlruns")


@pytest.fixture(scope="session")
def registered_root(
    empty_store: Path,
    make_outputs: MakeOutputs,
    params: RegisterParams,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """Outputs of all stages and the store they are registered in; only to be copied."""
    root = tmp_path_factory.mktemp("registered")
    shutil.copytree(empty_store, root / "mlruns")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(root))
        outputs = make_outputs(root)
        register(outputs, PREPROCESS, params).write(outputs.registered)
    return root


@pytest.fixture
def registered(registered_root: Path, own_store: None, tmp_path: Path) -> StageOutputs:
    """Outputs in `tmp_path`, registered in the store there as version 1, the champion."""
    from mlflow.tracking._tracking_service import utils

    shutil.copytree(registered_root, tmp_path, dirs_exist_ok=True)
    connection.connect()  # which mends the paths of the copy
    utils._artifact_repos_cache.clear()  # by the id of a model, which all copies share
    return at(tmp_path)


@pytest.fixture(scope="session")
def params() -> RegisterParams:
    return RegisterParams(
        name=NAME,
        metric="balanced_accuracy",
        margin=0.025,
        min_images_per_class=2,
        force=False,
    )


@pytest.fixture(scope="session")
def make_outputs(tmp_path_factory: pytest.TempPathFactory) -> MakeOutputs:
    """Write the outputs of all stages before `register` below a folder.

    `slope` is how well the network tells the pictures apart: below 0 it is mistaken. `groups` has
    the group of each of the pictures of a class. The same arguments give copies of the same files,
    since making them takes seconds; with `anew` they are made again.
    """
    templates = tmp_path_factory.mktemp("outputs")
    folders: dict[tuple[object, ...], Path] = {}

    def make(
        root: Path,
        slope: float = 20.0,
        weights: str = "random",
        split: Split = thirds,
        groups: Sequence[int] = range(12),
        *,
        anew: bool = False,
    ) -> StageOutputs:
        key = (slope, weights, *map(split, range(len(groups))), *groups)
        if anew or key not in folders:
            folders[key] = templates / str(len(list(templates.iterdir())))
            write_outputs(at(folders[key]), slope, weights, split, groups)
        shutil.copytree(folders[key], root, copy_function=shutil.copy, dirs_exist_ok=True)
        return at(root)

    return make


def write_outputs(
    outputs: StageOutputs, slope: float, weights: str, split: Split, groups: Sequence[int]
) -> None:
    """See `make_outputs`."""
    write_data(outputs, split, groups)
    write_model(outputs, slope, weights)
    write_evaluation(outputs, split, len(groups))
    write_profile(outputs)
    write_export(outputs)
    write_report(outputs)


def at(root: Path) -> StageOutputs:
    relative = StageOutputs()
    return StageOutputs(**{name: root / path for name, path in vars(relative).items()})


def write_data(outputs: StageOutputs, split: Split, groups: Sequence[int]) -> None:
    manifest, placed = ["path,label,sha256,group"], ["path,label,split,group"]
    for label in ("no", "yes"):
        (outputs.data / label).mkdir(parents=True, exist_ok=True)
        for index, group in enumerate(groups):
            path, data = f"{label}/{index}.png", picture(label, index)
            (outputs.data / path).write_bytes(data)
            digest = hashlib.sha256(data).hexdigest()
            manifest.append(f"{path},{label},{digest},{label}{group}")
            placed.append(f"{path},{label},{split(index)},{label}{group}")
    outputs.manifest.parent.mkdir(parents=True, exist_ok=True)
    outputs.manifest.write_text("\n".join(manifest) + "\n", encoding="utf-8")
    outputs.split.write_text("\n".join(placed) + "\n", encoding="utf-8")
    yaml = YAML()
    document = yaml.load((ROOT / "params.yaml").read_text(encoding="utf-8"))
    document["preprocess"] |= {"normalisation": "none", "size_px": SIZE_PX}
    document["train"] |= {"seed": 1, "head_block": 0, "fine_tune_blocks": 0}
    document["train"] |= {"head_penalty": None, "learning_rate": 1e-3, "dropout": "tuned"}
    document["register"]["min_images_per_class"] = 2
    with outputs.params.open("w", encoding="utf-8") as file:
        yaml.dump(document, file)


def write_model(outputs: StageOutputs, slope: float, weights: str) -> None:
    import keras

    from brain_tumor.model import saved

    inputs = keras.Input((SIZE_PX, SIZE_PX, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(inputs)
    head = keras.layers.Dense(1, activation="sigmoid", name="head")
    network = keras.Model(inputs, head(pooled))
    head.set_weights([np.array([[slope]], "float32"), np.array([-0.55 * slope], "float32")])
    meta = saved.ModelMeta(
        head="gap",
        head_block=0,
        fine_tuned_blocks=0,
        size_px=SIZE_PX,
        threshold=0.5,
        initial_weights=weights,
        initial_weights_sha256="0" * 64,
        parameters=network.count_params(),
        seed=1,
    )
    saved.save_network(outputs.model, network)
    write_json(outputs.model_json, meta.model_dump())
    outputs.run.write_text(json.dumps({"run_id": "0" * 32}), encoding="utf-8")
    outputs.best.parent.mkdir(parents=True, exist_ok=True)
    outputs.best.write_text('{"study": "s", "trial": 3, "params": {"dropout": 0.25}}')
    outputs.history.write_text(
        "epoch,fine_tuning,loss,val_loss\n1,0.0,0.7,0.6\n2,0.0,0.5,0.55\n", encoding="utf-8"
    )


def write_evaluation(outputs: StageOutputs, split: Split, count: int) -> None:
    from brain_tumor.imaging.preprocess import preprocess_image
    from brain_tumor.model import saved

    network = saved.load_network(outputs.model)
    rows = ["path,label,split,probability"]
    for label in ("no", "yes"):
        data = [picture(label, index) for index in range(count)]
        images = np.stack([preprocess_image(item, PREPROCESS).image for item in data])
        for index, value in enumerate(saved.predict_proba(network, images)):
            rows.append(f"{label}/{index}.png,{label},{split(index)},{float(value)!r}")
    outputs.predictions.write_text("\n".join(rows) + "\n", encoding="utf-8")
    figure = {"accuracy": {"value": 0.75, "low": 0.5, "high": 0.9}, "auroc": {"value": 0.8}}
    figures = dict.fromkeys(("val", "test"), figure) | {"train": {"accuracy": {"value": 0.9}}}
    outputs.evaluation.mkdir(parents=True, exist_ok=True)
    outputs.metrics.write_text(json.dumps(figures), encoding="utf-8")
    for name in ("val", "test"):
        (outputs.evaluation / f"confusion_{name}.png").write_bytes(b"picture")
        matrix = {"labels": ["no", "yes"], "matrix": [[4, 0], [2, 2]]}
        (outputs.evaluation / f"confusion_{name}.json").write_text(json.dumps(matrix))


def write_profile(outputs: StageOutputs) -> None:
    """What stage evaluate leaves of the images' looks."""
    import pandas as pd

    from brain_tumor.inference.bundle import KEYS, Profile
    from brain_tumor.inference.classifier import describe
    from brain_tumor.inference.engine import KerasEngine
    from brain_tumor.model import saved

    split = pd.read_csv(outputs.split)
    hashes = pd.read_csv(outputs.manifest).set_index("path")["sha256"]
    table = split.assign(sha256=hashes.loc[split["path"]].to_numpy(), cluster=split["group"])
    engine = KerasEngine(saved.load_network(outputs.model))
    data = [(outputs.data / path).read_bytes() for path in table["path"]]
    rows, features = describe(engine, PREPROCESS, data)
    Profile(table[[*KEYS]].join(pd.DataFrame(rows)), features).save(outputs.profile)


def write_export(outputs: StageOutputs) -> None:
    """What stage export leaves: the network for the fast engine, what training images look like."""
    from brain_tumor.inference.bundle import FAMILIARITY_FILE, FAST_FILE, Profile
    from brain_tumor.inference.export import export_network
    from brain_tumor.inference.familiarity import Familiarity
    from brain_tumor.model import saved

    profile = Profile.load(outputs.profile)
    clusters = profile.table["cluster"].to_numpy(str)
    familiarity = Familiarity.fit(profile.features, profile.table, clusters, sections.export())
    familiarity.save(outputs.export / FAMILIARITY_FILE)
    model = saved.load_parts(outputs.model, outputs.model_json)
    export_network(model, outputs.export / FAST_FILE)


def write_report(outputs: StageOutputs) -> None:
    """What stage report leaves: the card of the network as it is, and a page."""
    from brain_tumor.model.saved import read_meta
    from brain_tumor.report.card import CARD_FILE, CARD_TEXT, REGISTERED_REPORT_FILE, write_card
    from tests.report.cards import example_card

    metrics = json.loads(outputs.metrics.read_text(encoding="utf-8"))
    card = example_card(read_meta(outputs.model_json), metrics)
    write_card(outputs.report / CARD_FILE, card)
    (outputs.report / CARD_TEXT).write_text("card", encoding="utf-8")
    (outputs.report / REGISTERED_REPORT_FILE).write_text("<!DOCTYPE html>", encoding="utf-8")
