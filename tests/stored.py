"""Folders of stored images, written, changed and damaged as tests need them."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.shards import INDEX, open_images, write_images


def paths_in(folder: Path) -> list[str]:
    """Paths of the images of a folder, in its order."""
    return list(pd.read_csv(folder / INDEX, dtype=str, keep_default_na=False)["path"])


def contents(folder: Path) -> dict[str, bytes]:
    """The pixels of each image of a folder."""
    paths = paths_in(folder)
    images = open_images(folder, paths)
    return {path: image.tobytes() for path, image in zip(paths, images[:], strict=True)}


def change(folder: Path, path: str, to: Callable[[NDArray[np.uint8]], NDArray[np.uint8]]) -> None:
    """Write the folder again, one of its images changed."""
    paths = paths_in(folder)
    images = dict(zip(paths, open_images(folder, paths)[:], strict=True))
    write_images(folder, (images | {path: to(images[path])}).items())


def spoil(folder: Path, paths: Sequence[str]) -> None:
    """Let images be such that reading them is an error, and leave the others as they are."""
    index = pd.read_csv(folder / INDEX, dtype=str, keep_default_na=False).set_index("path")
    for path in paths:
        file = folder / f"{index['shard'][path]}.npy"
        images = np.load(file)
        images[int(index["row"][path])] ^= 255
        file.unlink()  # (DVC's cache may hold the same file)
        np.save(file, images)
