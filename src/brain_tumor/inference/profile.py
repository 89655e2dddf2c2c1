"""What the images of a model look like: a table of statistics and the network's features.

It is written when the model is evaluated and travels with it, so that images that come later can
be compared with those it was made from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import replacing, write_text
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import Record
from brain_tumor.imaging.statistics import image_statistics
from brain_tumor.outputs import PROFILE_FILES as FILES

TABLE_FILE, FEATURES_FILE = FILES
FOLDER = "profile"  # of a registered model
IN_MODEL = tuple(f"{FOLDER}/{name}" for name in FILES)
KEYS: Final = {"path": "str", "sha256": "str", "label": "str", "split": "str", "cluster": "str"}


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
        write_text(folder / TABLE_FILE, self.table.to_csv(index=False, lineterminator="\n"))
        with replacing(folder / FEATURES_FILE) as aside:
            np.save(aside, self.features)

    @classmethod
    def load(cls, folder: Path) -> "Profile":
        """Read a profile.

        Raises:
            UserError: a file is missing or unreadable, or the two do not belong together.
        """
        try:
            table = pd.read_csv(folder / TABLE_FILE, dtype=KEYS, keep_default_na=False)
            features = np.load(folder / FEATURES_FILE, allow_pickle=False)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: no readable profile of a model: {error}") from error
        missing = set(KEYS) - set(table)
        if missing or len(table) != len(features):
            raise UserError(
                f"{folder}: a profile of {len(table)} images and {len(features)} rows of features"
                f", columns {sorted(missing)} missing"
            )
        return cls(table, features)


def statistics_table(
    paths: Iterable[str],
    images: NDArray[np.uint8],
    records: Path,
    manifest: pd.DataFrame,
    atlas: Atlas,
) -> pd.DataFrame:
    """Statistics of stored images, a row per path, in order.

    Args:
        paths: manifest paths.
        images: the stored images, uint8 (paths, size, size).
        records: records.csv of stage preprocess.
        manifest: holds the size of each raw file.
        atlas: the images were normalised to.

    Raises:
        UserError: `records` lacks an image.
    """
    table = pd.read_csv(records, dtype=str, keep_default_na=False).set_index("path")
    sizes = manifest.set_index("path")["bytes"]
    rows = []
    for path, image in zip(paths, images, strict=True):
        if path not in table.index:
            raise UserError(f"{records}: has no row for {path}; run `dvc repro`")
        record = Record.from_row({str(key): text for key, text in table.loc[path].items()})
        rows.append(image_statistics(image, record, int(sizes[path]), atlas).row())
    return pd.DataFrame(rows)
