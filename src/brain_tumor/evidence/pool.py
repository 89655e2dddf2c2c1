"""Every image with its copies, so that any assignment to folds can use them."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.dataset.groups import clusters
from brain_tumor.model.development import Development
from brain_tumor.outputs import load_images
from brain_tumor.settings import POSITIVE, AugmentParams


@dataclass(frozen=True)
class Pool:
    """Every image with its copies, so that any assignment to folds can use them.

    Attributes:
        images: uint8 (N * (1 + copies), size, size).
        rows: for each of them `source` (manifest path of the image it is, or is a copy of),
            `label` (`no` or `yes`), `copy` (bool) and `cluster` (what is never divided). A copy
            whose source is not among the images is a phantom: it always trains.
    """

    images: NDArray[np.uint8]
    rows: pd.DataFrame


def read_pool(manifest: pd.DataFrame, images: Path, params: AugmentParams) -> Pool:
    """Read preprocessed images and make their copies, each by seed, path and number alone.

    Args:
        manifest: see `dataset.manifest`; the order of its rows does not matter.
        images: folder of preprocessed images.
        params: section `augment`.

    Raises:
        StoredImageError: an image is missing or unreadable.
    """
    table = manifest.sort_values("path", ignore_index=True)
    rows = pd.DataFrame(
        {
            "source": table["path"],
            "label": table["label"],
            "split": "val",  # whose images get copies
            "copy": False,
            "cluster": clusters(table).loc[table["path"]].to_numpy(),
        }
    )
    pixels = load_images(images, list(table["path"]))
    whole = Development(pixels, rows).with_copies_of_val(params)
    return Pool(whole.images, whole.rows.drop(columns="split"))


def with_phantoms(pool: Pool, augmented: Path, records: Path) -> Pool:
    """Add the phantoms that stage augment made: they train in every fold, and are never unseen.

    Args:
        pool: the images and their copies.
        augmented: folder of stage augment's images.
        records: its records.csv; a phantom is its own source there.

    Raises:
        StoredImageError: a phantom is missing or unreadable.
    """
    table = pd.read_csv(records, dtype=str, keep_default_na=False)
    table = table[table["source"] == table["path"]].sort_values("path")
    if table.empty:
        return pool
    rows = table[["source", "label"]].assign(copy=True, cluster=table["source"])
    return Pool(
        np.concatenate([pool.images, load_images(augmented, list(table["path"]))]),
        pd.concat([pool.rows, rows], ignore_index=True),
    )


def is_tumour(labels: pd.Series) -> NDArray[np.int64]:
    """1 for `yes`, 0 for `no`, int64 (N,)."""
    return np.asarray(labels == POSITIVE, dtype=np.int64)


def originals(pool: Pool) -> pd.DataFrame:
    """Rows of the images themselves, not of their copies; the index is their place in the pool."""
    return pool.rows[~pool.rows["copy"].to_numpy(np.bool_)]
