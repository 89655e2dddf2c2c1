"""The paper's preprocessing, of one picture and of a folder, with a record of what was done.

Order, as in the paper: spatial normalisation, crop, (100x100), intensities to [0, 1], 299x299.
The geometric steps are composed into one map, so pixels are interpolated once (twice with the
100x100 step).
"""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.imaging.brain import FRAME_SIDE_PX, SIDE_PX, Brain, find_brain
from brain_tumor.imaging.geometry import (
    compose,
    magnification,
    resized,
    rotation_deg,
    similarity,
    warp,
)
from brain_tumor.imaging.head import Box, box_around, head_mask, in_square, inside, square_matrix
from brain_tumor.imaging.read import read_grey
from brain_tumor.machine import spread
from brain_tumor.settings import PreprocessParams
from brain_tumor.shards import write_images


@dataclass(frozen=True)
class Record:
    """What was done to an image, enough to do it again to a mask of the same image.

    Attributes:
        width: of the raw image in pixels (EXIF orientation applied).
        height: likewise.
        slice: of the MNI152 template, as `axial+8` or `sagittal+12-mirrored` (it faces left);
            empty where no brain was looked for or found.
        plane: its plane; empty likewise.
        position_mm: template coordinate along the plane's normal; of sagittal slices, the distance
            from the middle.
        rotation_deg: of the stored image's axes in the raw image, clockwise as seen.
        px_per_mm: raw pixels in a millimetre of the template; 0 where the pose is not trusted.
        confidence: probability that plane, side, pose and position are right, 0 to 1. Where the
            picture is turned by more than 45 degrees, it takes in that few are.
        fallback: why the pose is not trusted; empty if it is.
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
    position_mm: float
    rotation_deg: float
    px_per_mm: float
    confidence: float
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

    Nothing is blanked but what lies outside the crop (`blank_outside` is not repeated).

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


_HEAD_MARGIN_FRACTION = 0.03  # around the head in the first view, of its longer side


@dataclass(frozen=True)
class Normalisation:
    """How a picture lies in the normalised frame, and what of it is kept.

    Attributes:
        matrix: (2, 3), pixel of the frame to pixel of the picture.
        mask: bool, what the crop keeps: the brain, or the head where no pose is trusted.
        frame_to_mask: (2, 3), pixel of the frame to pixel of the mask.
        brain: what was found; None with `normalisation: none`.
        fallback: why its pose is not trusted, empty if it is.
    """

    matrix: np.ndarray
    mask: np.ndarray
    frame_to_mask: np.ndarray
    brain: Brain | None
    fallback: str


def normalise(image: np.ndarray, params: PreprocessParams) -> Normalisation:
    """Find the map from the normalised frame (1 mm pixels) to a picture, uint8 (H, W).

    With `normalisation: none` the frame is the picture itself. Where the pose is not trusted, the
    head is centred and fills the frame.
    """
    head = head_mask(image)
    same = similarity(1.0, 0.0, (0.0, 0.0))
    if params.normalisation == "none":
        return Normalisation(same, head, same, None, "")
    box = box_around(head, same, _HEAD_MARGIN_FRACTION)
    brain = _surest(image, head, box)
    if brain.fit is None:
        fallback = "no brain found"
    elif brain.confidence < params.min_confidence:
        fallback = f"low confidence {brain.confidence:.3f}"
    else:
        return Normalisation(brain.matrix, brain.mask, brain.frame_to_mask, brain, "")
    centred = square_matrix(box, FRAME_SIDE_PX)
    return Normalisation(centred, head, centred, brain, fallback)


_SURE = 0.9  # confidence with which no other start is tried
# Pictures are seldom turned: a turned pose has its odds divided by this.
TURNED_DEG, _TURNED_ODDS = 45.0, 9.0


def _surest(image: np.ndarray, head: np.ndarray, box: Box) -> Brain:
    """The brain from the best of several first views; most pictures need but one."""
    brains: list[Brain] = []
    for picture, first in _starts(image, head, box):
        brain = find_brain(picture, first)
        if abs(rotation_deg(brain.matrix)) > TURNED_DEG:
            against = _TURNED_ODDS * (1 - brain.confidence)
            brain = replace(brain, confidence=brain.confidence / (brain.confidence + against))
        brains.append(brain)
        if brain.confidence >= _SURE:
            break
    return max(brains, key=lambda brain: brain.confidence)


def _starts(
    image: np.ndarray, head: np.ndarray, box: Box
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Pictures and first views of them: as it is; without frames and letters; turned."""
    first = square_matrix(box, SIDE_PX)
    yield image, first
    alone = np.where(head, image, 0).astype(image.dtype)
    yield alone, first
    middle = (SIDE_PX - 1) / 2
    for angle_deg in (180.0, 90.0, -90.0):
        about = similarity(1.0, np.deg2rad(angle_deg), (0.0, 0.0))
        about[:, 2] = middle - about[:, :2] @ np.full(2, middle)
        yield alone, compose(first, about)


