"""The images that training and choosing may see: train and val, never test."""

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.imaging.augment import augmented, copy_names
from brain_tumor.machine import host, repository_root
from brain_tumor.outputs import (
    AUGMENTED_IMAGES,
    AUGMENTED_RECORDS,
    IMAGES,
    SPLIT,
    read_table,
)
from brain_tumor.settings import AugmentParams
from brain_tumor.shards import ImageRows, concatenate, open_images, take, write_aside

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class TrainingData:
    """Images and which of them to fit and to stop by.

    Attributes:
        images: uint8 (N, size, size).
        labels: float32 (N,), 1 = tumour.
        train: int64 rows to fit.
        val: int64 rows to stop by.
        sources: int64 (N,), equal for an image and its copies; None: every row is on its own.
        phantoms: bool (N,), the rows that show a phantom; None: no row does.
    """

    images: ImageRows
    labels: NDArray[np.float32]
    train: Rows
    val: Rows
    sources: Rows | None = None
    phantoms: NDArray[np.bool_] | None = None

    def weights(self, phantom_weight: float) -> NDArray[np.float32]:
        """How much each row counts in training, float32 (N,): phantoms as given, others 1."""
        weights = np.ones(len(self.labels), np.float32)
        if self.phantoms is not None:
            weights[self.phantoms] = phantom_weight
        return weights

    def draw(self, rng: np.random.Generator, phantom_weight: float) -> Rows:
        """Rows for an epoch of fine-tuning, in random order.

        Of the most copied images one row each, as it is or a copy, and of the others so many that
        every row has the same chance: of images with four copies one of five rows. A phantom has
        the chance of such a row times `phantom_weight`.
        """
        sources = np.arange(len(self.labels)) if self.sources is None else self.sources
        mixed = rng.permutation(self.train)
        is_phantom = np.zeros(len(mixed), bool) if self.phantoms is None else self.phantoms[mixed]
        images, phantoms = mixed[~is_phantom], mixed[is_phantom]
        _, first, inverse, sizes = np.unique(
            sources[images], return_index=True, return_inverse=True, return_counts=True
        )
        most = sizes.max(initial=1)
        rest = images[sizes[inverse] < most]
        drawn = [
            images[first[sizes == most]],
            rest[: round(len(rest) / most)],
            phantoms[: round(len(phantoms) * phantom_weight / most)],
        ]
        return rng.permutation(np.concatenate(drawn))


