"""Random variants of a training image: geometry, intensities, blur and noise."""

import hashlib

import numpy as np
from scipy import ndimage

from brain_tumor.imaging.geometry import compose, similarity, warp
from brain_tumor.settings import AugmentParams


def random_generator(seed: int, path: str, copy: int) -> np.random.Generator:
    """The generator of one copy: it depends on nothing but seed, image and number of the copy."""
    digest = hashlib.sha256(f"{seed}\n{path}\n{copy}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def variants(image: np.ndarray, path: str, params: AugmentParams) -> list[np.ndarray]:
    """All copies of an image; they depend on the image, its path and the params only.

    Args:
        image: uint8 (s, s).
        path: manifest path of the image.
        params: ranges and the number of copies.

    Returns:
        `params.copies` images like it.
    """
    return [
        augment_image(image, random_generator(params.seed, path, number), params)
        for number in range(params.copies)
    ]


def augment_image(image: np.ndarray, rng: np.random.Generator, params: AugmentParams) -> np.ndarray:
    """Draw one variant of an image.

    Crop, flips and rotation are one map (pixels are interpolated once), then gamma, contrast and
    brightness, blur, noise, all of them inside the picture only: black padding that differs would
    reveal that an image is a variant. Every number is drawn whatever is switched off, so that
    switching one change off leaves the others as they were.

    Args:
        image: uint8 (s, s).
        rng: source of the randomness, used up by the call.
        params: ranges; with all of them 0 the image comes back as it is.

    Returns:
        uint8 (s, s).
    """
    geometry, intensities = rng.random(6), rng.random(5)
    noise = rng.standard_normal(image.shape)
    moved = warp(image, _geometry(geometry, image.shape[0], params), image.shape[0])
    changed = _intensities(moved / 255.0, intensities[:3], params)
    changed = ndimage.gaussian_filter(changed, params.blur_sigma_px * intensities[3])
    changed = changed + params.noise_sigma * intensities[4] * noise
    changed = np.where(moved > 0.0, changed, 0.0)
    variant: np.ndarray = np.rint(255.0 * np.clip(changed, 0.0, 1.0)).astype(np.uint8)
    return variant


def _geometry(drawn: np.ndarray, side_px: int, params: AugmentParams) -> np.ndarray:
    """The map (2, 3) from a pixel of the variant to a pixel of the image.

    `drawn` are six numbers in [0, 1): size and position of the crop, flips, rotation.
    """
    half = (side_px - 1) / 2
    kept = 1.0 - params.crop_fraction * drawn[0]
    room = (1.0 - kept) * half
    centre = half + room * (2.0 * drawn[1:3] - 1.0)
    mirror = np.where(
        drawn[3:5] < (params.horizontal_flip_probability, params.vertical_flip_probability),
        -1.0,
        1.0,
    )
    to_centre = np.array([[mirror[0], 0.0, -mirror[0] * half], [0.0, mirror[1], -mirror[1] * half]])
    angle = np.deg2rad(params.rotation_deg) * (2.0 * drawn[5] - 1.0)
    return compose(similarity(kept, float(angle), (centre[0], centre[1])), to_centre)


def _intensities(unit: np.ndarray, drawn: np.ndarray, params: AugmentParams) -> np.ndarray:
    """Gamma exp(U(-g, g)), contrast 1 + U(-c, c) about the mean, brightness U(-b, b).

    Black stays black.
    """
    gamma, contrast, brightness = 2.0 * drawn - 1.0
    powered = np.clip(unit, 0.0, 1.0) ** np.exp(params.gamma * gamma)
    head = unit > 0.0
    mean = float(powered[head].mean()) if head.any() else 0.0
    changed = mean + (powered - mean) * (1.0 + params.contrast * contrast)
    changed = changed + params.brightness * brightness
    kept: np.ndarray = np.where(head, np.clip(changed, 0.0, 1.0), 0.0)
    return kept
