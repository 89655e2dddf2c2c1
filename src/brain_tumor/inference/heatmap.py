"""The places that speak for and against a tumour, drawn over the slice they were found in."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from brain_tumor.imaging.geometry import compose, invert
from brain_tumor.imaging.head import head_mask, inside
from brain_tumor.inference.classifier import SliceResult

# Orange and blue (Okabe & Ito 2008) are told apart with any colour vision.
FOR_RGB = (230.0, 159.0, 0.0)
AGAINST_RGB = (86.0, 180.0, 233.0)
_OPACITY = 0.7  # of the strongest place
_LONG_SIDE_PX = 512
_CAPTION_PX = 16
_FADE_PX = 3.0  # of the picture shown: colour fades towards the head's outline


def picture_png(result: SliceResult) -> bytes:
    """The slice as read, at the size of its heat map, as PNG."""
    return _png(_scaled(result.prepared.grey).convert("L"))


def heatmap_png(result: SliceResult) -> bytes:
    """The slice as read with the contributions over it, as PNG.

    Orange places add to the logit of a tumour, blue ones take from it; the strongest place of the
    head is the most opaque, whatever its size. What lies outside the head, or is not seen by the
    network, stays grey.
    """
    return _png(_overlay(result))


def strongest(result: SliceResult) -> float:
    """What the most opaque place of the heat map adds to the logit, or takes from it (above 0)."""
    return float(np.abs(_shown(result)).max())


def heatmap_sheet_png(result: SliceResult, name: str) -> bytes:
    """The slice and its heat map side by side over a caption with its file's name, as PNG."""
    overlay = _overlay(result)
    width, height = overlay.size
    sheet = Image.new("RGB", (2 * width, height + 4 * _CAPTION_PX))
    sheet.paste(_scaled(result.prepared.grey), (0, 0))
    sheet.paste(overlay, (width, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_CAPTION_PX - 4)
    for number, line in enumerate(_caption(result, name)):
        draw.text((4, height + 2 + number * _CAPTION_PX), line, font=font, fill="white")
    return _png(sheet)


def _caption(result: SliceResult, name: str) -> list[str]:
    prediction = result.prediction
    part = f", {prediction.slice}" if prediction.slice else ""
    lines = [
        f"{name}{part}",
        f"tumour: {prediction.label}; probability {prediction.probability:.3f}, "
        f"threshold {prediction.threshold:.2f}",
        f"orange for, blue against; strongest place {strongest(result):.2f} of the logit. "
        "Research only.",
    ]
    return [*lines, "UNLIKE the training images"] if prediction.out_of_distribution else lines


def _overlay(result: SliceResult) -> Image.Image:
    picture = _scaled(result.prepared.grey)
    shown = _shown(result)[..., np.newaxis]
    strength = _OPACITY * np.abs(shown) / max(float(np.abs(shown).max()), 1e-12)
    colour = np.where(shown > 0, FOR_RGB, AGAINST_RGB)
    mixed = (1 - strength) * np.asarray(picture, dtype=np.float64) + strength * colour
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))


def _shown(result: SliceResult) -> NDArray[np.float64]:
    """Contributions on the slice as it is shown; 0 outside the head and where nothing was seen."""
    picture = _scaled(result.prepared.grey)
    record, size = result.prepared.record, picture.size
    width, height = size
    to_raw = _scaling(record.width / width, record.height / height)
    to_stored = compose(invert(record.matrix), to_raw)
    to_cell = compose(_cells(result), to_stored)
    visible = inside(record.box, record.size_px).astype(np.float64)
    spread = _sampled(result.contributions.astype(np.float64), to_cell, size, "nearest")
    return spread * _sampled(visible, to_stored, size, "constant") * _head(result, size)


def _head(result: SliceResult, size: tuple[int, int]) -> NDArray[np.float64]:
    """1 within the head, less near its outline, 0 outside, at a size (width, height)."""
    mask = Image.fromarray(head_mask(result.prepared.grey)).resize(size, Image.Resampling.NEAREST)
    within = np.asarray(mask, dtype=np.float64)
    faded: NDArray[np.float64] = within * ndimage.gaussian_filter(within, _FADE_PX)
    return faded


def _cells(result: SliceResult) -> NDArray[np.float64]:
    """The map from a pixel of the network's input to a place of the contributions."""
    step, middle = 1.0 / result.stride_px, 0.5 * (result.prepared.record.size_px - 1)
    down, across = (0.5 * (side - 1) - step * middle for side in result.contributions.shape)
    return np.array([[step, 0.0, across], [0.0, step, down]])


def _scaling(across: float, down: float) -> NDArray[np.float64]:
    """The (2, 3) map of pixel centres between two grids over the same picture."""
    return np.array([[across, 0.0, 0.5 * (across - 1.0)], [0.0, down, 0.5 * (down - 1.0)]])


def _sampled(
    values: NDArray[np.float64], matrix: NDArray[np.float64], size: tuple[int, int], mode: str
) -> NDArray[np.float64]:
    """Values (linear) under a map from output to input pixel (x, y); float64 (height, width)."""
    sampled: NDArray[np.float64] = ndimage.affine_transform(
        values, matrix[::-1, 1::-1], matrix[::-1, 2], size[::-1], order=1, mode=mode
    )
    return sampled


def _scaled(grey: NDArray[np.uint8]) -> Image.Image:
    factor = _LONG_SIDE_PX / max(grey.shape)
    size = tuple(max(1, round(side * factor)) for side in grey.shape[::-1])
    return Image.fromarray(grey).resize((size[0], size[1]), Image.Resampling.BICUBIC).convert("RGB")


def _png(image: Image.Image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=3)  # as small as the default, four times as fast
    return buffer.getvalue()