@dataclass(frozen=True)
class Development:
    """Training images, their augmented copies and validation images.

    Attributes:
        images: uint8 (N, size, size).
        rows: data frame of N rows with columns `source` (manifest path of the image a row is, or
            is a copy of), `label` (`no` or `yes`), `split` (`train` or `val`), `copy` (bool).
            A copy whose source is not among the images is a phantom: it always trains.
    """

    images: ImageRows
    rows: pd.DataFrame

    def holdout(self) -> TrainingData:
        """Fit the training split with its copies, stop by the validation split."""
        return self.data((self.rows["split"] == "val").to_numpy())

    def folds(
        self, clusters: pd.Series, count: int, seed: int, among: Collection[str] | None = None
    ) -> Iterator[TrainingData]:
        """Yield `count` ways to hold out a part of the originals; no cluster is divided.

        Args:
            clusters: name of each image's cluster, indexed by manifest path.
            count: number of folds.
            seed: of the assignment, which is stratified by class.
            among: manifest paths that take part; by default all. Others are in no fold.

        Raises:
            UserError: a class has fewer clusters than there are folds.
        """
        from sklearn.model_selection import StratifiedGroupKFold

        images = self.rows["source"][~self.rows["copy"]]
        chosen = self.rows["source"].isin(images if among is None else set(among))
        is_phantom = ~self.rows["source"].isin(set(images))
        originals = self.rows[chosen & ~self.rows["copy"]]
        groups = clusters.loc[originals["source"]].to_numpy()
        fewest = int(pd.Series(groups).groupby(originals["label"].to_numpy()).nunique().min())
        if fewest < count:
            raise UserError(
                f"{count} folds asked for (tune.folds), but a class has only "
                f"{fewest} groups of images to divide; lower it"
            )
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        for _, fold in splitter.split(originals, originals["label"], groups):
            if originals["label"].iloc[fold].nunique() < 2:
                raise UserError(
                    f"of {count} folds (tune.folds) one has images of one class only; lower it"
                )
            held_out = self.rows["source"].isin(set(originals["source"].iloc[fold]))
            yield self.data(held_out.to_numpy(), (chosen | is_phantom).to_numpy())

    def with_copies_of_val(self, params: AugmentParams) -> "Development":
        """Validation images get copies too, so that they can be training images of a fold."""
        val = self.rows[(self.rows["split"] == "val") & ~self.rows["copy"]]
        paths = val["source"].tolist()
        names = [name for path in paths for name in copy_names(path, params)]
        if not names:
            return self
        images = take(self.images, val.index.to_numpy())
        named = augmented(images, paths, params, "variants of the validation images")
        # Of this machine: what another left cannot be told from what it uses.
        machine = hashlib.sha256(host().encode()).hexdigest()[:8]
        folder = repository_root() / ".cache" / f"variants-{machine}"
        copies = write_aside(folder, named, names)
        rows = val.loc[val.index.repeat(params.copies)].assign(copy=True)
        return replace(
            self,
            images=concatenate([self.images, copies]),
            rows=pd.concat([self.rows, rows], ignore_index=True),
        )

    def data(
        self, held_out: NDArray[np.bool_], takes_part: NDArray[np.bool_] | None = None
    ) -> TrainingData:
        """Fit all rows that take part but those held out; of these stop by the originals.

        Args:
            held_out: bool (N,), for each row.
            takes_part: bool (N,), likewise; by default all.
        """
        present = np.ones(len(self.rows), bool) if takes_part is None else takes_part
        copies = self.rows["copy"].to_numpy()
        labels = (self.rows["label"] == "yes").to_numpy().astype(np.float32)
        train = np.flatnonzero(present & ~held_out)
        val = np.flatnonzero(present & held_out & ~copies)
        sources = pd.factorize(self.rows["source"])[0].astype(np.int64)
        phantoms = ~self.rows["source"].isin(set(self.rows["source"][~copies])).to_numpy()
        return TrainingData(
            self.images, labels, train.astype(np.int64), val.astype(np.int64), sources, phantoms
        )


def read_development(
    split: Path = SPLIT,
    images: Path = IMAGES,
    variants: Path = AUGMENTED_IMAGES,
    records: Path = AUGMENTED_RECORDS,
) -> Development:
    """Read training images with their augmented copies and validation images; never test images.

    Raises:
        UserError: a table or an image is missing or unreadable.
    """
    table = read_table(split, ("path", "label", "split"), dtype="str", keep_default_na=False)
    copies = read_table(records, ("path", "source", "label"), dtype="str", keep_default_na=False)
    originals = table[table["split"].isin(["train", "val"])].sort_values("split", kind="stable")
    columns = ["source", "label", "split", "copy"]
    rows = [
        originals.assign(source=originals["path"], copy=False)[columns],
        copies.assign(split="train", copy=True)[columns],
    ]
    stored = [
        open_images(images, list(originals["path"])),
        open_images(variants, list(copies["path"])),
    ]
    return Development(
        concatenate(stored),
        pd.concat([part for part in rows if len(part)], ignore_index=True),
    )


def read_phantoms(variants: Path, records: Path) -> tuple[pd.DataFrame, ImageRows]:
    """Read the phantoms that train beside the images: path and label of each, and its pixels.

    `variants` and `records` are outputs of stage augment; a phantom is its own source there.

    Returns:
        Columns path and label, and uint8 (N, size, size), both sorted by path.

    Raises:
        UserError: the table or an image is missing or unreadable.
    """
    table = read_table(records, ("path", "source", "label"), dtype="str", keep_default_na=False)
    table = table[table["source"] == table["path"]].sort_values("path", ignore_index=True)
    return table[["path", "label"]], open_images(variants, list(table["path"]))
