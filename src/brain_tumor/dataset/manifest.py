"""The manifest: one row per image, with what every later stage needs to know of the file."""

from pathlib import Path
from typing import Final

import pandas as pd

from brain_tumor.atomic import write_text

# Column: type. Texts are never missing; an unknown patient is "".
COLUMNS: Final = {
    "path": "str",
    "label": "str",
    "format": "str",
    "mode": "str",
    "width": "int64",
    "height": "int64",
    "bytes": "int64",
    "sha256": "str",
    "dhash": "str",
    "patient": "str",
    "group": "str",
}


def write_manifest(path: Path, manifest: pd.DataFrame) -> None:
    """Write the manifest as CSV (UTF-8, rows as given), whole or not at all."""
    write_text(path, manifest.to_csv(index=False, lineterminator="\n"))


def read_manifest(path: Path) -> pd.DataFrame:
    """Read a manifest with the types of `COLUMNS` (`patient` is "" where unknown).

    Raises:
        ValueError: columns are missing.
    """
    manifest = pd.read_csv(path, dtype=COLUMNS, keep_default_na=False)
    missing = [column for column in COLUMNS if column not in manifest]
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing, received {list(manifest)}")
    return manifest[list(COLUMNS)]
