"""Which pixels of a slice show a head (or a brain without skull), by thresholds and morphology."""

import numpy as np
from PIL import Image, ImageDraw
from scipy import ndimage
from scipy.spatial import ConvexHull

_WORK_PX = 160  # the mask is found on a picture whose long side has this many pixels
_LINE_PX = 2  # lines and letters up to about twice this thick (working pixels) are removed
_THRESHOLD_FRACTION = 0.75  # of Otsu's threshold: rather some background than a bitten head
_PART_FRACTION = 0.05  # of the largest part's area: smaller parts are letters, not scalp
_BRIGHT_MARGIN = (
    0.85  # of the range: an edge row or column this bright throughout is page, not head
)


def head_mask(image: np.ndarray) -> np.ndarray:
    """Mask the largest object of a grey picture, holes filled.

    White page margins and frames are ignored, the level of the background is read from the
    picture's edge (dark or bright), thin lines and letters are opened away.

    Args:
        image: uint8 (H, W).

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
    full: np.ndarray = mask[np.ix_(rows, columns)]
    return full


def _shrink(image: np.ndarray, step: float) -> np.ndarray:
    smooth = ndimage.gaussian_filter(image.astype(np.float64), 0.4 * step, mode="nearest")
    height, width = (max(1, int(side / step)) for side in image.shape)
    rows = np.minimum(((np.arange(height) + 0.5) * step).astype(int), image.shape[0] - 1)
    columns = np.minimum(((np.arange(width) + 0.5) * step).astype(int), image.shape[1] - 1)
    shrunk: np.ndarray = smooth[np.ix_(rows, columns)]
    return shrunk


def _small_mask(image: np.ndarray) -> np.ndarray:
    top, bottom, left, right = _inside_margins(image)
    inner = image[top:bottom, left:right]
    contrast = _contrast(inner)
    threshold = _THRESHOLD_FRACTION * _otsu(contrast)
    disk = _disk(_LINE_PX)
    # Padding by edge values keeps a head that is cut by the picture's edge from being eaten there.
    padded = np.pad(contrast > threshold, _LINE_PX, mode="edge")
    opened = ndimage.binary_opening(padded, disk)[_LINE_PX:-_LINE_PX, _LINE_PX:-_LINE_PX]
    mask = np.zeros(image.shape, dtype=bool)
    mask[top:bottom, left:right] = _hull(_large_parts(opened))
    return mask


def _contrast(image: np.ndarray) -> np.ndarray:
    """Square root of the distance to the background, bright outliers (tumour, fat) clipped."""
    distance = np.abs(image - _background_level(image))
    # The root draws dim brain and bright scalp together, so one threshold takes the whole head.
    contrast: np.ndarray = np.sqrt(np.minimum(distance, np.percentile(distance, 95)))
    return contrast


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


def _large_parts(mask: np.ndarray) -> np.ndarray:
    """Keep the largest connected part and those not much smaller (scalp apart from the brain)."""
    labels, _ = ndimage.label(mask)
    sizes = np.bincount(labels.ravel())
    sizes[0] = 0
    kept: np.ndarray = (sizes > 0) & (sizes >= _PART_FRACTION * sizes.max())
    parts: np.ndarray = kept[labels]
    return parts


def _hull(mask: np.ndarray) -> np.ndarray:
    """Fill the convex hull: a head is nearly convex, and skull is as dark as the background."""
    points = np.argwhere(mask)
    if len(points) == 0 or np.ptp(points, axis=0).min() == 0:
        return mask
    corners = points[ConvexHull(points).vertices]
    picture = Image.new("1", (mask.shape[1], mask.shape[0]))
    ImageDraw.Draw(picture).polygon([(int(x), int(y)) for y, x in corners], fill=1, outline=1)
    return np.array(picture)


def _disk(radius: int) -> np.ndarray:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk: np.ndarray = x * x + y * y <= radius * radius
    return disk
