"""A guess of the class from the files' metadata alone: what a model must beat."""

import math
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from PIL import Image

from brain_tumor.imaging.picture import FORMATS

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

_COLUMNS: Final = ("JPEG", "PNG", "BMP", "TIFF", "GIF", "WEBP")
_MODES: Final = ("L", "RGB", "RGBA", "LA", "P", "CMYK", "I;16", "I", "1")
_TREES = 300


def metadata_features(path: Path) -> dict[str, float]:
    """Describe a file by its size, its header and what travels with it; no pixel is decoded.

    Returns:
        The same keys in the same order for every file: `bytes`; `width`, `height` (pixels),
        `aspect` (width / height), `bytes_per_pixel`, `jpeg_quantisation` (mean of the tables; the
        larger, the lower the quality), NaN where unknown; and 0 or 1 for each format and mode
        (`format_other`: DICOM, NIfTI and what has no header that Pillow knows), `exif`, `icc`,
        `resolution` (dots per inch are given), `progressive`.

    Raises:
        OSError: there is no such file, or it may not be read.
    """
    size = float(path.stat().st_size)
    with path.open("rb") as file, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow warns of odd EXIF and of large pictures
        try:
            with Image.open(file, formats=FORMATS) as image:
                return {"bytes": size} | _described(image, size)
        except Exception:  # Pillow's plugins raise many kinds; the file is of no kind they know
            return {"bytes": size} | _described(None, size)


def metadata_classifier(seed: int) -> "Pipeline":
    """A random forest on a DataFrame with the columns of `metadata_features`; not fitted.

    Classes weigh the same, so that its probability of a class does not just follow its frequency.
    """
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import make_pipeline

    forest = RandomForestClassifier(
        _TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed
    )
    unknown = SimpleImputer(strategy="constant", fill_value=-1.0, keep_empty_features=True)
    return make_pipeline(unknown, forest)


def _format(image: Image.Image | None) -> str:
    """Pillow's name of the format; a phone's two pictures in a JPEG (MPO) are one to all others."""
    name = (image and image.format) or ""
    return "JPEG" if name == "MPO" else name


def _described(image: Image.Image | None, size: float) -> dict[str, float]:
    width, height = image.size if image else (math.nan, math.nan)
    info = image.info if image else {}
    return {
        "width": float(width),
        "height": float(height),
        "aspect": width / height,
        "bytes_per_pixel": size / (width * height),
        "jpeg_quantisation": _quantisation(image),
        **_one_hot("format", _format(image), _COLUMNS),
        **_one_hot("mode", image.mode if image else "", _MODES),
        "exif": float("exif" in info),
        "icc": float(bool(info.get("icc_profile"))),
        "resolution": float("dpi" in info),
        "progressive": float(bool(info.get("progressive"))),
    }


def _quantisation(image: Image.Image | None) -> float:
    tables = getattr(image, "quantization", None) or {}
    values = [value for table in tables.values() for value in table]
    return sum(values) / len(values) if values else math.nan


def _one_hot(name: str, value: str, choices: tuple[str, ...]) -> dict[str, float]:
    flags = {f"{name}_{choice}": float(value == choice) for choice in choices}
    return flags | {f"{name}_other": float(value not in choices)}
