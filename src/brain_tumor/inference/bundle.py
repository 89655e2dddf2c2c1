"""The folder a classifier is loaded from: network, atlas and preprocessing, by fixed names."""

import hashlib
import shutil
from pathlib import Path

from brain_tumor.atomic import write_text
from brain_tumor.imaging.preprocess_params import PreprocessParams
from brain_tumor.model.saved import META_FILE, NETWORK_FILE, load
from brain_tumor.model.saved import digest as model_digest

ATLAS_FILE = "atlas.npz"
PREPROCESS_FILE = "preprocess.json"
FILES = (NETWORK_FILE, META_FILE, ATLAS_FILE, PREPROCESS_FILE)


def write(folder: Path, model: Path, meta: Path, atlas: Path, preprocess: PreprocessParams) -> None:
    """Collect a bundle in `folder`.

    Args:
        folder: where to; made when missing.
        model: `model.keras`.
        meta: `model.json`.
        atlas: the atlas images are normalised to.
        preprocess: section `preprocess` the model was trained with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source, name in ((model, NETWORK_FILE), (meta, META_FILE), (atlas, ATLAS_FILE)):
        shutil.copyfile(source, folder / name)
    write_text(folder / PREPROCESS_FILE, preprocess.model_dump_json(indent=2) + "\n")


def digest(folder: Path) -> str:
    """SHA-256 of all that decides a prediction: weights, description, atlas, preprocessing.

    (The bytes of `.keras` files differ at every save, so the network counts by its weights.)

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(model_digest(load(folder)).encode())
    for name in (ATLAS_FILE, PREPROCESS_FILE):
        sha.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return sha.hexdigest()