@dataclass(frozen=True)
class Preprocessed:
    """The network's input and how it came about.

    Attributes:
        image: uint8 (size_px, size_px); 255 means 1.0.
        record: what was done.
        normalisation: how the raw picture lies in the normalised frame.
    """

    image: np.ndarray
    record: Record
    normalisation: Normalisation


def preprocess_image(data: bytes, params: PreprocessParams) -> Preprocessed:
    """Turn an encoded image into the network's input; see `read_grey` and `preprocess_grey`.

    Raises:
        DecodeError: the bytes are not one image that can be read.
    """
    return preprocess_grey(read_grey(data), params)


def preprocess_grey(grey: np.ndarray, params: PreprocessParams) -> Preprocessed:
    """Turn a grey picture, uint8 (H, W), into the network's input.

    Repeats bit for bit on one machine, in any process and order.
    """
    normalisation = normalise(grey, params)
    box, cropped, shown = _crop(grey, normalisation, params)
    levels = _levels(cropped[shown], params)
    unit = np.clip((cropped - levels[0]) / max(levels[1] - levels[0], 1.0), 0.0, 1.0) * shown
    image = _eight_bits(255.0 * resized(unit, params.size_px))
    record = _record(grey, normalisation, box, levels, params)
    return Preprocessed(image, record, normalisation)


def steps(grey: np.ndarray, done: Preprocessed, params: PreprocessParams) -> dict[str, np.ndarray]:
    """A picture and what `preprocess_grey` made of it, step by step, uint8.

    Returns:
        Pictures `raw`, `normalised`, `cropped` and `input`.
    """
    _, cropped, _ = _crop(grey, done.normalisation, params)
    warped = _eight_bits(warp(grey, done.normalisation.matrix, FRAME_SIDE_PX))
    return {
        "raw": grey,
        "normalised": warped if done.normalisation.brain else grey,
        "cropped": _eight_bits(cropped),
        "input": done.image,
    }


def _levels(grey: np.ndarray, params: PreprocessParams) -> np.ndarray:
    """Grey levels that become black and white; what is cropped away does not set them."""
    bounds = [params.clip_low_percent, params.clip_high_percent]
    return np.asarray(np.percentile(grey, bounds) if grey.size else np.zeros(2))


def _crop(
    grey: np.ndarray, normalisation: Normalisation, params: PreprocessParams
) -> tuple[Box, np.ndarray, np.ndarray]:
    """The box of the frame, what it shows as a square picture, and which pixels show something."""
    box = box_around(normalisation.mask, normalisation.frame_to_mask, params.crop_margin_fraction)
    side_px = params.paper_step_px or params.size_px
    to_frame = square_matrix(box, side_px)
    shown = inside(in_square(box, to_frame), side_px)
    if params.blank_outside:
        to_mask = compose(normalisation.frame_to_mask, to_frame)
        margin_px = params.crop_margin_fraction * side_px * magnification(to_mask)
        shown &= _near(normalisation.mask, margin_px, to_mask, side_px)
    cropped = warp(grey, compose(normalisation.matrix, to_frame), side_px)
    return box, cropped * shown, shown


_LARGE_PX = 1024  # of a mask with a longer side of twice this, every other pixel is enough


