"""Slices of the phantom, as a scanner would have acquired them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom import tumour as masses
from brain_tumor.data.phantom.anatomy import (
    Anatomy,
    Patient,
    coarse_shape,
    draw_patient,
    grow_ventricles,
    place_slice,
    sample_anatomy,
    upsample,
    vary,
)
from brain_tumor.data.phantom.contrasts import TEXTBOOK, Contrast, random_contrast, varied
from brain_tumor.data.phantom.heads import HEADS, TISSUES, Floats
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.settings import LABELS, POSITIVE, AugmentParams, PhantomParams

HEAD = "mni152"  # of the phantom data set
# How much the signal of each tissue varies from place to place, as a fraction of it.
_ROUGHNESS = {
    "fluid": 0.02,
    "marrow": 0.15,
    "fat": 0.12,
    "muscle": 0.15,
    "skin": 0.08,
    "gland": 0.2,
    "grey": 0.03,
    "white": 0.03,
}
_SWAPPED = ("bone", "fat", "muscle", "gland")  # of face and neck, in patches, one for another
_SPOTS = {"T1": 0.2, "T1-CE": 2.5, "T2": 1.0, "FLAIR": 1.2, "random": 1.0}  # mean number


def draw_contrast(
    rng: np.random.Generator, patient: Patient, slice_index: int, random_fraction: float
) -> Contrast:
    """The textbook contrast whose turn it is, on some scanner, or a random one."""
    textbook = list(TEXTBOOK.values())[patient.contrasts[slice_index % len(TEXTBOOK)]]
    if rng.random() < random_fraction:
        return random_contrast(rng)
    return varied(textbook, rng)


def tissue_signal(
    rng: np.random.Generator, anatomy: Anatomy, contrast: Contrast, pixel_mm: float
) -> Floats:
    """Signal of the healthy slice, about [0, 1], float64 (H, W)."""
    rough = mottle(rng, anatomy.hull_mm.shape, pixel_mm)
    swap_patches(rng, anatomy, rough)
    signal = np.zeros(rough.shape)
    for tissue, level, fraction in zip(TISSUES, contrast.tissues, anatomy.tissues, strict=True):
        if level > 0:
            signal += level * fraction * (1 + _ROUGHNESS.get(tissue, 0.0) * rough)
    return np.asarray(np.clip(signal, 0, None))


def swap_patches(rng: np.random.Generator, anatomy: Anatomy, rough: Floats) -> None:
    """Turn patches of one tissue of face and neck into another, in place: no two are alike."""
    here, there = (TISSUES.index(name) for name in rng.choice(_SWAPPED, 2, replace=False))
    above = float(rng.uniform(0.2, 1.0))
    where = np.clip((rough - above) / 0.3, 0, 1) * np.clip((anatomy.hull_mm - 10) / 4, 0, 1)
    moved = anatomy.tissues[here] * where
    anatomy.tissues[here] -= moved
    anatomy.tissues[there] += moved


def harmless_extras(
    rng: np.random.Generator, signal: Floats, anatomy: Anatomy, contrast: Contrast, points: Floats
) -> Floats:
    """Add what shines without being a tumour: dura and vessels, or small white-matter spots."""
    enhancing = contrast.name == "T1-CE"
    if enhancing:
        dura = np.exp(-((anatomy.hull_mm - 1.0) ** 2)) * float(rng.uniform(0, 0.5))
        falx = (
            np.exp(-((points[0] / 1.2) ** 2)) * (anatomy.hull_mm < 0) * float(rng.uniform(0, 0.4))
        )
        shine = np.clip(dura + falx * anatomy.of("fluid"), 0, 1)
        signal = signal + (0.9 - signal) * shine
    in_white = contrast.name in ("T2", "FLAIR")
    where = anatomy.of("white") * (anatomy.hull_mm < -5) if in_white else anatomy.hull_mm < 2
    for _ in range(rng.poisson(_SPOTS[contrast.name])):
        signal = _add_spot(rng, signal, np.asarray(where, dtype=np.float64), points)
    return signal


def _add_spot(rng: np.random.Generator, signal: Floats, where: Floats, points: Floats) -> Floats:
    row, column = (int(rng.integers(side)) for side in signal.shape)
    radius_mm, level = float(rng.uniform(1.0, 3.0)), float(rng.uniform(0.6, 1.0))
    stretch = rng.uniform(0.6, 1.6, 3)
    away = [(points[i] - points[i, row, column]) / (radius_mm * stretch[i]) for i in range(3)]
    weight = np.exp(-(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)) * where
    return np.asarray(signal + (level - signal) * weight)


_WIDTH_OF_SIGMA = 2.355  # full width at half height of a Gaussian, over its standard deviation
_COIL_FRACTION = 0.4  # share of slices with each of the two unevennesses of the receiving coil


def coil(rng: np.random.Generator, anatomy: Anatomy, points: Floats) -> Floats:
    """Sensitivity of the receiving coil: less towards the neck, more at the surface, (H, W)."""
    fall, start_mm = float(rng.uniform(0.2, 0.95)), float(rng.uniform(-60, -20))
    rise = float(rng.uniform(0, 0.5))
    fades, shines = rng.random(2) < _COIL_FRACTION
    sensitivity = np.ones(anatomy.hull_mm.shape)
    if fades:
        sensitivity -= fall * np.clip((start_mm - points[2]) / 60, 0, 1)
    if shines:
        sensitivity *= 1 + rise * np.clip(1 + anatomy.hull_mm / 40, 0, 1.5)
    return sensitivity


def view(rng: np.random.Generator, anatomy: Anatomy, params: PhantomParams) -> NDArray[np.bool_]:
    """What the field of view holds, bool (H, W): the brain always, face or neck not always."""
    seen: NDArray[np.bool_] = np.ones(anatomy.hull_mm.shape, dtype=np.bool_)
    cuts, side, depth = rng.random() < params.cut_fraction, int(rng.integers(4)), rng.random()
    if not cuts:
        return seen
    lines = np.flatnonzero((anatomy.hull_mm < 4).any(axis=side % 2))
    upright = seen.T if side % 2 else seen
    if side < 2:
        upright[:, : int(lines[0] * depth)] = False
    else:
        upright[:, int(lines[-1] + (upright.shape[1] - lines[-1]) * (1 - depth)) :] = False
    return seen


def acquire(
    rng: np.random.Generator, signal: Floats, params: PhantomParams, pixel_mm: float
) -> NDArray[np.uint8]:
    """Blur, shade, brighten, add Rician noise and round: uint8 (H, W)."""
    from scipy.ndimage import gaussian_filter

    shape = signal.shape
    width_px = float(rng.uniform(*params.resolution_mm)) / pixel_mm
    blurred = gaussian_filter(signal, width_px / _WIDTH_OF_SIGMA)
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


_PATIENT, _PLACE, _TISSUE, _SCANNER, _TUMOUR, _TEXTURE, _CONTRAST, _VIEW, _SHAPE = range(1, 10)
# The random streams are independent: what one part draws leaves the others as they are.


@dataclass(frozen=True)
class PhantomSlice:
    """One slice and the truth about it.

    Attributes:
        image: grey levels, uint8 (H, W).
        mask: the mass without its oedema, bool (H, W); empty without a tumour.
        brain: inside of the brain's closed surface, bool (H, W).
        points: the template (MNI) point of every pixel before mass effect and growth of the
            ventricles, mm: x to the right, y to the front, z up, float64 (3, H, W). It holds for
            the brain; skull and scalp, whose thickness varies, lie up to 9 mm from theirs.
        plane: axial, coronal or sagittal.
        contrast: T1, T1-CE, T2, FLAIR or random.
        kind: solid, ring, diffuse, or none.
        pixel_mm: side of a pixel, millimetres of the patient.
    """

    image: NDArray[np.uint8]
    mask: NDArray[np.bool_]
    brain: NDArray[np.bool_]
    points: Floats
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
    head: str = HEAD,
) -> PhantomSlice:
    """Make one slice; the same arguments give the same slice, whatever was made before.

    With and without `tumour` everything else is drawn alike, so the two differ only where the
    tumour, its oedema and its mass effect reach: a counterfactual pair.

    Args:
        seed: of the data set (`params.seed` is not read).
        patient: number of the patient, 0 or more.
        slice_index: 0 or more; of four slices in a row no two share a textbook contrast.
        tumour: whether the mass is there.
        params: ranges to draw from; the counts are not read.
        plane: axial, coronal or sagittal; None: drawn, with the shares of `params`.
        head: of `heads.HEADS`.
    """

    def stream(name: int, index: int = slice_index) -> np.random.Generator:
        return np.random.default_rng((seed, patient, index, name))

    person = draw_patient(stream(_PATIENT, 0), params.tumour_radius_mm, head)
    person = vary(person, stream(_SHAPE, 0), params.anatomy_variation)
    place = place_slice(stream(_PLACE), person, params, plane)
    mass = masses.draw_tumour(stream(_TUMOUR, 0), params.tumour_contrast)
    reach = masses.depth(mass, person, place.points)
    contrast = draw_contrast(
        stream(_CONTRAST), person, slice_index, params.random_contrast_fraction
    )
    pushed = masses.push_aside(mass, person, place.points, reach) if tumour else place.points
    pushed = grow_ventricles(pushed, person.ventricle_growth)
    anatomy = sample_anatomy(person, place.points, pushed)
    tissue = stream(_TISSUE)
    signal = tissue_signal(tissue, anatomy, contrast, place.pixel_mm)
    signal = harmless_extras(tissue, signal, anatomy, contrast, place.points)
    mask = np.zeros(signal.shape, dtype=np.bool_)
    if tumour:
        texture = mottle(stream(_TEXTURE), signal.shape, place.pixel_mm)
        signal = masses.paint(signal, mass, reach, anatomy, texture, contrast)
        mask = masses.tumour_mask(reach, anatomy)
    viewing = stream(_VIEW)
    signal = signal * coil(viewing, anatomy, place.points)
    image = acquire(stream(_SCANNER), signal, params, place.pixel_mm)
    image = np.where(view(viewing, anatomy, params), image, np.uint8(0))
    turns = _quarter_turns(viewing, params.quarter_turn_fraction)
    return PhantomSlice(
        image=np.ascontiguousarray(np.rot90(image, turns)),
        mask=np.ascontiguousarray(np.rot90(mask, turns)),
        brain=np.ascontiguousarray(np.rot90(anatomy.hull_mm < 0, turns)),
        points=np.ascontiguousarray(np.rot90(place.points, turns, axes=(1, 2))),
        plane=place.plane,
        contrast=contrast.name,
        kind=mass.kind if tumour else "none",
        pixel_mm=place.pixel_mm,
    )


def _quarter_turns(rng: np.random.Generator, fraction: float) -> int:
    turns = int(rng.integers(1, 4))
    return turns if rng.random() < fraction else 0


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

    @property
    def contrast(self) -> int:
        """Number of the slice: of four in a row no two share a textbook contrast."""
        return self.pair // len(PLANES)

    @property
    def head(self) -> str:
        """Of `heads.HEADS`, in turn."""
        return HEADS[self.contrast % len(HEADS)]


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

    It looks as section `phantom` has it, but for what section `augment` has of its own (`phantom_…`
    and the seed); counts are not read.
    """
    prefix = "phantom_"
    own = {name.removeprefix(prefix): value for name, value in augment if name.startswith(prefix)}
    params = params.model_copy(update=own)
    seed = _TRAINING_SEED + augment.seed
    is_tumour = phantom.label == POSITIVE
    return make_slice(
        seed, phantom.pair, phantom.contrast, is_tumour, params, phantom.plane, phantom.head
    ).image
