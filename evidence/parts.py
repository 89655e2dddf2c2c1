"""Finished parts of the study: folds and seeds, kept so that a run goes on where it ended."""

import hashlib
import json
import platform
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.copies import clusters
from brain_tumor.errors import UserError
from brain_tumor.files import read_json, write_json, write_text
from brain_tumor.imaging.brain import network_digest
from brain_tumor.machine import processors
from brain_tumor.model.folds import Development, read_phantoms
from brain_tumor.model.saved import ModelMeta
from brain_tumor.settings import POSITIVE, AugmentParams, PreprocessParams
from brain_tumor.shards import open_images
from brain_tumor.tracking.lineage import commit, trace


@dataclass(frozen=True)
class Digest:
    """What decides a part: digests of files, of all that is read, of parameters; `VERSION`."""

    images: str
    data: str
    params: str
    recipe: int


@dataclass(frozen=True)
class Finished:
    """A folder of finished parts, `<name>.csv` and `<name>.json`.

    The JSON is written last: a part without it is not finished.
    """

    folder: Path

    def missing(self, digests: Mapping[str, Digest]) -> list[str]:
        """Names of the parts that are not there, in the order of `digests`.

        A whole track that was made from other parameters or by another recipe is kept, and a note
        says so. Parts of different recipes are never mixed.

        Raises:
            UserError: a part is of other images, or some parts are stale and others are not.
        """
        changes = {name: self._changed(name, digest) for name, digest in digests.items()}
        stale = {name: changed for name, changed in changes.items() if changed}
        if not stale:
            return [name for name, changed in changes.items() if changed is None]
        name, changed = next(iter(stale.items()))
        if len(stale) < len(digests) or any("images" in fields for fields in stale.values()):
            raise UserError(
                f"{self.folder / name}.json: made from other {' and '.join(changed)} than there is "
                f"now; delete {self.folder / name}.csv and .json (or all of {self.folder}; git "
                "keeps what was committed) and run again, or go back to what it was made from"
            )
        commit = (self._facts(name) or {}).get("environment", {}).get("commit", "not recorded")
        print(
            f"note: the {len(stale)} parts in {self.folder} were made from other "
            f"{' and '.join(changed)} than there is now (commit: {commit}) and are kept; to make "
            "them anew, delete the folder and run again",
            file=sys.stderr,
        )
        return []

    def _changed(self, name: str, digest: Digest) -> list[str] | None:
        """What decides a part and is not what it was made from; None where there is no part."""
        facts = self._facts(name)
        if facts is None:
            return None
        recorded = facts.get("digest", {})
        return [field for field, value in asdict(digest).items() if recorded.get(field) != value]

    def write(
        self, name: str, table: pd.DataFrame, digest: Digest, facts: Mapping[str, Any]
    ) -> None:
        """Keep a part; first the table, then the facts, each whole or not at all."""
        csv, about = self._paths(name)
        write_text(csv, table.to_csv(index=False, lineterminator="\n", float_format="%.9g"))
        write_json(about, {"digest": asdict(digest), **facts})

    def read(self, name: str) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Table and facts of a part.

        Raises:
            UserError: it is not there or not readable.
        """
        csv, about = self._paths(name)
        facts = self._facts(name)
        if facts is None:
            raise UserError(f"{about}: missing; run `make evidence`")
        try:
            return pd.read_csv(csv), facts
        except (OSError, ValueError) as error:
            raise UserError(f"{csv}: not readable; delete it and {about}: {error}") from error

    def read_all(
        self, names: Iterable[str], columns: Sequence[str]
    ) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
        """The tables of parts as one, and the facts of each.

        Args:
            names: of the parts; others in the folder are passed over.
            columns: facts that are added as columns, beside `y` (0 or 1).

        Raises:
            UserError: see `read`.
        """
        parts = [self.read(name) for name in names]
        tables = [table.assign(**{key: facts[key] for key in columns}) for table, facts in parts]
        whole = pd.concat(tables, ignore_index=True)
        return whole.assign(y=is_tumour(whole["label"])), [facts for _, facts in parts]

    def _paths(self, name: str) -> tuple[Path, Path]:
        return self.folder / f"{name}.csv", self.folder / f"{name}.json"

    def _facts(self, name: str) -> dict[str, Any] | None:
        csv, about = self._paths(name)
        if not (csv.is_file() and about.is_file()):
            return None
        return dict(read_json(about, f"delete it and {csv}"))


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

    The order of the manifest does not matter.

    Raises:
        UserError: an image is missing or unreadable.
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
    pixels = open_images(images, list(table["path"]))[:]
    whole = Development(pixels, rows).with_copies_of_val(params)
    return Pool(whole.images[:], whole.rows.drop(columns="split"))


def with_phantoms(pool: Pool, augmented: Path, records: Path) -> Pool:
    """Add the phantoms that stage augment made: they train in every fold, and are never unseen.

    Args:
        pool: the images and their copies.
        augmented: folder of stage augment's images.
        records: its records.csv.

    Raises:
        UserError: a phantom is missing or unreadable.
    """
    table, images = read_phantoms(augmented, records)
    if table.empty:
        return pool
    rows = table.rename(columns={"path": "source"}).assign(copy=True, cluster=table["path"])
    return Pool(
        np.concatenate([pool.images, images[:]]), pd.concat([pool.rows, rows], ignore_index=True)
    )


def is_tumour(labels: pd.Series) -> NDArray[np.int64]:
    """1 for `yes`, 0 for `no`, int64 (N,)."""
    return np.asarray(labels == POSITIVE, dtype=np.int64)


def originals(pool: Pool) -> pd.DataFrame:
    """Rows of the images themselves, not of their copies; the index is their place in the pool."""
    return pool.rows[~pool.rows["copy"].to_numpy(np.bool_)]


_LENGTH = 16  # hexadecimal characters


def images_digest(manifest: pd.DataFrame) -> str:
    """Of the files' paths and contents, whatever the order of the rows."""
    lines = sorted(f"{path} {sha256}\n" for path, sha256 in manifest[["path", "sha256"]].to_numpy())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_LENGTH]


