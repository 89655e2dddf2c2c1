"""Whether a brain stands upright: the atlas should fit it better than it fits it turned."""

import numpy as np

from brain_tumor.imaging.atlas import SQUARE_PX, Atlas
from brain_tumor.imaging.geometry import resized
from brain_tumor.imaging.information import binned, information

_SLICES = 3  # that fit best; what one of them shares with a picture is often chance


def uprightness(image: np.ndarray, atlas: Atlas) -> float:
    """How much more a stored image shares with the atlas as it is than turned.

    The head fills the image as it fills each square of the atlas, so the two are compared pixel
    by pixel: as it is, mirrored top to bottom (much the same as turned by 180 degrees: heads are
    nearly symmetrical), and turned to the left and to the right. What counts of each is the mean
    normalised mutual information with the slices that share most.

    Args:
        image: the stored image, uint8 (size, size).
        atlas: the slices.

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
