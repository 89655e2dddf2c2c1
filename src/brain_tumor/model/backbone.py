"""The weights that every training starts from, and where they came from."""

import hashlib
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

from brain_tumor.errors import UserError
from brain_tumor.files import replacing
from brain_tumor.outputs import InitialWeights
from brain_tumor.settings import LAST_BLOCK, BackboneParams

CONNECT_TIMEOUT_S = 15.0
FALLBACK_NOTE = (
    "ImageNet weights could not be reached, so training starts from random weights. "
    "With a connection: dvc repro -f backbone && dvc repro"
)


def prepare(
    path: Path, params: BackboneParams, download_model: Callable[[str], Path]
) -> InitialWeights:
    """Write the initial weights to `path`, a `.weights.h5` file.

    `download_model` fetches a `models:/…` URI and returns a folder with its `model.keras`.

    Raises:
        UserError: the source cannot be reached, read, or does not fit.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    keras.utils.clear_session()  # layer names, and so the file's bytes, start from the same count
    source, note, complete_to = params.source, "", LAST_BLOCK
    if source == "auto":
        try:
            backbone, source = _imagenet(), "imagenet"
        except ValueError as error:
            backbone, source = _random(params.seed), "random"
            note = f"{FALLBACK_NOTE} ({error})"
    elif source == "imagenet":
        backbone = _imagenet()
    elif source == "random":
        backbone = _random(params.seed)
    elif source.startswith("models:/"):
        backbone, complete_to = _registered(download_model(source), params.seed)
    else:
        backbone, source = _loaded(Path(source)), Path(source).name
    with replacing(path) as aside:
        backbone.save_weights(aside)
    requested = params.source if params.source in ("auto", "imagenet", "random") else source
    return InitialWeights(
        requested=requested,
        source=source,
        sha256=hashlib.sha256(path.read_bytes()).hexdigest(),
        complete_to_block=complete_to,
        note=note,
    )


def _imagenet() -> Any:
    """Keras's own ImageNet release; Keras checks the hash of what it downloads."""
    import keras

    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(CONNECT_TIMEOUT_S)
    try:
        return keras.applications.InceptionV3(include_top=False, weights="imagenet")
    except Exception as error:  # Keras wraps every network error in a bare Exception
        raise UserError(
            f"backbone.source is imagenet, but Keras's weights cannot be fetched: {error}. "
            "Connect once (they are kept in ~/.keras), or set backbone.source to a weights file"
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _random(seed: int) -> Any:
    import keras

    from brain_tumor.model.network import inception_v3

    keras.utils.set_random_seed(seed)
    return inception_v3()


def _loaded(path: Path) -> Any:
    from brain_tumor.model.network import load_inception_v3

    return load_inception_v3(path)


def _registered(folder: Path, seed: int) -> tuple[Any, int]:
    """The trunk of a model trained here; blocks above its head keep random weights."""
    from brain_tumor.model import saved

    model = saved.load(folder)
    backbone = _random(seed)
    trunks = [part for part in model.network.layers if part.name.endswith("_trunk")]
    sources = [layer for trunk in trunks for layer in trunk.layers if layer.get_weights()]
    targets = [layer for layer in backbone.layers if layer.get_weights()]
    for source, target in zip(sources, targets, strict=False):
        target.set_weights(source.get_weights())
    return backbone, model.meta.head_block
