"""Phantoms that train beside the images: planes, contrasts and tumours that the data may lack.

The 253 images are axial almost without exception, and a network that saw no other plane calls
healthy sagittal pictures tumours. Each phantom comes as a pair, the same slice with and without
tumour, so that nothing but the tumour tells the two classes apart.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom.anatomy import PLANES
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.settings import LABELS, POSITIVE, AugmentParams, PhantomParams

SOURCE = "phantom"  # where a manifest path has its class
_SEED = 1_000_000  # added to the seed: patients apart from those of a phantom data set


@dataclass(frozen=True)
class PhantomImage:
    """One phantom among the training images.

    Attributes:
        path: its name, as a manifest path is one: `phantom/<pair>-<plane>-<label>`.
        label: `no` or `yes`.
        pair: number of the pair; it fixes patient, plane and contrast.
    """

    path: str
    label: str
    pair: int

    @property
    def plane(self) -> str:
        """Axial, coronal or sagittal."""
        return PLANES[self.pair % len(PLANES)]


def phantom_images(count: int) -> list[PhantomImage]:
    """Which phantoms `count` (even) of them are: the first are the same however many."""
    pairs = [(pair, PLANES[pair % len(PLANES)]) for pair in range(count // 2)]
    return [
        PhantomImage(f"{SOURCE}/{pair:04d}-{plane}-{label}", label, pair)
        for pair, plane in pairs
        for label in LABELS
    ]


def draw(phantom: PhantomImage, looks: PhantomParams, augment: AugmentParams) -> NDArray[np.uint8]:
    """The raw picture of a phantom, uint8 (H, W).

    Args:
        phantom: which.
        looks: section `phantom`; its counts, its seed and its radius are not read.
        augment: section `augment`: the seed and the radius.
    """
    looks = looks.model_copy(update={"tumour_radius_mm": augment.phantom_tumour_radius_mm})
    contrast = phantom.pair // len(PLANES)
    is_tumour = phantom.label == POSITIVE
    seed = _SEED + augment.seed
    return make_slice(seed, phantom.pair, contrast, is_tumour, looks, phantom.plane).image
