"""Slices of the phantom, as a scanner would have acquired them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom import anatomy as heads
from brain_tumor.data.phantom.anatomy import (
    PLANES,
    Anatomy,
    Floats,
    Patient,
    coarse_shape,
    sample_anatomy,
    upsample,
)
from brain_tumor.settings import LABELS, POSITIVE, AugmentParams, PhantomParams

CONTRASTS = ("T1", "T1-CE", "T2", "FLAIR")
# Typical signal (0 black, 1 white) for each contrast: fluid, grey matter, white matter,
# bone marrow, skin fat, muscle.
_SIGNAL = np.array(
    [
        [0.12, 0.46, 0.66, 0.36, 0.92, 0.36],
        [0.12, 0.42, 0.56, 0.34, 0.88, 0.42],
        [0.90, 0.50, 0.32, 0.26, 0.62, 0.22],
        [0.07, 0.56, 0.45, 0.26, 0.70, 0.28],
    ]
)
_SPOTS = (0.2, 2.5, 1.0, 1.2)  # mean number of vessels or white-matter spots, by contrast
_JITTER = np.array([0.03, 0.03, 0.03, 0.05, 0.07, 0.04])  # standard deviation of each column


def tissue_signal(
    rng: np.random.Generator, patient: Patient, anatomy: Anatomy, contrast: int, pixel_mm: float
) -> Floats:
    """Signal of the healthy slice, about [0, 1], float64 (H, W)."""
    levels = np.clip(_SIGNAL[contrast] + rng.normal(0, 1, 6) * _JITTER, 0.02, 1.0)
    fluid, grey, white, marrow, fat, muscle = (float(level) for level in levels)
    rough = mottle(rng, anatomy.grey.shape, pixel_mm)
    share = np.clip(1.6 * (1 - anatomy.grey - anatomy.white), 0, 1)
    brain = (grey * anatomy.grey + white * anatomy.white) * (1 - share) + fluid * share
    brain *= 1 + 0.03 * rough
    signal = np.where(anatomy.hull_mm < patient.fluid_mm, fluid * 0.9, 0.04)  # 0.04: hard bone
    middle = np.abs(anatomy.hull_mm - patient.fluid_mm - patient.skull_mm / 2)
    signal = np.where(middle < patient.skull_mm / 5, marrow * (1 + 0.2 * rough), signal)
    signal = np.where(anatomy.hull_mm < 1.0, brain, signal)
    return _add_soft_tissue(signal, patient, anatomy, rough, (fat, muscle))


def _add_soft_tissue(
    signal: Floats, patient: Patient, anatomy: Anatomy, rough: Floats, levels: tuple[float, float]
) -> Floats:
    """Wrap the skull in scalp, add face and neck, and air around them."""
    fat, muscle = levels
    beyond = anatomy.hull_mm > patient.fluid_mm + patient.skull_mm
    soft = np.clip(muscle + (fat - muscle) * np.clip(rough - 0.3, -1, 1), 0.03, 1)
    signal = np.where(beyond, soft, signal)
    skin = beyond & (anatomy.head_mm > -patient.scalp_mm)
    signal = np.where(skin, fat * (1 + 0.08 * rough), signal)
    return np.where(anatomy.head_mm > 0, 0.0, signal)


def harmless_extras(
    rng: np.random.Generator, signal: Floats, anatomy: Anatomy, contrast: int, points: Floats
) -> Floats:
    """Add what shines without being a tumour: dura and vessels, or small white-matter spots."""
    enhancing = contrast == CONTRASTS.index("T1-CE")
    if enhancing:
        dura = np.exp(-((anatomy.hull_mm - 1.0) ** 2)) * float(rng.uniform(0, 0.5))
        falx = (
            np.exp(-((points[0] / 1.2) ** 2)) * (anatomy.hull_mm < 0) * float(rng.uniform(0, 0.4))
        )
        fluid = np.clip(1 - anatomy.grey - anatomy.white, 0, 1)
        signal = signal + (0.9 - signal) * np.clip(dura + falx * fluid, 0, 1)
    bright = contrast > CONTRASTS.index("T1-CE")
    where = anatomy.white * (anatomy.hull_mm < -5) if bright else anatomy.hull_mm < 2
    for _ in range(rng.poisson(_SPOTS[contrast])):
        signal = _add_spot(rng, signal, np.asarray(where, dtype=np.float64), points)
    return signal


def _add_spot(rng: np.random.Generator, signal: Floats, where: Floats, points: Floats) -> Floats:
    row, column = (int(rng.integers(side)) for side in signal.shape)
    radius_mm, level = float(rng.uniform(1.0, 3.0)), float(rng.uniform(0.6, 1.0))
    stretch = rng.uniform(0.6, 1.6, 3)
    away = [(points[i] - points[i, row, column]) / (radius_mm * stretch[i]) for i in range(3)]
    weight = np.exp(-(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)) * where
    return np.asarray(signal + (level - signal) * weight)


def acquire(rng: np.random.Generator, signal: Floats, params: PhantomParams) -> NDArray[np.uint8]:
    """Blur, shade, brighten, add Rician noise and round: uint8 (H, W)."""
    from scipy.ndimage import gaussian_filter

    shape = signal.shape
    blurred = gaussian_filter(signal, float(rng.uniform(0.3, 0.8)))
    shade = 1 + params.bias_fraction * smooth_noise(rng, shape, max(shape) / 2.5)
    level = float(rng.uniform(0.75, 1.15))
    toned = np.clip(blurred * shade, 0, None) ** float(rng.uniform(0.85, 1.2)) * level
    sigma = float(rng.uniform(*params.noise_fraction))
    real, imaginary = rng.normal(0, sigma, (2, *shape))
    noisy = np.sqrt((toned + real) ** 2 + imaginary**2)
    background = (toned < 1e-3) & (rng.random() < 0.6)  # many scanners blank the air
    return np.asarray(np.rint(np.clip(np.where(background, 0, noisy), 0, 1) * 255), dtype=np.uint8)


def mottle(rng: np.random.Generator, shape: tuple[int, ...], pixel_mm: float) -> Floats:
    """Texture of tissue, about unit variance, with detail of 14, 7 and 3.5 mm, float64 (H, W)."""
    octaves = [smooth_noise(rng, shape, size_mm / pixel_mm) for size_mm in (14.0, 7.0, 3.5)]
    return 0.7 * octaves[0] + 0.5 * octaves[1] + 0.3 * octaves[2]


def smooth_noise(rng: np.random.Generator, shape: tuple[int, ...], scale_px: float) -> Floats:
    """Noise of about unit variance that varies over `scale_px` pixels, float64 (H, W)."""
    height, width = shape
    stride = max(1, round(scale_px))
    coarse = rng.normal(0, 1, coarse_shape((height, width), stride))
    return upsample(coarse, (height, width), stride) * 1.5


_PATIENT, _PLACE, _TISSUE, _SCANNER, _TUMOUR, _TEXTURE = range(1, 7)  # independent random streams


@dataclass(frozen=True)
class PhantomSlice:
    """One slice and the truth about it.

    Attributes:
        image: grey levels, uint8 (H, W).
        mask: the mass without its oedema, bool (H, W); empty without a tumour.
        brain: inside of the brain's surface, bool (H, W).
        plane: axial, coronal or sagittal.
        contrast: T1, T1-CE, T2 or FLAIR.
        kind: solid, ring, diffuse, or none.
        pixel_mm: side of a pixel, millimetres of the patient.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    plane: str
    contrast: str
    kind: str
    pixel_mm: float


