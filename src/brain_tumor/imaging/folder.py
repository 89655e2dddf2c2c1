"""A folder of raw images, or pictures that are drawn, to a folder of network inputs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_grey, preprocess_image
from brain_tumor.imaging.record import Record
from brain_tumor.imaging.workers import spread
from brain_tumor.outputs import save_image, stored
from brain_tumor.settings import PreprocessParams

Drawn = tuple[str, Callable[[], NDArray[np.uint8]]]  # path, and what draws the raw picture


class PreprocessError(ValueError):
    """An image cannot be preprocessed; the message names the file."""


@dataclass(frozen=True)
class _Job:
    data: Path
    images: Path
    atlas: Atlas | None
    params: PreprocessParams


def preprocess_folder(
    data: Path,
    paths: Sequence[str],
    images: Path,
    atlas: Atlas | None,
    params: PreprocessParams,
) -> list[Record]:
    """Preprocess images to `images/<path>.png`, over processes, same bytes however many.

    Args:
        data: folder that `paths` are relative to.
        paths: posix, unique.
        images: folder written to; each file is whole or not there.
        atlas: as in `preprocess_image`.
        params: section `preprocess`.

    Returns:
        A record for each path, in order.

    Raises:
        PreprocessError: a file is missing or not an image.
    """
    job = _Job(data, images, atlas, params)
    return list(spread(partial(_preprocess_file, job), list(paths), "preprocess"))


def _preprocess_file(job: _Job, path: str) -> Record:
    try:
        done = preprocess_image((job.data / path).read_bytes(), job.atlas, job.params)
    except (OSError, ValueError) as error:
        raise PreprocessError(f"{path}: {error}") from error
    save_image(stored(job.images, path), np.asarray(done.image))
    return done.record


def preprocess_drawn(
    pictures: Sequence[Drawn], images: Path, atlas: Atlas, params: PreprocessParams, name: str
) -> None:
    """Draw pictures and store them preprocessed as every image is, over processes.

    Args:
        pictures: the path of each, and a function of a module that gives it, uint8 (H, W).
        images: folder written to: `<path>.png`, uint8 (size_px, size_px).
        atlas: of stage preprocess.
        params: section `preprocess`.
        name: of what is drawn, for the progress.
    """
    for _ in spread(partial(_preprocess_drawn, images, atlas, params), list(pictures), name):
        pass


def _preprocess_drawn(images: Path, atlas: Atlas, params: PreprocessParams, picture: Drawn) -> None:
    path, draw = picture
    save_image(stored(images, path), preprocess_grey(draw(), atlas, params).image)
