"""Numbers that describe a picture: grey levels, sharpness, noise, uprightness."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import SQUARE_PX, Atlas
from brain_tumor.imaging.geometry import magnification, resized
from brain_tumor.imaging.preprocess import Record
from brain_tumor.imaging.registration import binned, information
from brain_tumor.outputs import read_table

_SLICES = 3  # that fit best; what one of them shares with a picture is often chance


def uprightness(image: np.ndarray, atlas: Atlas) -> float:
    """How much more a stored image, uint8 (size, size), shares with the atlas than turned.

    The head fills the image as it fills each square of the atlas, so the two are compared pixel
    by pixel: as it is, mirrored top to bottom (much the same as turned by 180 degrees: heads are
    nearly symmetrical), and turned to the left and to the right. What counts of each is the mean
    normalised mutual information with the slices that share most.

    Returns:
        -1 to 1: that of the image as it is less the highest of the others. About 0.02 for slices
        of brains, below 0 for most that are not upright and for much that is no brain.
    """
    levels = binned(resized(image, SQUARE_PX))
    turned = (levels, levels[::-1], np.rot90(levels), np.rot90(levels, 3))
    poses = np.stack([pose.ravel() for pose in turned])
    shared = np.stack([information(binned(square).ravel(), poses) for square in atlas.squares])
    upright, *others = np.sort(shared, axis=0)[-_SLICES:].mean(axis=0)
    return float(upright - max(others))


@dataclass(frozen=True)
class ImageStatistics:
    """What can be told of an image without a network.

    Attributes:
        side_px: square root of width x height of the raw image, pixels.
        aspect: its width over its height.
        bytes_per_px: size of the file over width x height (how hard it is compressed).
        black_level: raw grey level that is black to the network (see `Record.low`), 0 to 255.
        white_level: raw grey level that is white to it, 0 to 255.
        head_mean: mean grey of the head as the network sees it, 0 to 1.
        head_deviation: standard deviation of the same.
        detail: mean difference of neighbouring pixels in the head over that deviation: low where
            it is blurred, high where it is noisy.
        head_fraction: area of the head over that of the raw image.
        overlap: of the head with that of its atlas slice (Dice, 0 to 1; 0 without an atlas).
        axial: 1 for an axial slice, else 0 (0 without an atlas).
        upright: how much better the atlas fits it than it fits it turned, -1 to 1 (see
            `uprightness`; 0 without an atlas).
    """

    side_px: float
    aspect: float
    bytes_per_px: float
    black_level: float
    white_level: float
    head_mean: float
    head_deviation: float
    detail: float
    head_fraction: float
    overlap: float
    axial: float
    upright: float

    def row(self) -> dict[str, float]:
        """The fields as a row of a table."""
        return asdict(self)


def image_statistics(
    image: np.ndarray, record: Record, file_bytes: int, atlas: Atlas | None
) -> ImageStatistics:
    """Statistics of a stored image, uint8 (size, size), and of its raw file of `file_bytes`.

    The head is what is not black in the stored image. (With `preprocess.blank_outside_head` off,
    that takes in what noise there is around it.) With `normalisation: none` there need be no atlas.
    """
    head = image > 0
    grey = image[head] / 255.0 if head.any() else np.zeros(1)
    area_px = record.width * record.height
    deviation = float(grey.std())
    return ImageStatistics(
        side_px=float(np.sqrt(area_px)),
        aspect=record.width / record.height,
        bytes_per_px=file_bytes / area_px,
        black_level=record.low,
        white_level=record.high,
        head_mean=float(grey.mean()),
        head_deviation=deviation,
        detail=_roughness(image / 255.0, head) / max(deviation, 1 / 255),
        head_fraction=np.count_nonzero(head) * magnification(record.matrix) ** 2 / area_px,
        overlap=record.overlap,
        axial=float(record.plane == "axial"),
        upright=uprightness(image, atlas) if record.slice and atlas is not None else 0.0,
    )


def _roughness(grey: np.ndarray, head: np.ndarray) -> float:
    """Mean absolute difference of neighbours that both lie in the head; 0 without any."""
    across = np.abs(np.diff(grey, axis=1))[head[:, 1:] & head[:, :-1]]
    down = np.abs(np.diff(grey, axis=0))[head[1:] & head[:-1]]
    differences = np.concatenate([across, down])
    return float(differences.mean()) if differences.size else 0.0


def statistics_table(
    paths: Iterable[str],
    images: np.ndarray,
    records: Path,
    manifest: pd.DataFrame,
    atlas: Atlas,
) -> pd.DataFrame:
    """Statistics of stored images, uint8 (paths, size, size): a row per manifest path, in order.

    `records` is records.csv of stage preprocess; the manifest holds the size of each raw file.

    Raises:
        UserError: `records` lacks an image.
    """
    table = read_table(records, dtype=str, keep_default_na=False).set_index("path")
    sizes = manifest.set_index("path")["bytes"]
    rows = []
    for path, image in zip(paths, images, strict=True):
        if path not in table.index:
            raise UserError(f"{records}: has no row for {path}; run `dvc repro`")
        record = Record.from_row({str(key): text for key, text in table.loc[path].items()})
        rows.append(image_statistics(image, record, int(sizes[path]), atlas).row())
    return pd.DataFrame(rows)
