"""The images that training and choosing may see: train and val, never test."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.imaging.augment import AugmentParams, variants
from brain_tumor.imaging.records import load_images
from brain_tumor.model.phase import Rows


@dataclass(frozen=True)
class TrainingData:
    """Images and which of them to fit and to stop by.

    Attributes:
        images: uint8 (N, size, size).
        labels: float32 (N,), 1 = tumour.
        train: int64 rows to fit.
        val: int64 rows to stop by.
    """

    images: NDArray[np.uint8]
    labels: NDArray[np.float32]
    train: Rows
    val: Rows


@dataclass(frozen=True)
class Development:
    """Training images, their augmented copies and validation images.

    Attributes:
        images: uint8 (N, size, size).
        rows: data frame of N rows with columns `source` (manifest path of the image a row is, or
            is a copy of), `label` (`no` or `yes`), `split` (`train` or `val`), `copy` (bool).
    """

    images: NDArray[np.uint8]
    rows: pd.DataFrame

    def holdout(self) -> TrainingData:
        """Fit the training split with its copies, stop by the validation split."""
        return self._data((self.rows["split"] == "val").to_numpy())

    def folds(self, clusters: pd.Series, count: int, seed: int) -> Iterator[TrainingData]:
        """Yield `count` ways to hold out a part of the originals; no cluster is divided.

        Args:
            clusters: name of each image's cluster, indexed by manifest path.
            count: number of folds.
            seed: of the assignment, which is stratified by class.

        Raises:
            ValueError: a class has fewer clusters than there are folds.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        originals = self.rows[~self.rows["copy"]]
        groups = clusters.loc[originals["source"]].to_numpy()
        fewest = int(pd.Series(groups).groupby(originals["label"].to_numpy()).nunique().min())
        if fewest < count:
            raise ValueError(
                f"tune.folds is {count}, but a class has only {fewest} groups of images in train "
                "and val; lower it"
            )
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        for _, held in splitter.split(originals, originals["label"], groups):
            if originals["label"].iloc[held].nunique() < 2:
                raise ValueError(f"tune.folds is {count}: a fold has images of one class; lower it")
            sources = set(originals["source"].iloc[held])
            yield self._data(self.rows["source"].isin(sources).to_numpy())

    def with_copies_of_val(self, params: AugmentParams) -> "Development":
        """Validation images get copies too, so that they can be training images of a fold."""
        val = self.rows[(self.rows["split"] == "val") & ~self.rows["copy"]]
        copies = [
            copy
            for row, path in zip(val.index, val["source"], strict=True)
            for copy in variants(self.images[row], path, params)
        ]
        if not copies:
            return self
        rows = val.loc[val.index.repeat(params.copies)].assign(copy=True)
        return replace(
            self,
            images=np.concatenate([self.images, np.stack(copies)]),
            rows=pd.concat([self.rows, rows], ignore_index=True),
        )

    def _data(self, held_out: NDArray[np.bool_]) -> TrainingData:
        copies = self.rows["copy"].to_numpy()
        labels = (self.rows["label"] == "yes").to_numpy().astype(np.float32)
        train, val = np.flatnonzero(~held_out), np.flatnonzero(held_out & ~copies)
        return TrainingData(self.images, labels, train.astype(np.int64), val.astype(np.int64))


def read_development(split: Path, images: Path, augmented: Path, records: Path) -> Development:
    """Read training images with their augmented copies and validation images; never test images.

    Args:
        split: split.csv.
        images: folder of preprocessed images.
        augmented: folder of augmented copies.
        records: the copies' records.csv.

    Raises:
        StoredImageError: an image is missing or unreadable.
    """
    table, copies = pd.read_csv(split), pd.read_csv(records)
    originals = table[table["split"].isin(["train", "val"])].sort_values("split", kind="stable")
    columns = ["source", "label", "split", "copy"]
    rows = [
        originals.assign(source=originals["path"], copy=False)[columns],
        copies.assign(split="train", copy=True)[columns],
    ]
    stacked = [
        load_images(images, list(originals["path"])),
        load_images(augmented, list(copies["path"])),
    ]
    return Development(
        np.concatenate([part for part in stacked if len(part)]),
        pd.concat([part for part in rows if len(part)], ignore_index=True),
    )
