"""Numbers that describe a picture: grey levels, sharpness, noise, alignment."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from brain_tumor.errors import UserError
from brain_tumor.imaging.geometry import magnification
from brain_tumor.imaging.preprocess import Record
from brain_tumor.outputs import read_table
from brain_tumor.shards import ImageRows


@dataclass(frozen=True)
class ImageStatistics:
    """What can be told of an image without a network.

    Attributes:
        side_px: square root of width x height of the raw image, pixels.
        aspect: its width over its height.
        bytes_per_px: size of the file over width x height (how hard it is compressed).
        black_level: raw grey level that is black to the network (see `Record.low`), 0 to 255.
        white_level: raw grey level that is white to it, 0 to 255.
        head_mean: mean grey of what the crop keeps, as the network sees it, 0 to 1. It is the brain
            and its margin; where no alignment is trusted it is the head.
        head_deviation: standard deviation of the same.
        detail: mean difference of neighbouring pixels there over that deviation: low where the
            image is blurred, high where it is noisy.
        head_fraction: area of what the crop keeps over that of the raw image.
        confidence: of the alignment, 0 to 1 (0 without one; see `Record.confidence`).
        axial: 1 for an axial slice, else 0 (0 without an alignment).
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
    confidence: float
    axial: float

    def row(self) -> dict[str, float]:
        """The fields as a row of a table."""
        return asdict(self)


def image_statistics(image: np.ndarray, record: Record, file_bytes: int) -> ImageStatistics:
    """Statistics of a stored image, uint8 (size, size), and of its raw file of `file_bytes`.

    What the crop keeps is not black in the stored image. (With `preprocess.blank_outside` off, that
    takes in what is around it.)
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
        confidence=record.confidence,
        axial=float(record.plane == "axial"),
    )


def _roughness(grey: np.ndarray, head: np.ndarray) -> float:
    """Mean absolute difference of neighbours that both lie in the head; 0 without any."""
    across = np.abs(np.diff(grey, axis=1))[head[:, 1:] & head[:, :-1]]
    down = np.abs(np.diff(grey, axis=0))[head[1:] & head[:-1]]
    differences = np.concatenate([across, down])
    return float(differences.mean()) if differences.size else 0.0


_AT_ONCE = 256  # images in memory


def statistics_table(
    paths: Iterable[str],
    images: ImageRows,
    records: Path,
    manifest: pd.DataFrame,
) -> pd.DataFrame:
    """Statistics of stored images, uint8 (paths, size, size): a row per manifest path, in order.

    `records` is records.csv of stage preprocess; the manifest holds the size of each raw file.

    Raises:
        UserError: `records` lacks an image.
    """
    table = read_table(records, ["path"], dtype=str, keep_default_na=False)
    names = list(paths)
    places = pd.Index(table.pop("path")).get_indexer(pd.Index(names))
    if (places < 0).any():
        missing = names[int(np.argmax(places < 0))]
        raise UserError(f"{records}: has no row for {missing}; run `dvc repro`")
    columns = {str(name): table[name].tolist() for name in table}
    sizes = dict(zip(manifest["path"], manifest["bytes"], strict=True))
    rows = []
    for start in range(0, len(places), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        for path, place, image in zip(names[part], places[part], images[part], strict=True):
            record = Record.from_row({name: column[place] for name, column in columns.items()})
            rows.append(image_statistics(image, record, int(sizes[path])).row())
    return pd.DataFrame(rows)
