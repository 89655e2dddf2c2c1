"""The paper's preprocessing, of one picture and of a folder, with a record of what was done.

Order, as in the paper: spatial normalisation, crop, (100x100), intensities to [0, 1], 299x299.
The geometric steps are composed into one map, so pixels are interpolated once (twice with the
100x100 step).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.geometry import compose, resized, warp
from brain_tumor.imaging.head import Box, head_box, in_square, inside, square_matrix
from brain_tumor.imaging.picture import decode
from brain_tumor.imaging.registration import FRAME_SIDE_PX, Normalisation, normalise
from brain_tumor.machine import spread
from brain_tumor.outputs import save_image, stored
from brain_tumor.settings import PreprocessParams


@dataclass(frozen=True)
class Record:
    """What was done to an image, enough to do it again to a mask of the same image.

    Attributes:
        width: of the raw image in pixels (EXIF orientation applied).
        height: likewise.
        slice: atlas slice, as `axial+8`; empty with `normalisation: none`.
        plane: its plane; empty with `none`.
        rotation_deg: of the stored image's axes in the raw image, clockwise as seen.
        px_per_mm: raw pixels in a millimetre of the atlas; 0 with `none`.
        information: normalised mutual information with the slice, 0 to 1.
        overlap: Dice overlap of the heads, 0 to 1.
        fallback: why the registration was not trusted; empty if it was.
        m00: with m01, m02, m10, m11, m12 the (2, 3) map from a pixel (x, y, 1) of the stored
            image to a pixel (x, y) of the raw one; pixel 0 is the centre of the first.
        left: with top, right, bottom the crop in pixels of the stored image; outside it is 0.
        low: raw grey level that became 0.
        high: raw grey level that became 1 (stored 255).
        size_px: side of the stored image.
    """

    width: int
    height: int
    slice: str
    plane: str
    rotation_deg: float
    px_per_mm: float
    information: float
    overlap: float
    fallback: str
    m00: float
    m01: float
    m02: float
    m10: float
    m11: float
    m12: float
    left: float
    top: float
    right: float
    bottom: float
    low: float
    high: float
    size_px: int

    @property
    def matrix(self) -> np.ndarray:
        """The map as a float64 (2, 3) array."""
        return np.array([[self.m00, self.m01, self.m02], [self.m10, self.m11, self.m12]])

    @property
    def box(self) -> Box:
        """The crop in pixels of the stored image."""
        return Box(self.left, self.top, self.right, self.bottom)

    def row(self) -> dict[str, Any]:
        """The fields as a row of records.csv."""
        return asdict(self)

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> Self:
        """The record in a row of records.csv; other columns are ignored, values may be strings."""
        return cls(**{field.name: _parse(field.type, row[field.name]) for field in fields(cls)})


def _parse(kind: object, value: Any) -> Any:
    return kind(value) if kind in (int, float) and callable(kind) else str(value)


def apply_geometry(image: np.ndarray, record: Record, order: int) -> np.ndarray:
    """Warp, crop and resize a picture as the recorded image was (not its intensities).

    Nothing is blanked but what lies outside the crop (`blank_outside_head` is not repeated).

    Args:
        image: (height, width) of the raw image, any real dtype or bool: the image or a mask.
        record: of that image.
        order: 0 nearest (masks), 1 linear.

    Returns:
        (size_px, size_px): dtype of `image` with order 0, else float64; 0 outside the crop.

    Raises:
        ValueError: `image` has another size than the recorded one.
    """
    if image.shape != (record.height, record.width):
        raise ValueError(
            f"the picture has shape {image.shape}, the recorded image "
            f"({record.height}, {record.width}): a mask must match its image"
        )
    warped = warp(image, record.matrix, record.size_px, order)
    warped[~inside(record.box, record.size_px)] = 0
    return warped


@dataclass(frozen=True)
class Preprocessed:
    """The network's input and how it came about.

    Attributes:
        image: uint8 (size_px, size_px); 255 means 1.0.
        record: what was done.
        steps: the picture after each step, uint8, by name, `raw` first.
    """

    image: np.ndarray
    record: Record
    steps: dict[str, np.ndarray]


def preprocess_image(data: bytes, atlas: Atlas | None, params: PreprocessParams) -> Preprocessed:
    """Turn an encoded image into the network's input; see `decode` and `preprocess_grey`.

    Raises:
        DecodeError: the bytes are not an image.
    """
    return preprocess_grey(decode(data), atlas, params)


def preprocess_grey(
    grey: np.ndarray, atlas: Atlas | None, params: PreprocessParams
) -> Preprocessed:
    """Turn a grey picture, uint8 (H, W), into the network's input.

    Repeats bit for bit on one machine, in any process and order. With `normalisation: none` there
    need be no atlas.
    """
    normalisation = normalise(grey, atlas, params)
    box = head_box(normalisation.mask, normalisation.matrix, params.crop_margin_fraction)
    cropped, shown = _crop(grey, normalisation, box, params)
    # Of the head only: frames, letters and the share of background must not set the contrast.
    bounds = [params.clip_low_percent, params.clip_high_percent]
    levels = np.percentile(grey[normalisation.mask], bounds)
    unit = np.clip((cropped - levels[0]) / max(levels[1] - levels[0], 1.0), 0.0, 1.0) * shown
    image = _eight_bits(255.0 * resized(unit, params.size_px))
    normalised = _eight_bits(warp(grey, normalisation.matrix, FRAME_SIDE_PX))
    steps = {
        "raw": grey,
        "normalised": normalised if normalisation.slice_name else grey,
        "cropped": _eight_bits(cropped),
        "input": image,
    }
    return Preprocessed(image, _record(grey, normalisation, box, levels, params), steps)


def _crop(
    grey: np.ndarray, normalisation: Normalisation, box: Box, params: PreprocessParams
) -> tuple[np.ndarray, np.ndarray]:
    """The box of the frame as a square picture, and which pixels of it show something."""
    side_px = params.paper_step_px or params.size_px
    to_frame = square_matrix(box, side_px)
    matrix = compose(normalisation.matrix, to_frame)
    shown = inside(in_square(box, to_frame), side_px)
    if params.blank_outside_head:
        far_px = ndimage.distance_transform_edt(~warp(normalisation.mask, matrix, side_px, order=0))
        shown &= far_px <= params.crop_margin_fraction * side_px
    return warp(grey, matrix, side_px) * shown, shown


def _record(
    grey: np.ndarray,
    normalisation: Normalisation,
    box: Box,
    levels: np.ndarray,
    params: PreprocessParams,
) -> Record:
    to_frame = square_matrix(box, params.size_px)
    matrix = compose(normalisation.matrix, to_frame)
    names = ("m00", "m01", "m02", "m10", "m11", "m12")
    return Record(
        width=grey.shape[1],
        height=grey.shape[0],
        slice=normalisation.slice_name,
        plane=normalisation.plane,
        rotation_deg=normalisation.rotation_deg,
        px_per_mm=normalisation.px_per_mm,
        information=normalisation.information,
        overlap=normalisation.overlap,
        fallback=normalisation.fallback,
        **dict(zip(names, map(float, matrix.ravel()), strict=True)),
        **asdict(in_square(box, to_frame)),
        low=float(levels[0]),
        high=float(levels[1]),
        size_px=params.size_px,
    )


def _eight_bits(values: np.ndarray) -> np.ndarray:
    return np.asarray(np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8))


Drawn = tuple[str, Callable[[], NDArray[np.uint8]]]  # path, and what draws the raw picture


def preprocess_folder(
    data: Path,
    paths: Sequence[str],
    images: Path,
    atlas: Atlas | None,
    params: PreprocessParams,
) -> list[Record]:
    """Preprocess images of `data` to `images/<path>.png`, over processes, same bytes however many.

    Returns:
        A record for each path, in order.

    Raises:
        UserError: a file is missing or not an image.
    """
    preprocess = partial(_preprocess_file, data, images, atlas, params)
    return list(spread(preprocess, list(paths), "preprocess"))


def _preprocess_file(
    data: Path, images: Path, atlas: Atlas | None, params: PreprocessParams, path: str
) -> Record:
    try:
        done = preprocess_image((data / path).read_bytes(), atlas, params)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: {error}") from error
    save_image(stored(images, path), done.image)
    return done.record


def preprocess_drawn(
    pictures: Sequence[Drawn], images: Path, atlas: Atlas, params: PreprocessParams, name: str
) -> None:
    """Draw pictures and store them preprocessed as every image is, over processes.

    `name` says what is drawn, for the progress.
    """
    for _ in spread(partial(_preprocess_drawn, images, atlas, params), list(pictures), name):
        pass


def _preprocess_drawn(images: Path, atlas: Atlas, params: PreprocessParams, picture: Drawn) -> None:
    path, draw = picture
    save_image(stored(images, path), preprocess_grey(draw(), atlas, params).image)


def summarise(labels: Sequence[str], records: Sequence[Record]) -> dict[str, Any]:
    """Count fallbacks, planes and slices by class, and medians of the fit.

    Returns:
        For each class and for `all`: images, fallback (count, fraction, and counts of the bounds
        broken), planes and slices (counts; of trusted registrations), medians of information and
        overlap.
    """
    pairs = list(zip(labels, records, strict=True))
    groups = {"all": list(records)}
    for label in sorted(set(labels)):
        groups[label] = [record for own, record in pairs if own == label]
    return {name: _group(members) for name, members in groups.items()}


def _group(records: Sequence[Record]) -> dict[str, Any]:
    trusted = [record for record in records if record.slice and not record.fallback]
    broken = [record.fallback for record in records if record.fallback]
    return {
        "images": len(records),
        "fallback": {
            "count": len(broken),
            "fraction": round(len(broken) / max(len(records), 1), 4),
            "reasons": _counts([reason.split()[0] for reason in broken]),
        },
        "planes": _counts([record.plane for record in trusted]),
        "slices": _counts([record.slice for record in trusted]),
        "information_median": _median([record.information for record in records]),
        "overlap_median": _median([record.overlap for record in records]),
    }


def _counts(names: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _median(values: Sequence[float]) -> float:
    return round(median(values), 4) if values else 0.0
