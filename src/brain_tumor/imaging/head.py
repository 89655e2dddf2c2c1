"""The head in a picture: where it is, and the crop to it."""

from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

from brain_tumor.imaging.geometry import invert, transform

_WORK_PX = 160  # the mask is found on a picture whose long side has this many pixels
_LINE_PX = 2  # lines and letters up to about twice this thick (working pixels) are removed
_THRESHOLD_FRACTION = 0.75  # of Otsu's threshold: rather some background than a bitten head
_PART_FRACTION = 0.05  # of the largest part's area: smaller parts are letters, not scalp
_BRIGHT_MARGIN = (
    0.85  # of the range: an edge row or column this bright throughout is page, not head
)


def head_mask(image: np.ndarray) -> np.ndarray:
    """Mask the largest object of a grey picture, uint8 (H, W), with its holes filled.

    White page margins and frames are ignored, the level of the background is read from the
    picture's edge (dark or bright), thin lines and letters are opened away.

    Returns:
        bool (H, W); all True when nothing stands out (an even picture).
    """
    step = max(1.0, max(image.shape) / _WORK_PX)
    small = _shrink(image, step)
    mask = _small_mask(small)
    if not mask.any():
        return np.ones(image.shape, dtype=bool)
    rows = np.minimum((np.arange(image.shape[0]) / step).astype(int), mask.shape[0] - 1)
    columns = np.minimum((np.arange(image.shape[1]) / step).astype(int), mask.shape[1] - 1)
    return np.asarray(mask[np.ix_(rows, columns)])


def _shrink(image: np.ndarray, step: float) -> np.ndarray:
    height, width = (max(1, int(side / step)) for side in image.shape)
    small = Image.fromarray(image).resize((width, height), Image.Resampling.BOX)
    return np.asarray(small, dtype=np.float64)


def _small_mask(image: np.ndarray) -> np.ndarray:
    top, bottom, left, right = _inside_margins(image)
    inside_margins = image[top:bottom, left:right]
    contrast = _contrast(inside_margins)
    threshold = _THRESHOLD_FRACTION * _otsu(contrast)
    y, x = np.ogrid[-_LINE_PX : _LINE_PX + 1, -_LINE_PX : _LINE_PX + 1]
    disk = x * x + y * y <= _LINE_PX**2
    # Padding by edge values keeps a head that is cut by the picture's edge from being eaten there.
    padded = np.pad(contrast > threshold, _LINE_PX, mode="edge")
    opened = ndimage.binary_opening(padded, disk)[_LINE_PX:-_LINE_PX, _LINE_PX:-_LINE_PX]
    mask = np.zeros(image.shape, dtype=bool)
    mask[top:bottom, left:right] = hull(large_parts(opened))
    return mask


def _contrast(image: np.ndarray) -> np.ndarray:
    """Square root of the distance to the background, bright outliers (tumour, fat) clipped."""
    distance = np.abs(image - _background_level(image))
    # The root draws dim brain and bright scalp together, so one threshold takes the whole head.
    return np.asarray(np.sqrt(np.minimum(distance, np.percentile(distance, 95))))


def _inside_margins(image: np.ndarray) -> tuple[int, int, int, int]:
    """Bounds (top, bottom, left, right) inside page-white rows and columns at the edges.

    Dark rows outside a white frame are passed over too; at most a quarter is cut from each side.
    """
    limit = _BRIGHT_MARGIN * float(image.max())
    bright_rows = np.percentile(image, 10, axis=1) > limit
    bright_columns = np.percentile(image, 10, axis=0) > limit
    top, bottom = _between(bright_rows)
    left, right = _between(bright_columns)
    return top, bottom, left, right


def _between(bright: np.ndarray) -> tuple[int, int]:
    quarter = len(bright) // 4
    first = np.flatnonzero(bright[:quarter])
    last = np.flatnonzero(bright[len(bright) - quarter :])
    start = int(first[-1]) + 1 if first.size else 0
    stop = len(bright) - quarter + int(last[0]) if last.size else len(bright)
    return start, stop


