"""Digests of what decides a figure: images, data, parameters."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from brain_tumor.evidence.pool import Pool

_LENGTH = 16  # hexadecimal characters


def images_digest(manifest: pd.DataFrame) -> str:
    """Of the files' paths and contents, whatever the order of the rows."""
    lines = sorted(f"{path} {sha256}\n" for path, sha256 in manifest[["path", "sha256"]].to_numpy())
    return hashlib.sha256("".join(lines).encode()).hexdigest()[:_LENGTH]


def data_digest(pool: Pool, weights: Path, *tables: pd.DataFrame) -> str:
    """Of pixels, labels, clusters, initial weights and other tables a track reads."""
    sha = hashlib.sha256(f"{pool.images.dtype}{pool.images.shape}".encode())
    sha.update(pool.images.data)
    for table in (pool.rows, *tables):
        sha.update(table.to_csv(index=True, lineterminator="\n").encode())
    with weights.open("rb") as file:
        sha.update(hashlib.file_digest(file, "sha256").digest())
    return sha.hexdigest()[:_LENGTH]


def params_digest(values: Mapping[str, object]) -> str:
    """Of parameters, whatever their order."""
    text = json.dumps(values, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:_LENGTH]
