"""Random variants of training images, and the phantoms that train beside them."""

import hashlib
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.imaging.figures import contact_sheet, evenly
from brain_tumor.imaging.geometry import compose, similarity, warp
from brain_tumor.machine import spread
from brain_tumor.settings import AugmentParams
from brain_tumor.shards import ImageRows, open_images


def random_generator(seed: int, path: str, copy: int) -> np.random.Generator:
    """The generator of one copy: it depends on nothing but seed, image and number of the copy."""
    digest = hashlib.sha256(f"{seed}\n{path}\n{copy}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


def variants(image: NDArray[np.uint8], path: str, params: AugmentParams) -> list[NDArray[np.uint8]]:
    """All copies of an image, uint8 (s, s); they depend on image, manifest path and params only."""
    return [
        augment_image(image, random_generator(params.seed, path, number), params)
        for number in range(params.copies)
    ]


def augment_image(image: np.ndarray, rng: np.random.Generator, params: AugmentParams) -> np.ndarray:
    """Draw one variant of an image, uint8 (s, s); with all ranges of `params` 0 it is the image.

    Crop, flips and rotation are one map (pixels are interpolated once), then gamma, contrast and
    brightness, blur, noise, all of them inside the picture only: black padding that differs would
    reveal that an image is a variant. Every number is drawn whatever is switched off, so that
    switching one change off leaves the others as they were.
    """
    geometry, intensities = rng.random(6), rng.random(5)
    noise = rng.standard_normal(image.shape)
    moved = warp(image, _geometry(geometry, image.shape[0], params), image.shape[0])
    changed = _intensities(moved / 255.0, intensities[:3], params)
    changed = ndimage.gaussian_filter(changed, params.blur_sigma_px * intensities[3])
    changed = changed + params.noise_sigma * intensities[4] * noise
    changed = np.where(moved > 0.0, changed, 0.0)
    return np.asarray(np.rint(255.0 * np.clip(changed, 0.0, 1.0)).astype(np.uint8))


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
    return np.asarray(np.where(head, np.clip(changed, 0.0, 1.0), 0.0))


_SHEET_IMAGES = 12
_SHEET_COPIES = 4


def copy_names(path: str, params: AugmentParams) -> list[str]:
    """Names of an image's variants, `<path>--00` and on."""
    return [f"{path}--{number:02d}" for number in range(params.copies)]


def augmented(
    images: ImageRows, paths: Sequence[str], params: AugmentParams, name: str = "augment"
) -> Iterator[tuple[str, NDArray[np.uint8]]]:
    """Make the variants of images, over processes: name and image of each, in order.

    They are the same however many processes there are. `paths` are the images' manifest paths.
    `name` says what is made, for the progress.

    Raises:
        UserError: an image is missing or unreadable.
    """
    read, tasks = partial(_with_image, images), list(enumerate(paths))
    results = spread(partial(_variants, params), tasks, name, read=read)
    for path, copies in zip(paths, results, strict=True):
        yield from zip(copy_names(path, params), copies, strict=True)


def _with_image(images: ImageRows, task: tuple[int, str]) -> tuple[NDArray[np.uint8], str]:
    row, path = task
    return images[row], path


def _variants(
    params: AugmentParams, task: tuple[NDArray[np.uint8], str]
) -> list[NDArray[np.uint8]]:
    image, path = task
    return variants(image, path, params)


def augment_sheet(
    images: Path, paths: Sequence[str], folder: Path, params: AugmentParams, path: Path
) -> None:
    """Contact sheet (PNG) of a few of `paths`, each followed by its first variants."""
    shown = evenly(paths, _SHEET_IMAGES)
    names = [copy_names(path, params)[:_SHEET_COPIES] for path in shown]
    copies = iter(open_images(folder, [name for group in names for name in group])[:])
    tiles = [
        (path, (image, *islice(copies, len(group))))
        for path, image, group in zip(shown, open_images(images, shown)[:], names, strict=True)
    ]
    title = f"Training images, each followed by its variants ({params.copies} an image)"
    contact_sheet(tiles, path, title, columns=2, side_px=84)
