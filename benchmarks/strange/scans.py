"""Computed tomography, ultrasound and an abdomen: variants of scans that pydicom ships, or drawn.

pydicom's test files hold a body CT, two head CTs, an abdominal MR slice and ultrasound pictures; a
variant is another part, window, angle and mirroring of one of them.
"""

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter, rotate

from benchmarks.strange.plain import eight_bits
from brain_tumor import settings
from brain_tumor.data.phantom.anatomy import draw_patient, place_slice, sample_anatomy
from brain_tumor.data.phantom.heads import TISSUES

Floats = NDArray[np.float64]
_UNITS = {  # Hounsfield units of each tissue
    "air": -1000, "fluid": 8, "bone": 900, "marrow": 300, "fat": -90, "muscle": 50, "skin": 40,
    "eye": 10, "cavity": -1000, "gland": 40, "grey": 34, "white": 27,
}  # fmt: skip
Picture = NDArray[np.uint8]


@cache
def _stored(name: str) -> Floats:
    """Stored values of a test file of pydicom, mean over colours, (H, W)."""
    import pydicom

    file = Path(pydicom.__file__).parent / "data" / "test_files" / name
    values = np.asarray(pydicom.dcmread(file).pixel_array, dtype=np.float64)
    return np.asarray(values.mean(axis=-1)) if values.ndim == 3 else values


def _variant(rng: np.random.Generator, values: Floats, least: float) -> Floats:
    """A part of at least `least` of the sides, turned up to 10 degrees, perhaps mirrored."""
    turned: Floats = rotate(values, rng.uniform(-10, 10), reshape=False, order=1, mode="nearest")
    height, width = (int(side * rng.uniform(least, 1.0)) for side in values.shape)
    top, left = (
        int(rng.integers(0, whole - part + 1))
        for whole, part in zip(values.shape, (height, width), strict=True)
    )
    part = turned[top : top + height, left : left + width]
    return part[:, ::-1] if rng.random() < 0.5 else part


def _windowed(rng: np.random.Generator, values: Floats, centre: float, width: float) -> Picture:
    """Grey levels of a window near `centre` and `width` (in stored units)."""
    wide = width * rng.uniform(0.7, 1.4)
    low = centre + 0.1 * width * rng.normal() - wide / 2
    return eight_bits(255 * (values - low) / wide)


def abdomen(rng: np.random.Generator) -> Picture:
    """The abdominal MR slice."""
    return _windowed(rng, _variant(rng, _stored("examples_overlay.dcm"), 0.75), 350, 700)


def body(rng: np.random.Generator) -> Picture:
    """The chest wall and spine in CT, in windows for soft tissue and for bone."""
    centre, width = (1050, 400) if rng.random() < 0.5 else (1100, 1600)
    return _windowed(rng, _variant(rng, _stored("CT_small.dcm"), 0.75), centre, width)


def head(rng: np.random.Generator) -> Picture:
    """One of two heads in CT, in windows for the brain, soft tissue and bone."""
    name = ("J2K_pixelrep_mismatch.dcm", "693_J2KI.dcm")[rng.integers(2)]
    width = (100, 400, 2500)[rng.integers(3)]
    zero = 0 if name.startswith("J2K") else 1024
    return _windowed(rng, _variant(rng, _stored(name), 0.85), zero + 0.1 * width + 30, width)


def ultrasound(rng: np.random.Generator) -> Picture:
    """Part of one of three ultrasound pictures."""
    names = ("examples_jpeg2k.dcm", "examples_rgb_color.dcm", "examples_palette.dcm")
    return _windowed(rng, _variant(rng, _stored(names[rng.integers(3)]), 0.6), 127, 255)


def drawn_head(rng: np.random.Generator) -> Picture:
    """A head in CT made from the phantom's: bright skull, flat brain, dark fluid.

    In a window for the brain, or a wide one where the brain is nearly even.
    """
    person = draw_patient(rng, (19.0, 33.0))
    place = place_slice(
        rng, person, settings.read().phantom.model_copy(update={"canvas_px": (220, 400)})
    )
    found = sample_anatomy(person, place.points, place.points)
    units = np.zeros(found.hull_mm.shape)
    for tissue in TISSUES:
        units += _UNITS[tissue] * found.of(tissue)
    noisy = gaussian_filter(units, rng.uniform(0.4, 1.0)) + rng.normal(0, 4, units.shape)
    centre, width = (35, 90) if rng.random() < 0.6 else (60, 350)
    return _windowed(rng, noisy, centre, width)