def data_digest(
    pool: Pool,
    preprocess: PreprocessParams,
    augment: AugmentParams,
    weights: Path,
    *tables: pd.DataFrame,
) -> str:
    """Of all but the images and its own parameters that decides what a track predicts.

    These are preprocessing, augmentation and the network that finds the brain, labels and clusters,
    initial weights, and other tables that the track reads. Pixels are left out: processors round
    them differently, and parts that unlike machines made from the same belong together.
    """
    made = {"preprocess": preprocess.model_dump(), "augment": augment.model_dump()}
    text = params_digest({**made, "brain": network_digest(), "shape": pool.images.shape})
    sha = hashlib.sha256(text.encode())
    for table in (pool.rows, *tables):
        sha.update(table.to_csv(index=True, lineterminator="\n").encode())
    with weights.open("rb") as file:
        sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:_LENGTH]


def params_digest(values: Mapping[str, object]) -> str:
    """Of parameters, whatever their order."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]


_PACKAGES = (
    "tensorflow", "tensorflow-cpu",
    "keras", "numpy", "optuna", "pandas", "scikit-learn", "scipy", "simpleitk",
)  # fmt: skip


def environment() -> dict[str, str | int]:
    """Date (UTC), commit (`-dirty`: with changes to code or parameters), machine and versions."""
    facts: dict[str, str | int] = {
        "date": datetime.now(UTC).date().isoformat(),
        "commit": commit(trace({}), 7),
        "machine": f"{platform.system()} {platform.machine()}",
        "processors": processors(),
        "python": platform.python_version(),
    }
    for package in _PACKAGES:
        with suppress(PackageNotFoundError):
            facts[package] = version(package)
    return facts


def origin_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """When, where, from which commit and weights the parts of a track were made, of their JSON."""
    places = [part["environment"] for part in parts]

    def distinct(values: Iterable[Any]) -> list[Any]:
        return sorted({value for value in values if value})

    packages = ("tensorflow", "tensorflow-cpu", "keras", "scikit-learn", "optuna")
    return {
        "command": "make evidence",
        "commits": distinct(place["commit"] for place in places),
        "recipe": distinct(part.get("recipe") for part in parts),
        "dates": distinct(place["date"] for place in places),
        "machines": distinct(
            f"{place['processors']} processors, {place['machine']}, Python {place['python']}"
            for place in places
        ),
        "packages": distinct(
            f"{name} {place[name]}" for place in places for name in packages if name in place
        ),
        "weights": distinct(part.get("weights") for part in parts),
        "precision": distinct(part.get("precision") for part in parts),
        "wall_s": round(float(sum(part["wall_s"] for part in parts)), 1),
    }


def origin_of_model(meta: ModelMeta, began: float) -> dict[str, Any]:
    """The same of figures of a trained model, which took since `began` (`time.monotonic`)."""
    blocks = meta.fine_tuned_blocks
    tuned = f"{blocks} blocks fine-tuned" if blocks else "nothing fine-tuned"
    part = {
        "environment": environment(),
        "weights": meta.initial_weights,
        "recipe": f"{meta.head} head on mixed{meta.head_block}, {tuned}",
        "wall_s": time.monotonic() - began,
    }
    return origin_of([part])


def pace(began: float, done: int, total: int) -> str:
    """How far a run is that began then (`time.monotonic`): `3 of 15, about 42 min left`."""
    text = f"{done} of {total}"
    if done == total:
        return text
    left_s = (time.monotonic() - began) / done * (total - done)
    left = f"{left_s / 60:.0f} min" if left_s >= 90 else f"{left_s:.0f} s"
    return f"{text}, about {left} left"


@dataclass(frozen=True)
class Fold:
    """One way to hide a part of the images.

    Attributes:
        repeat: from 0; the seed of the assignment.
        number: of the fold in its repeat, from 0.
        development: manifest paths that fit and choose, sorted.
        unseen: manifest paths that are predicted and decide nothing, sorted.
    """

    repeat: int
    number: int
    development: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"headline-r{self.repeat}-f{self.number}"


def outer_folds(pool: Pool, count: int, repeat: int) -> Iterator[Fold]:
    """Yield the `count` folds of a repeat, stratified by class, in whatever order the pool is.

    Raises:
        UserError: a class has fewer clusters than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows = originals(pool).sort_values("source")
    fewest = int(rows.groupby("label")["cluster"].nunique().min())
    if fewest < count:
        raise UserError(
            f"headline.folds is {count}, but a class has only {fewest} groups of images; lower it"
        )
    paths = rows["source"].to_numpy(str)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=repeat)
    for number, (development, unseen) in enumerate(
        splitter.split(rows, rows["label"], rows["cluster"])
    ):
        yield Fold(
            repeat, number, tuple(paths[development].tolist()), tuple(paths[unseen].tolist())
        )
