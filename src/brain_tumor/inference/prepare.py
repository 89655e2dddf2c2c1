"""Raw bytes to what the network takes: the slices of a file, preprocessed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.preprocess import preprocess_grey
from brain_tumor.imaging.record import Record
from brain_tumor.imaging.slices.read import read_slices
from brain_tumor.imaging.statistics import image_statistics
from brain_tumor.settings import PreprocessParams

SLICES = 3  # of a volume, by default


@dataclass(frozen=True)
class Prepared:
    """A slice, ready for the network.

    Attributes:
        slice: its name in a file of several; empty where there is one.
        grey: as read, uint8 (H, W).
        image: the network's input, uint8 (size, size).
        record: how the one became the other.
        statistics: see `imaging.statistics.ImageStatistics`.
        notes: what its file says against it.
    """

    slice: str
    grey: NDArray[np.uint8]
    image: NDArray[np.uint8]
    record: Record
    statistics: dict[str, float]
    notes: tuple[str, ...]


def prepare(
    data: bytes, atlas: Atlas, params: PreprocessParams, slices: int = SLICES
) -> list[Prepared]:
    """Read a file and preprocess its slices as the pipeline does.

    Args:
        data: a whole file: what `read_slices` takes.
        atlas: slices that images are normalised to.
        params: section `preprocess` of the training.
        slices: how many middle slices of a volume, or pages of a file, at most.

    Raises:
        DecodeError: the bytes are no image that can be read.
    """
    prepared = []
    for part in read_slices(data, slices):
        done = preprocess_grey(part.grey, atlas, params)
        row = image_statistics(done.image, done.record, len(data), atlas).row()
        prepared.append(Prepared(part.name, part.grey, done.image, done.record, row, part.notes))
    return prepared
