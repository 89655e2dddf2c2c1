"""The part of a picture that shows the head, as a square."""

from dataclasses import dataclass

import numpy as np

from brain_tumor.imaging.geometry import invert, transform


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


def head_box(mask: np.ndarray, matrix: np.ndarray, margin_fraction: float) -> Box:
    """Bounding box of a mask seen in a frame, plus a margin on each side.

    Args:
        mask: bool (H, W) in the picture, not empty.
        matrix: (2, 3), pixel of the frame to pixel of the picture.
        margin_fraction: margin over the longer side of the box.
    """
    # The outermost pixels of each row are enough: a map keeps straight lines straight.
    rows = np.flatnonzero(mask.any(axis=1))
    first = mask[rows].argmax(axis=1) - 0.5
    last = mask.shape[1] - 0.5 - mask[rows, ::-1].argmax(axis=1)
    x = np.concatenate([first, last, first, last])
    y = np.concatenate([rows - 0.5, rows - 0.5, rows + 0.5, rows + 0.5])
    seen = transform(invert(matrix), np.stack([x, y], axis=1))
    (left, top), (right, bottom) = seen.min(axis=0), seen.max(axis=0)
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
    shown: np.ndarray = down[:, None] & across[None, :]
    return shown
