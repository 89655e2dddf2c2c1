"""A folder of network inputs to a folder of random variants of some of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brain_tumor.imaging.augment import variants
from brain_tumor.imaging.sheets import contact_sheet, evenly
from brain_tumor.imaging.workers import spread
from brain_tumor.outputs import load_images, save_image, stored
from brain_tumor.settings import AugmentParams

_SHEET_IMAGES = 12
_SHEET_COPIES = 4


@dataclass(frozen=True)
class _Job:
    images: Path
    augmented: Path
    params: AugmentParams


def copy_names(path: str, params: AugmentParams) -> list[str]:
    """Names of an image's variants, `<path>--00` and on; files are `<name>.png`."""
    return [f"{path}--{number:02d}" for number in range(params.copies)]


def augment_folder(
    images: Path, paths: Sequence[str], augmented: Path, params: AugmentParams
) -> None:
    """Write the variants of stored images, over processes, same bytes however many.

    Args:
        images: folder of stage preprocess.
        paths: manifest paths of the images to vary: those of the training split.
        augmented: folder written to, `<path>--00.png` and on.
        params: section `augment`.

    Raises:
        StoredImageError: an image is missing or unreadable.
    """
    job = _Job(images, augmented, params)
    augmented.mkdir(parents=True, exist_ok=True)
    for _ in spread(partial(_augment_file, job), list(paths), "augment"):
        pass


def _augment_file(job: _Job, path: str) -> None:
    (image,) = load_images(job.images, [path])
    copies = variants(image, path, job.params)
    for name, copy in zip(copy_names(path, job.params), copies, strict=True):
        save_image(stored(job.augmented, name), copy)


def augment_sheet(
    images: Path, paths: Sequence[str], augmented: Path, params: AugmentParams, path: Path
) -> None:
    """Contact sheet of a few images, each followed by its first variants.

    Args:
        images: folder of stage preprocess.
        paths: manifest paths of the training images, sorted.
        augmented: folder that `augment_folder` wrote.
        params: as given to `augment_folder`.
        path: PNG to write.
    """
    tiles = []
    for name in evenly(paths, _SHEET_IMAGES):
        variants = load_images(augmented, copy_names(name, params)[:_SHEET_COPIES])
        tiles.append((name, (*load_images(images, [name]), *variants)))
    title = f"Training images, each followed by its variants ({params.copies} an image)"
    contact_sheet(tiles, path, title, columns=2, side_px=84)
