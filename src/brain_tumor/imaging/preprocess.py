"""One raw image to the network's input, the same in the pipeline and at prediction time.

Order, as in the paper: spatial normalisation, crop, (100x100), intensities to [0, 1], 299x299.
The geometric steps are composed into one map, so pixels are interpolated once (twice with the
100x100 step).
"""

from dataclasses import asdict, dataclass

import numpy as np
from scipy import ndimage

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.crop import Box, head_box, in_square, inside, square_matrix
from brain_tumor.imaging.decode import decode
from brain_tumor.imaging.geometry import compose, resized, warp
from brain_tumor.imaging.normalise import FRAME_SIDE_PX, Normalisation, normalise
from brain_tumor.imaging.record import Record
from brain_tumor.settings import PreprocessParams


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
    """Turn an encoded image into the network's input.

    Args:
        data: the encoded file, as `decode` takes it.
        atlas: as for `preprocess_grey`.
        params: section `preprocess`.

    Raises:
        DecodeError: the bytes are not an image.
    """
    return preprocess_grey(decode(data), atlas, params)


def preprocess_grey(
    grey: np.ndarray, atlas: Atlas | None, params: PreprocessParams
) -> Preprocessed:
    """Turn a grey picture into the network's input.

    Repeats bit for bit on one machine, in any process and order.

    Args:
        grey: uint8 (height, width).
        atlas: the slices to normalise to; may be None with `normalisation: none`.
        params: section `preprocess`.
    """
    found = normalise(grey, atlas, params)
    box = head_box(found.mask, found.matrix, params.crop_margin_fraction)
    cropped, shown = _crop(grey, found, box, params)
    # Of the head only: frames, letters and the share of background must not set the contrast.
    bounds = [params.clip_low_percent, params.clip_high_percent]
    levels = np.percentile(grey[found.mask], bounds)
    unit = np.clip((cropped - levels[0]) / max(levels[1] - levels[0], 1.0), 0.0, 1.0) * shown
    image = _eight_bits(255.0 * resized(unit, params.size_px))
    steps = {"raw": grey, "normalised": _frame(grey, found), "cropped": _eight_bits(cropped)}
    return Preprocessed(image, _record(grey, found, box, levels, params), {**steps, "input": image})


def _crop(
    grey: np.ndarray, found: Normalisation, box: Box, params: PreprocessParams
) -> tuple[np.ndarray, np.ndarray]:
    """The box of the frame as a square picture, and which pixels of it show something."""
    side_px = params.paper_step_px or params.size_px
    to_frame = square_matrix(box, side_px)
    matrix = compose(found.matrix, to_frame)
    shown = inside(in_square(box, to_frame), side_px)
    if params.blank_outside_head:
        far_px = ndimage.distance_transform_edt(~warp(found.mask, matrix, side_px, order=0))
        shown &= far_px <= params.crop_margin_fraction * side_px
    return warp(grey, matrix, side_px) * shown, shown


def _frame(grey: np.ndarray, found: Normalisation) -> np.ndarray:
    """The normalised picture before the crop; the raw one where nothing is normalised."""
    return _eight_bits(warp(grey, found.matrix, FRAME_SIDE_PX)) if found.slice_name else grey


def _record(
    grey: np.ndarray, found: Normalisation, box: Box, levels: np.ndarray, params: PreprocessParams
) -> Record:
    to_frame = square_matrix(box, params.size_px)
    matrix = compose(found.matrix, to_frame)
    names = ("m00", "m01", "m02", "m10", "m11", "m12")
    return Record(
        width=grey.shape[1],
        height=grey.shape[0],
        slice=found.slice_name,
        plane=found.plane,
        rotation_deg=found.rotation_deg,
        px_per_mm=found.px_per_mm,
        information=found.information,
        overlap=found.overlap,
        fallback=found.fallback,
        **dict(zip(names, map(float, matrix.ravel()), strict=True)),
        **asdict(in_square(box, to_frame)),
        low=float(levels[0]),
        high=float(levels[1]),
        size_px=params.size_px,
    )


def _eight_bits(values: np.ndarray) -> np.ndarray:
    rounded: np.ndarray = np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)
    return rounded