def _background_level(image: np.ndarray) -> float:
    """The grey of the background: bright only if nearly the whole edge is, else the darkest."""
    edge = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    bright = float(np.percentile(edge, 20))
    if bright > 0.7 * float(image.max()):
        return float(np.median(edge))
    return float(np.percentile(image, 1))


def _otsu(values: np.ndarray) -> float:
    """Otsu's threshold: the level that maximises the variance between the two classes."""
    counts, edges = np.histogram(values, bins=128)
    centres = 0.5 * (edges[1:] + edges[:-1])
    below = np.cumsum(counts)
    above = below[-1] - below
    total = np.cumsum(counts * centres)
    valid = (below > 0) & (above > 0)
    if not valid.any():
        return float(centres[-1])
    gap = total[valid] / below[valid] - (total[-1] - total[valid]) / above[valid]
    return float(centres[valid][np.argmax(below[valid] * above[valid] * gap**2)])


def large_parts(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part and those not much smaller (scalp apart from the brain)."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: np.ndarray = (sizes > 0) & (sizes >= _PART_FRACTION * sizes.max())
    return np.asarray(kept[labels])


def hull(mask: np.ndarray) -> np.ndarray:
    """Fill the convex hull: a head is nearly convex, and skull is as dark as the background."""
    points = np.argwhere(mask)
    if len(points) == 0 or np.ptp(points, axis=0).min() == 0:
        return mask
    corners = points[ConvexHull(points).vertices]
    picture = Image.new("1", (mask.shape[1], mask.shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for y, x in corners], fill=1, outline=1)
    return np.array(picture)


@dataclass(frozen=True)
class Box:
    """An upright rectangle in pixel coordinates: outer edges, so a lone pixel 0 is -0.5 to 0.5."""

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Pixels from left to right."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Pixels from top to bottom."""
        return self.bottom - self.top


def box_around(mask: np.ndarray, matrix: np.ndarray, margin_fraction: float) -> Box:
    """Bounding box of a mask as it lies in a frame, plus a margin on each side.

    Args:
        mask: bool (H, W), not empty.
        matrix: (2, 3), pixel of the frame to pixel of the mask.
        margin_fraction: margin over the longer side of the box.
    """
    # The outermost pixels of each row are enough: a map keeps straight lines straight.
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1) - 0.5
    last = mask.shape[1] - 0.5 - mask[rows, ::-1].argmax(axis=1)
    x = np.concatenate([first, last, first, last])
    y = np.concatenate([rows - 0.5, rows - 0.5, rows + 0.5, rows + 0.5])
    corners = transform(invert(matrix), np.stack([x, y], axis=1))
    (left, top), (right, bottom) = corners.min(axis=0), corners.max(axis=0)
    margin = margin_fraction * max(right - left, bottom - top)
    return Box(
        float(left - margin), float(top - margin), float(right + margin), float(bottom + margin)
    )


def square_matrix(box: Box, size_px: int) -> np.ndarray:
    """The map (2, 3) from a square of `size_px` pixels to the frame, with `box` centred in it.

    The longer side of the box fills the square; the shorter side is padded, not stretched:
    millimetres stay equal in both directions, so that rotating or flipping a stored image later
    means what it says, and shapes look as they did where the network's weights were trained.
    """
    scale = max(box.width, box.height) / size_px
    left = 0.5 * (box.left + box.right - scale * (size_px - 1))
    top = 0.5 * (box.top + box.bottom - scale * (size_px - 1))
    return np.array([[scale, 0.0, left], [0.0, scale, top]])


def in_square(box: Box, matrix: np.ndarray) -> Box:
    """A box of the frame in the pixels of the square that `square_matrix` maps to the frame."""
    scale, left, top = float(matrix[0, 0]), float(matrix[0, 2]), float(matrix[1, 2])
    return Box(
        (box.left - left) / scale,
        (box.top - top) / scale,
        (box.right - left) / scale,
        (box.bottom - top) / scale,
    )


def inside(box: Box, size_px: int) -> np.ndarray:
    """Which pixels of a square picture have their centre in a box, bool (size_px, size_px)."""
    pixels = np.arange(size_px)
    across = (pixels >= box.left) & (pixels <= box.right)
    down = (pixels >= box.top) & (pixels <= box.bottom)
    return np.asarray(down[:, None] & across[None, :])