def _near(mask: np.ndarray, margin_px: float, matrix: np.ndarray, side_px: int) -> np.ndarray:
    """Which pixels of a square lie in a mask, or at most a margin from it.

    `matrix` takes pixels of the square to the mask's. The margin may go beyond the mask's picture.
    """
    step = max(1, max(mask.shape) // _LARGE_PX)
    if step > 1:
        first = step // 2
        fewer = similarity(1 / step, 0.0, (-first / step, -first / step))
        mask, margin_px = mask[first::step, first::step], margin_px / step
        matrix = compose(fewer, matrix)
    beyond = int(np.ceil(margin_px)) + 1
    away_px = ndimage.distance_transform_edt(~np.pad(mask, beyond))
    left_px = np.clip(margin_px + 0.5 - away_px, 0.0, 1.0)
    moved = compose(similarity(1.0, 0.0, (beyond, beyond)), matrix)
    return np.asarray(warp(left_px, moved, side_px) >= 0.5)


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
    brain = normalisation.brain
    fit = brain.fit if brain else None
    trusted = fit is not None and not normalisation.fallback
    return Record(
        width=grey.shape[1],
        height=grey.shape[0],
        slice=fit.name if fit else "",
        plane=fit.plane if fit else "",
        position_mm=fit.position_mm if fit else 0.0,
        rotation_deg=rotation_deg(normalisation.matrix),
        px_per_mm=magnification(normalisation.matrix) if trusted else 0.0,
        confidence=brain.confidence if brain else 0.0,
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
    params: PreprocessParams,
) -> list[Record]:
    """Preprocess images of `data` and write them (see `shards`), over processes.

    The bytes written are the same however many processes there are.

    Returns:
        A record for each path, in order.

    Raises:
        UserError: a file is missing or not an image.
    """
    records: list[Record] = []

    def named() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        read, done = partial(_read, data), partial(_preprocess_file, params)
        results = spread(done, list(paths), "preprocess", read=read)
        for path, (image, record) in zip(paths, results, strict=True):
            records.append(record)
            yield path, image

    write_images(images, named())
    return records


_File = tuple[str, bytes]  # path relative to the data folder, and content


def _read(data: Path, path: str) -> _File:
    try:
        return path, (data / path).read_bytes()
    except OSError as error:
        raise UserError(f"{path}: {error}") from error


def _preprocess_file(params: PreprocessParams, file: _File) -> tuple[NDArray[np.uint8], Record]:
    path, content = file
    try:
        done = preprocess_image(content, params)
    except ValueError as error:
        raise UserError(f"{path}: {error}") from error
    return done.image, done.record


def preprocess_drawn(
    pictures: Sequence[Drawn], params: PreprocessParams, name: str
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Draw pictures and preprocess them as every image is, over processes: path and image of each.

    `name` says what is drawn, for the progress.
    """
    images = spread(partial(_preprocess_drawn, params), list(pictures), name)
    yield from zip((path for path, _ in pictures), images, strict=True)


def _preprocess_drawn(params: PreprocessParams, picture: Drawn) -> NDArray[np.uint8]:
    return preprocess_grey(picture[1](), params).image


def summarise(labels: Sequence[str], records: Sequence[Record]) -> dict[str, Any]:
    """Count fallbacks, planes and slices by class, and the median confidence.

    Returns:
        For each class and for `all`: images, fallback (count, fraction, and counts by reason and by
        the plane that was thought likeliest), planes (counts; of trusted poses), positions (median
        of each plane, mm; likewise) and the median confidence.
    """
    pairs = list(zip(labels, records, strict=True))
    groups = {"all": list(records)}
    for label in sorted(set(labels)):
        groups[label] = [record for own, record in pairs if own == label]
    return {name: _group(members) for name, members in groups.items()}


def _group(records: Sequence[Record]) -> dict[str, Any]:
    trusted = [record for record in records if record.plane and not record.fallback]
    broken = [record for record in records if record.fallback]
    return {
        "images": len(records),
        "fallback": {
            "count": len(broken),
            "fraction": round(len(broken) / max(len(records), 1), 4),
            "reasons": _counts([record.fallback.rstrip("0123456789. ") for record in broken]),
            "planes": _counts([record.plane or "none" for record in broken]),
        },
        "planes": _counts([record.plane for record in trusted]),
        "positions_mm": {
            plane: _median([record.position_mm for record in trusted if record.plane == plane])
            for plane in sorted({record.plane for record in trusted})
        },
        "confidence_median": _median([record.confidence for record in records]),
    }


def _counts(names: Sequence[str]) -> dict[str, int]:
    return dict(sorted(Counter(names).items()))


def _median(values: Sequence[float]) -> float:
    return round(median(values), 4) if values else 0.0
