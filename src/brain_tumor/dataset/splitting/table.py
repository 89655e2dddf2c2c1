"""split.csv: which image is in which split, and a summary of it in numbers."""

from pathlib import Path
from typing import Final

import pandas as pd

from brain_tumor.atomic import write_text
from brain_tumor.settings import LABELS

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VAL, TEST)
SPLIT_COLUMNS: Final = ("path", "label", "split", "group")


def write_split(path: Path, table: pd.DataFrame) -> None:
    """Write columns path, label, split, group as CSV (UTF-8), whole or not at all."""
    write_text(path, table[list(SPLIT_COLUMNS)].to_csv(index=False, lineterminator="\n"))


def read_split(path: Path) -> pd.DataFrame:
    """Read columns path, label, split (train, val, test), group; all are texts.

    Raises:
        ValueError: columns are missing.
    """
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    missing = [column for column in SPLIT_COLUMNS if column not in table]
    if missing:
        raise ValueError(f"{path}: columns {missing} are missing, received {list(table)}")
    return table[list(SPLIT_COLUMNS)]


def summarise(table: pd.DataFrame, manifest: pd.DataFrame) -> dict[str, object]:
    """Count images and groups per split, and twins across splits.

    Returns:
        `images`, `no`, `yes` and `groups` of each split, and `twins_in_train`: images of val and of
        test that have a (near-)duplicate in train, 0 unless duplicates may be split.
    """
    duplicates = manifest.set_index("path")["group"].reindex(table["path"]).to_numpy()
    trained = set(duplicates[(table["split"] == TRAIN).to_numpy()])
    twins = pd.Series([group in trained for group in duplicates], index=table.index)
    summary: dict[str, object] = {}
    for part in SPLITS:
        rows = table[table["split"] == part]
        classes = {label: int((rows["label"] == label).sum()) for label in LABELS}
        summary[part] = {"images": len(rows), **classes, "groups": rows["group"].nunique()}
    summary["twins_in_train"] = {
        part: int(twins[table["split"] == part].sum()) for part in SPLITS if part != TRAIN
    }
    return summary