def make_slice(
    seed: int,
    patient: int,
    slice_index: int,
    tumour: bool,
    params: PhantomParams,
    plane: str | None = None,
) -> PhantomSlice:
    """Make one slice; the same arguments give the same slice, whatever was made before.

    With and without `tumour` everything else is drawn alike, so the two differ only where the
    tumour, its oedema and its mass effect reach: a counterfactual pair.

    Args:
        seed: of the data set (`params.seed` is not read).
        patient: number of the patient, 0 or more.
        slice_index: 0 or more; four slices in a row differ in contrast.
        tumour: whether the mass is there.
        params: ranges to draw from; the counts are not read.
        plane: axial, coronal or sagittal; None: drawn, mostly axial.
    """

    def stream(name: int, index: int = slice_index) -> np.random.Generator:
        return np.random.default_rng((seed, patient, index, name))

    person = heads.draw_patient(stream(_PATIENT, 0), params.tumour_radius_mm)
    place = heads.place_slice(stream(_PLACE), person, params.canvas_px, plane)
    mass = heads.draw_tumour(stream(_TUMOUR, 0), params.tumour_contrast)
    reach = heads.depth(mass, person, place.points)
    contrast = person.contrasts[slice_index % 4]
    pushed = heads.push_aside(mass, person, place.points, reach) if tumour else place.points
    pushed = heads.grow_ventricles(pushed, person.ventricle_growth)
    wall_mm = person.fluid_mm + person.skull_mm + person.scalp_mm
    anatomy = sample_anatomy(place.points, pushed, wall_mm)
    tissue = stream(_TISSUE)
    signal = tissue_signal(tissue, person, anatomy, contrast, place.pixel_mm)
    signal = harmless_extras(tissue, signal, anatomy, contrast, place.points)
    mask = np.zeros(signal.shape, dtype=np.bool_)
    if tumour:
        texture = mottle(stream(_TEXTURE), signal.shape, place.pixel_mm)
        signal = heads.paint(signal, mass, reach, anatomy, texture, contrast)
        mask = heads.tumour_mask(reach, anatomy)
    return PhantomSlice(
        image=acquire(stream(_SCANNER), signal, params),
        mask=mask,
        brain=anatomy.hull_mm < 0,
        plane=place.plane,
        contrast=CONTRASTS[contrast],
        kind=mass.kind if tumour else "none",
        pixel_mm=place.pixel_mm,
    )


_TRAINING_SEED = 1_000_000  # added to the seed: patients apart from those of a phantom data set


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
    """The first `count` (even) phantoms that train beside the images, in pairs.

    The 253 images are axial almost without exception, and a network that saw no other plane calls
    healthy sagittal pictures tumours. A pair is the same slice with and without tumour, so that
    nothing but the tumour tells the two classes apart.
    """
    return [
        PhantomImage(f"phantom/{pair:04d}-{PLANES[pair % len(PLANES)]}-{label}", label, pair)
        for pair in range(count // 2)
        for label in LABELS
    ]


def draw(phantom: PhantomImage, params: PhantomParams, augment: AugmentParams) -> NDArray[np.uint8]:
    """The raw picture of a phantom, uint8 (H, W).

    It looks as section `phantom` has it, whose counts, seed and radius are not read; seed and
    radius are those of section `augment`.
    """
    params = params.model_copy(update={"tumour_radius_mm": augment.phantom_tumour_radius_mm})
    contrast = phantom.pair // len(PLANES)
    is_tumour = phantom.label == POSITIVE
    seed = _TRAINING_SEED + augment.seed
    return make_slice(seed, phantom.pair, contrast, is_tumour, params, phantom.plane).image
