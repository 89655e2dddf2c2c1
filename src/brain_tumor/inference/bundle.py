"""The folder a classifier is loaded from: network, atlas and preprocessing, by fixed names."""

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from brain_tumor.errors import UserError
from brain_tumor.files import read_artefact, write_text
from brain_tumor.model.saved import META_FILE, NETWORK_FILE, load
from brain_tumor.model.saved import digest as model_digest
from brain_tumor.outputs import EXPORTED
from brain_tumor.settings import PreprocessParams

ATLAS_FILE = "atlas.npz"
PREPROCESS_FILE = "preprocess.json"
# The network for the fast engine, and what training images look like.
FAST_FILE, FAMILIARITY_FILE = EXPORTED
FILES = (NETWORK_FILE, META_FILE, ATLAS_FILE, PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)
# Not the network's own file: the bytes of `.keras` files differ at every save.
_HASHED = (ATLAS_FILE, PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)


def sources(model: Path, model_json: Path, atlas: Path, export: Path) -> list[Path]:
    """What the stages leave for a bundle, beside the preprocessing.

    Args:
        model: the network.
        model_json: what it is.
        atlas: the atlas.
        export: folder of stage export.
    """
    return [model, model_json, atlas, *(export / name for name in EXPORTED)]


def write(folder: Path, files: Iterable[Path], preprocess: PreprocessParams) -> None:
    """Collect a bundle in `folder`.

    Args:
        folder: where to; made when missing.
        files: all of `FILES` but the preprocessing, anywhere, under these names (see `sources`).
        preprocess: section `preprocess` the model was trained with.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for source in files:
        shutil.copyfile(source, folder / source.name)
    write_text(folder / PREPROCESS_FILE, preprocess.model_dump_json(indent=2) + "\n")


def check(folder: Path) -> None:
    """Raise ValueError if a bundle is older than stage export; it names what is missing."""
    missing = [name for name in EXPORTED if not (folder / name).is_file()]
    if missing:
        raise UserError(
            f"{folder}: has no {', '.join(missing)}; a model registered by an earlier version of "
            "this project lacks what came later: run `dvc repro` to register it anew"
        )


def load_preprocess(folder: Path) -> PreprocessParams:
    """The preprocessing of a bundle.

    Raises:
        UserError: it is missing or unreadable.
    """
    return read_artefact(folder / PREPROCESS_FILE, PreprocessParams)


def digest(folder: Path) -> str:
    """SHA-256 of all that decides a prediction: weights, description, atlas, preprocessing, ….

    Returns:
        64 hexadecimal digits.
    """
    sha = hashlib.sha256(model_digest(load(folder)).encode())
    for name in _HASHED:
        sha.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return sha.hexdigest()


def digest_of(files: Iterable[Path], preprocess: PreprocessParams) -> str:
    """The digest of the bundle that `write` would make of these."""
    with tempfile.TemporaryDirectory() as temporary:
        write(Path(temporary), files, preprocess)
        return digest(Path(temporary))
