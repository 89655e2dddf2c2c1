"""The places that speak for and against a tumour, drawn over the slice they were found in."""

import io

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from scipy import ndimage

from brain_tumor.imaging.geometry import compose, invert
from brain_tumor.imaging.head import head_mask, inside
from brain_tumor.inference.classifier import Finding

# Orange and blue (Okabe & Ito 2008) are told apart with any colour vision.
FOR_RGB = (230.0, 159.0, 0.0)
AGAINST_RGB = (86.0, 180.0, 233.0)
_OPACITY = 0.7  # of the strongest place
_LONG_SIDE_PX = 512
_CAPTION_PX = 16
_FADE_PX = 3.0  # of the picture shown: colour fades towards the head's outline


def picture_png(finding: Finding) -> bytes:
    """The slice as read, at the size of its heat map, as PNG."""
    return _png(_scaled(finding.prepared.grey).convert("L"))


def heatmap_png(finding: Finding) -> bytes:
    """The slice as read with the contributions over it, as PNG.

    Orange places add to the logit of a tumour, blue ones take from it; the strongest place of the
    head is the most opaque, whatever its size. What lies outside the head, or is not seen by the
    network, stays grey.
    """
    return _png(_overlay(finding))


def strongest(finding: Finding) -> float:
    """What the most opaque place of the heat map adds to the logit, or takes from it (above 0)."""
    return float(np.abs(_shown(finding)).max())


def heatmap_sheet_png(finding: Finding, name: str) -> bytes:
    """The slice, the same with its heat map, and a caption, side by side, as PNG.

    Args:
        finding: of the slice.
        name: of its file, for the caption.
    """
    overlay = _overlay(finding)
    width, height = overlay.size
    sheet = Image.new("RGB", (2 * width, height + 4 * _CAPTION_PX))
    sheet.paste(_scaled(finding.prepared.grey), (0, 0))
    sheet.paste(overlay, (width, 0))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_CAPTION_PX - 4)
    for number, line in enumerate(_caption(finding, name)):
        draw.text((4, height + 2 + number * _CAPTION_PX), line, font=font, fill="white")
    return _png(sheet)


def _caption(finding: Finding, name: str) -> list[str]:
    one = finding.prediction
    part = f", {one.slice}" if one.slice else ""
    lines = [
        f"{name}{part}",
        f"tumour: {one.label}; probability {one.probability:.3f}, threshold {one.threshold:.2f}",
        f"orange for, blue against; strongest place {strongest(finding):.2f} of the logit. "
        "Research only.",
    ]
    return [*lines, "UNLIKE the training images"] if one.out_of_distribution else lines


def _overlay(finding: Finding) -> Image.Image:
    picture = _scaled(finding.prepared.grey)
    found = _shown(finding)[..., np.newaxis]
    strength = _OPACITY * np.abs(found) / max(float(np.abs(found).max()), 1e-12)
    colour = np.where(found > 0, FOR_RGB, AGAINST_RGB)
    mixed = (1 - strength) * np.asarray(picture, dtype=np.float64) + strength * colour
    return Image.fromarray(np.rint(mixed).clip(0, 255).astype(np.uint8))


def _shown(finding: Finding) -> NDArray[np.float64]:
    """Contributions on the slice as it is shown; 0 outside the head and where nothing was seen."""
    picture = _scaled(finding.prepared.grey)
    record, size = finding.prepared.record, picture.size
    width, height = size
    to_raw = _scaling(record.width / width, record.height / height)
    to_stored = compose(invert(record.matrix), to_raw)
    to_cell = compose(_cells(finding), to_stored)
    seen = inside(record.box, record.size_px).astype(np.float64)
    spread = _sampled(finding.contributions.astype(np.float64), to_cell, size, "nearest")
    return spread * _sampled(seen, to_stored, size, "constant") * _head(finding, size)


def _head(finding: Finding, size: tuple[int, int]) -> NDArray[np.float64]:
    """1 within the head, less near its outline, 0 outside, at a size (width, height)."""
    mask = Image.fromarray(head_mask(finding.prepared.grey)).resize(size, Image.Resampling.NEAREST)
    within = np.asarray(mask, dtype=np.float64)
    faded: NDArray[np.float64] = within * ndimage.gaussian_filter(within, _FADE_PX)
    return faded


def _cells(finding: Finding) -> NDArray[np.float64]:
    """The map from a pixel of the network's input to a place of the contributions."""
    step, middle = 1.0 / finding.stride_px, 0.5 * (finding.prepared.record.size_px - 1)
    down, across = (0.5 * (side - 1) - step * middle for side in finding.contributions.shape)
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
