"""One picture file as hashes see it."""

import warnings
from pathlib import Path

from PIL import Image

from brain_tumor.dataset.validation.image_facts import EXTENSIONS, upright_grey


def read_picture(file: Path) -> Image.Image | None:
    """The picture upright and in 8-bit grey.

    Returns:
        None where the file is not one picture of the formats of the data folder: it cannot be
        read, or is of several frames, a volume or DICOM.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd EXIF
            with Image.open(file, formats=tuple(EXTENSIONS)) as image:
                return None if getattr(image, "n_frames", 1) > 1 else upright_grey(image)
    except Exception:  # Pillow's decoders raise many kinds
        return None
