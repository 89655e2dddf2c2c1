"""What a registered model brings: the folder it is loaded from, and the profile of its images.

The profile is a table of statistics and the network's features. It is written when the model is
evaluated, so that images that come later can be compared with those it was made from.
"""

import hashlib
import json
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from brain_tumor.errors import UserError
from brain_tumor.files import read_artefact, reading, replacing, write_json, write_text
from brain_tumor.imaging.brain import network_digest as brain_network_digest
from brain_tumor.model.saved import META_FILE, NETWORK_FILE, load
from brain_tumor.model.saved import digest as model_digest
from brain_tumor.outputs import EXPORTED, PROFILE_FILES, read_table, write_table
from brain_tumor.settings import PreprocessParams, Section

PREPROCESS_FILE = "preprocess.json"
# The network for the fast engine, and what training images look like.
FAST_FILE, FAMILIARITY_FILE = EXPORTED
FILES = (NETWORK_FILE, META_FILE, PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)
CONTENT_FILE = "bundle.json"  # what the others hold
# Not the network's own file: the bytes of `.keras` files differ at every save.
_HASHED = (PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)

PROFILE_FOLDER = "profile"  # of a registered model, beside the bundle
PROFILE_PATHS = tuple(f"{PROFILE_FOLDER}/{name}" for name in PROFILE_FILES)
_TABLE_FILE, _FEATURES_FILE = PROFILE_FILES
KEYS: Final = {"path": "str", "sha256": "str", "label": "str", "split": "str", "cluster": "str"}


def sources(model: Path, model_json: Path, export: Path) -> list[Path]:
    """The files that stages leave for a bundle; `export` is the folder of stage export."""
    return [model, model_json, *(export / name for name in EXPORTED)]


def write(folder: Path, files: Iterable[Path], preprocess: PreprocessParams) -> str:
    """Make a bundle of `files` (see `sources`) and the preprocessing; its digest."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in files:
        shutil.copyfile(source, folder / source.name)
    write_text(folder / PREPROCESS_FILE, preprocess.model_dump_json(indent=2) + "\n")
    return seal(folder, model_digest(load(folder)))


class DamagedError(UserError):
    """A bundle lacks a file, or holds another than the one that was registered."""


Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Content(Section):
    """What a bundle holds: `bundle.json`.

    Attributes:
        weights: SHA-256 of the network's weights and description (see `saved.digest`).
        brain_network: SHA-256 of what finds the brain (see `imaging.brain.network_digest`). It is
            part of the code and not of the bundle, but decides what the network is shown.
        files: SHA-256 of each of `FILES`.
    """

    weights: Sha256
    brain_network: Sha256
    files: dict[str, Sha256]

    @property
    def digest(self) -> str:
        """SHA-256 (64 hexadecimal digits) of all that decides a prediction."""
        sha = hashlib.sha256(self.weights.encode())
        for value in (self.brain_network, *(self.files[name] for name in _HASHED)):
            sha.update(bytes.fromhex(value))
        return sha.hexdigest()

    @property
    def sha256(self) -> str:
        """SHA-256 of all that is said here, as canonical JSON."""
        return hashlib.sha256(json.dumps(self.model_dump(), sort_keys=True).encode()).hexdigest()


def seal(folder: Path, weights: str) -> str:
    """Write `bundle.json` for the files that lie in a bundle, `weights` as in `Content`.

    Returns:
        The digest of the bundle.
    """
    present = [name for name in FILES if (folder / name).is_file()]
    content = Content(
        weights=weights,
        brain_network=brain_network_digest(),
        files={name: _sha256(folder / name) for name in present},
    )
    write_json(folder / CONTENT_FILE, content.model_dump())
    return content.digest


def read_content(folder: Path) -> Content:
    """Read what a bundle holds.

    Raises:
        DamagedError: it has no readable `bundle.json`.
    """
    try:
        return read_artefact(folder / CONTENT_FILE, Content, _REMEDY)
    except UserError as error:
        raise DamagedError(str(error)) from error


def check(folder: Path, names: Iterable[str] = FILES) -> Content:
    """Check files of a bundle against `bundle.json`, which is returned.

    Raises:
        DamagedError: a file is missing or is not the one that was registered.
    """
    content = read_content(folder)
    for name in names:
        path = folder / name
        if not path.is_file():
            raise DamagedError(f"{path}: missing; {_REMEDY}")
        if _sha256(path) != content.files.get(name):
            raise DamagedError(f"{path}: not the file that {CONTENT_FILE} describes; {_REMEDY}")
    return content


def is_aligned_alike(folder: Path) -> bool:
    """Whether this code finds the brain by the network that a bundle's model was trained with."""
    path = folder / CONTENT_FILE
    return path.is_file() and read_content(folder).brain_network == brain_network_digest()


_REMEDY = "pull the model again; in the store `brain-tumor registry sync` restores it"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


_EVALUATE = "run `dvc repro evaluate`"


@dataclass(frozen=True)
class Profile:
    """Images as a model sees them.

    Attributes:
        table: a row per image: `KEYS`, the fields of `ImageStatistics`, and `probability`.
        features: float32 (images, channels), in the order of the rows: the global average of the
            feature maps the head sits on.
    """

    table: pd.DataFrame
    features: NDArray[np.float32]

    def save(self, folder: Path) -> None:
        """Write both files into `folder`, each whole or not at all."""
        write_table(folder / _TABLE_FILE, self.table)
        with replacing(folder / _FEATURES_FILE) as aside:
            np.save(aside, self.features)

    @classmethod
    def load(cls, folder: Path) -> "Profile":
        """Read a profile.

        Raises:
            UserError: a file is missing or unreadable, or the two do not belong together.
        """
        table = read_table(folder / _TABLE_FILE, KEYS, dtype=KEYS, keep_default_na=False)
        path = folder / _FEATURES_FILE
        with reading(path, _EVALUATE):
            features = np.load(path, allow_pickle=False)
        if features.ndim != 2 or features.dtype != np.float32 or len(table) != len(features):
            raise UserError(
                f"{path}: {features.dtype} {features.shape}, but {_TABLE_FILE} has {len(table)} "
                f"images: float32 (images, channels) is needed; {_EVALUATE}"
            )
        return cls(table, features)
