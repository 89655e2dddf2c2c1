"""A folder of raw images to a folder of network inputs."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.imaging.record import Record
from brain_tumor.imaging.records import save_image, stored
from brain_tumor.imaging.workers import spread
from brain_tumor.settings import PreprocessParams


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
