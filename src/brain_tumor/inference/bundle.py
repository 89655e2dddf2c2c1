"""What a registered model brings: the folder it is loaded from, and the profile of its images.

The profile is a table of statistics and the network's features. It is written when the model is
evaluated, so that images that come later can be compared with those it was made from.
"""

import hashlib
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import reading, replacing, write_text
from brain_tumor.imaging.brain import network_digest as brain_network_digest
from brain_tumor.model.saved import META_FILE, NETWORK_FILE, load
from brain_tumor.model.saved import digest as model_digest
from brain_tumor.outputs import EXPORTED, PROFILE_FILES, read_table
from brain_tumor.settings import PreprocessParams

PREPROCESS_FILE = "preprocess.json"
# The network for the fast engine, and what training images look like.
FAST_FILE, FAMILIARITY_FILE = EXPORTED
FILES = (NETWORK_FILE, META_FILE, PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)
# Not the network's own file: the bytes of `.keras` files differ at every save.
_HASHED = (PREPROCESS_FILE, FAST_FILE, FAMILIARITY_FILE)

PROFILE_FOLDER = "profile"  # of a registered model, beside the bundle
PROFILE_PATHS = tuple(f"{PROFILE_FOLDER}/{name}" for name in PROFILE_FILES)
_TABLE_FILE, _FEATURES_FILE = PROFILE_FILES
KEYS: Final = {"path": "str", "sha256": "str", "label": "str", "split": "str", "cluster": "str"}


def sources(model: Path, model_json: Path, export: Path) -> list[Path]:
    """The files that stages leave for a bundle; `export` is the folder of stage export."""
    return [model, model_json, *(export / name for name in EXPORTED)]


def write(folder: Path, files: Iterable[Path], preprocess: PreprocessParams) -> None:
    """Copy `files` (see `sources`) into a bundle folder and write the preprocessing beside them."""
    folder.mkdir(parents=True, exist_ok=True)
    for source in files:
        shutil.copyfile(source, folder / source.name)
    write_text(folder / PREPROCESS_FILE, preprocess.model_dump_json(indent=2) + "\n")


def digest(folder: Path) -> str:
    """SHA-256 (64 hexadecimal digits) of all in a bundle that decides a prediction."""
    sha = hashlib.sha256(model_digest(load(folder)).encode())
    sha.update(bytes.fromhex(brain_network_digest()))
    for name in _HASHED:
        sha.update(hashlib.sha256((folder / name).read_bytes()).digest())
    return sha.hexdigest()


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
        write_text(folder / _TABLE_FILE, self.table.to_csv(index=False, lineterminator="\n"))
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
