"""Random views of whole heads, with the truth: what the brain network learns from.

A view is a slice of a head in any plane, somewhere in a square picture, as a scanner, a program or
a web page might show it. Anatomy, tissue contrasts and the picture are drawn at random, far beyond
what is real, so that a network that knows them all knows real pictures, too (domain randomisation:
Billot et al. 2023, SynthSeg, Med Image Anal 86:102789; Hoopes et al. 2022, SynthStrip,
NeuroImage 260:119474).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from brain_tumor.data.phantom.heads import TISSUES, Head
from brain_tumor.imaging.brain import CELL_PX, CELLS, SIDE_PX, contrast
from brain_tumor.imaging.geometry import AXES, PLANES

Array = NDArray[np.floating]

AIR, FLUID, BONE, MARROW, FAT, MUSCLE, SKIN, EYE, CAVITY, GLAND, GREY, WHITE = range(len(TISSUES))
# Signal of each tissue, in the order of TISSUES: T1, T1 with contrast agent, T2, FLAIR.
_TEXTBOOK = np.array(
    [
        [0, 0.12, 0.05, 0.36, 0.92, 0.36, 0.50, 0.14, 0, 0.50, 0.46, 0.66],
        [0, 0.12, 0.05, 0.36, 0.90, 0.42, 0.55, 0.14, 0, 0.75, 0.42, 0.54],
        [0, 0.90, 0.05, 0.28, 0.65, 0.22, 0.40, 0.95, 0, 0.55, 0.50, 0.32],
        [0, 0.07, 0.05, 0.28, 0.70, 0.28, 0.40, 0.08, 0, 0.50, 0.56, 0.45],
    ]
)
_RANGE_MM = {"axial": (-52, 74), "coronal": (-94, 60), "sagittal": (-62, 62)}  # along the normal
_CENTRE_MM = {"axial": (0, -18), "coronal": (0, 5), "sagittal": (-18, 5)}  # across, up
_PIXEL_MM = (1.7, 3.7)
_NECK_MM = -68.0  # the heads end a little below
_MIN_BRAIN_MM2 = 1500.0


@dataclass(frozen=True)
class View:
    """A view and what is true of it.

    Attributes:
        image: uint8 (`SIDE_PX`, `SIDE_PX`).
        brain: share of each cell that shows brain, uint8 (`CELLS`, `CELLS`), 255 is all.
        place: template point at the middle of each cell, int8 (`CELLS`, `CELLS`, 3), mm. In
            sagittal views x is its distance from the middle; in others it grows to the right of
            the head as it is shown, whichever side that is.
        plane: index into `PLANES`.
        mirrored: a sagittal view that faces left.
        rotation_deg: of the head, clockwise as seen.
        pixel_mm: side of a pixel.
    """

    image: NDArray[np.uint8]
    brain: NDArray[np.uint8]
    place: NDArray[np.int8]
    plane: int
    mirrored: bool
    rotation_deg: float
    pixel_mm: float


def draw_view(rng: np.random.Generator, head: Head) -> View:
    """Draw views until one shows at least 15 cm2 of brain."""
    while True:
        view = _view(rng, head)
        area_mm2 = view.brain.sum() / 255 * (CELL_PX * view.pixel_mm) ** 2
        if area_mm2 >= _MIN_BRAIN_MM2:
            return view


def _view(rng: np.random.Generator, head: Head) -> View:
    number = int(rng.integers(len(PLANES)))
    plane = PLANES[number]
    rotation = _rotation_deg(rng)
    pixel_mm = float(np.exp(rng.uniform(*np.log(_PIXEL_MM))))
    mirrored = plane == "sagittal" and rng.random() < 0.5
    points = _deformed(rng, _plane(rng, plane, rotation, pixel_mm, mirrored))
    swapped = rng.random() < 0.5
    if swapped:
        points[0] = -points[0]
    fractions, from_brain_mm = _anatomy(rng, head, points, pixel_mm)
    signal = _signal(rng, fractions, from_brain_mm, points, pixel_mm)
    depth_mm = np.clip(-35 - points[2], 0, None)
    image = _acquired(rng, signal, fractions[AIR], from_brain_mm, depth_mm)
    shown = _field_of_view(rng)
    place = points.reshape(3, SIDE_PX, SIDE_PX).copy()
    if plane == "sagittal":
        place[0] = np.abs(place[0])
    elif swapped:
        place[0] = -place[0]
    brain = (from_brain_mm.reshape(SIDE_PX, SIDE_PX) < 0.5) & shown
    return View(
        image=np.rint(image * shown * 255).astype(np.uint8),
        brain=np.rint(_cells(brain.astype(np.float32)) * 255).astype(np.uint8),
        place=np.stack([np.clip(np.rint(_cells(axis)), -127, 127) for axis in place], -1).astype(
            np.int8
        ),
        plane=number,
        mirrored=mirrored,
        rotation_deg=rotation,
        pixel_mm=pixel_mm,
    )


def _cells(values: Array) -> Array:
    """Mean of each cell of a view, (`CELLS`, `CELLS`)."""
    return np.asarray(values.reshape(CELLS, CELL_PX, CELLS, CELL_PX).mean(axis=(1, 3)))


def _noise(rng: np.random.Generator, scale_px: float) -> Array:
    """Noise of about unit variance that varies over `scale_px` pixels, (pixels of a view,)."""
    nodes = max(2, int(np.ceil(SIDE_PX / scale_px)) + 2)
    coarse = rng.normal(0, 1.4, (nodes, nodes)).astype(np.float32)
    rows = np.linspace(0, nodes - 1.001, SIDE_PX)
    first, part = rows.astype(int), (rows % 1).astype(np.float32)
    tall = coarse[first] * (1 - part)[:, None] + coarse[first + 1] * part[:, None]
    return np.asarray(tall[:, first] * (1 - part) + tall[:, first + 1] * part).ravel()


def _rotation_deg(rng: np.random.Generator) -> float:
    """Mostly upright; some are quarter turns or anything."""
    kind = rng.random()
    if kind < 0.8:
        return float(rng.normal(0, 13))
    if kind < 0.92:
        return float(rng.choice([90, 180, 270]) + rng.normal(0, 8))
    return float(rng.uniform(0, 360))


def _plane(
    rng: np.random.Generator, plane: str, rotation_deg: float, pixel_mm: float, mirrored: bool
) -> Array:
    """Points of a plane through the head, mm, (3, pixels)."""
    position = rng.uniform(*_RANGE_MM[plane])
    if plane == "axial" and rng.random() < 0.15:
        position = rng.uniform(-55, -10)
    tilt = rng.normal(0, 6, 2)  # degrees
    if plane == "axial":
        tilt[1] = rng.normal(-3, 10)  # the gantry tilts, the chin is up or down
    if plane == "coronal":
        tilt[1] = rng.normal(0, 10)
    shift = rng.normal(0, 0.09, 2) * SIDE_PX * pixel_mm * (0.5 if pixel_mm < 2.2 else 1)
    grid = (np.indices((SIDE_PX, SIDE_PX)).astype(np.float32) - (SIDE_PX - 1) / 2) * pixel_mm
    x, y = grid[1].ravel() + shift[0], shift[1] - grid[0].ravel()
    cosine, sine = np.cos(np.radians(rotation_deg)), np.sin(np.radians(rotation_deg))
    across, up = x * cosine - y * sine, x * sine + y * cosine
    slopes = np.tan(np.radians(tilt))
    first, second, normal = AXES[plane]
    points = np.empty((3, SIDE_PX**2), np.float32)
    points[first] = across * (-1 if mirrored else 1) + _CENTRE_MM[plane][0]
    points[second] = up + _CENTRE_MM[plane][1]
    points[normal] = across * slopes[0] + up * slopes[1] + position
    return points


def _deformed(rng: np.random.Generator, points: Array) -> Array:
    """Template points of another anatomy: size, shape, bent neck, longer or shorter face."""
    centre = np.array([[0], [-18], [5]], np.float32)
    stretch = np.clip(1 / rng.normal(1, 0.06, 3), 0.85, 1.17) * rng.normal(1, 0.02)
    points = (points - centre) * stretch[:, None].astype(np.float32) + centre
    for frequency, amplitude_mm in ((0.03, 2.2),) * 5 + ((0.09, 0.9),) * 2:
        wave = rng.normal(0, frequency, 3).astype(np.float32)
        angle = wave[:, None] * points
        angle = angle[0] + angle[1] + angle[2] + np.float32(rng.uniform(0, 2 * np.pi))
        points = points + rng.normal(0, amplitude_mm, (3, 1)).astype(np.float32) * np.sin(angle)
    below = np.clip(-45 - points[2], 0, None)
    points[1] += rng.normal(0, 0.3) * below + rng.normal(0, 0.003) * below**2
    points[2] += below * rng.uniform(-0.25, 0.25)
    before = np.clip(points[1] - 60, 0, None) * (points[2] < 0)
    points[1] -= before * rng.uniform(-0.3, 0.3)
    return points


def _anatomy(
    rng: np.random.Generator, head: Head, points: Array, pixel_mm: float
) -> tuple[Array, Array]:
    """Tissue fractions (tissues, pixels) and distance to the brain's surface, mm."""
    if rng.random() < 0.6:
        points = _wide_ventricles(rng, points)
    points, below = _neck(rng, points)
    fractions, from_brain_mm = head.sample(points)
    fractions = np.clip(fractions, 0, 1)
    from_brain_mm = np.where(below > 0, np.maximum(from_brain_mm, 6 + below / 2), from_brain_mm)
    if rng.random() < 0.4:  # a shrunken brain in more fluid
        ring = np.clip((from_brain_mm + rng.uniform(0, 5)) / 1.5, 0, 1) * (from_brain_mm < 1)
        fractions[FLUID] += (fractions[GREY] + fractions[WHITE]) * ring
        fractions[[GREY, WHITE]] *= 1 - ring
    if rng.random() < 0.7:  # patches of one tissue become another's
        patches = _noise(rng, rng.uniform(8, 30) / pixel_mm) + 0.5 * _noise(rng, 4 / pixel_mm)
        weight = np.clip((patches - 0.4) / 0.3, 0, 1) * (from_brain_mm > 9)
        source, target = rng.choice([MUSCLE, GLAND, FAT, BONE, CAVITY], 2, replace=False)
        moved = fractions[source] * weight
        fractions[source] -= moved
        fractions[target] += moved
    return fractions, from_brain_mm


def _wide_ventricles(rng: np.random.Generator, points: Array) -> Array:
    centre = np.array([[0], [-14], [16]], np.float32)
    radii = np.array([[26], [42], [26]], np.float32)
    away = points - centre
    near = np.exp(-((away / radii) ** 2).sum(axis=0))
    return np.asarray(points - away * np.float32(rng.uniform(0, 0.65)) * near)


def _neck(rng: np.random.Generator, points: Array) -> tuple[Array, Array]:
    """Go on below the heads' last slice: what lies above it, there and back, or the slice itself.

    Also returns how far below a point lies, mm.
    """
    below = np.clip(_NECK_MM - points[2], 0, None)
    if not below.any():
        return points, below
    period_mm = rng.uniform(12, 45)
    there_and_back = period_mm / 2 - np.abs(below % period_mm - period_mm / 2)
    height = np.full_like(below, _NECK_MM) + (there_and_back if rng.random() < 0.7 else 0)
    bend = rng.normal(0, 0.25) * below * (rng.random() < 0.5)
    wavy = 4 * np.sin(below / rng.uniform(4, 10) + rng.uniform(0, 6)) * (rng.random() < 0.6)
    size = 1 + rng.uniform(-0.002, 0.004) * below
    front = (points[1] + 20) * size - 20 + bend + wavy
    up = np.where(below > 0, height, points[2])
    return np.stack([points[0] * size, front, up]).astype(np.float32), below


def _signal(
    rng: np.random.Generator,
    fractions: Array,
    from_brain_mm: Array,
    points: Array,
    pixel_mm: float,
) -> Array:
    """Signal of each pixel, at least 0, (pixels,)."""
    levels = _levels(rng)
    rough = 0.6 * _noise(rng, 12 / pixel_mm) + 0.5 * _noise(rng, 5 / pixel_mm)
    texture = np.abs(rng.normal(0, 0.06, len(TISSUES)))
    texture[[GREY, WHITE, FLUID]] *= 0.6
    texture[[MUSCLE, GLAND, FAT]] += 0.15 * rng.random()
    signal: Array = levels @ fractions + ((texture * levels) @ fractions) * rough
    if rng.random() < 0.3:  # meninges and vessels that take up contrast agent
        signal += np.exp(-(((from_brain_mm - rng.uniform(0, 2)) / 1.5) ** 2)) * rng.uniform(0, 0.6)
    inside = np.flatnonzero(from_brain_mm < -3)
    if rng.random() < 0.5 and len(inside):
        for _ in range(rng.integers(1, 3)):
            centre = points[:, rng.choice(inside)]
            signal = _with_mass(rng, signal, fractions, from_brain_mm, points - centre[:, None])
    if rng.random() < 0.07:  # a picture of the brain alone
        signal = np.where(from_brain_mm < rng.uniform(0, 3), signal, 0)
    return np.asarray(np.clip(signal, 0, None))


def _levels(rng: np.random.Generator) -> Array:
    if rng.random() < 0.5:
        levels = _TEXTBOOK[rng.integers(len(_TEXTBOOK))] + rng.normal(0, 0.07, len(TISSUES))
    else:
        levels = rng.uniform(0, 1, len(TISSUES))
        if rng.random() < 0.7:
            levels[BONE], levels[CAVITY] = rng.uniform(0, 0.15), rng.uniform(0, 0.1)
    levels[AIR] = 0
    levels[CAVITY] *= rng.random() < 0.3
    return np.asarray(np.clip(levels, 0, 1.2), np.float32)


def _with_mass(
    rng: np.random.Generator, signal: Array, fractions: Array, from_brain_mm: Array, away: Array
) -> Array:
    """Paint a mass, solid or with another core, and swelling around it; `away` is from its middle.

    The brain network must see a brain with a tumour as a brain.
    """
    radii = rng.uniform(4, 28) * rng.uniform(0.7, 1.3, (3, 1))
    reach = np.sqrt(((away / radii) ** 2).sum(axis=0)) * (1 + 0.2 * _noise(rng, 7))
    inside = from_brain_mm < 2
    weight = np.clip((1 - reach) / 0.2, 0, 1) * inside
    signal = signal + (rng.uniform(0, 1.1) - signal) * weight * rng.uniform(0.4, 1)
    if rng.random() < 0.5:
        core = np.clip((rng.uniform(0.5, 0.85) - reach) / 0.2, 0, 1) * inside
        signal = signal + (rng.uniform(0, 1) - signal) * core
    if rng.random() < 0.5:
        swelling = np.clip((rng.uniform(1.2, 2) - reach) / 0.3, 0, 1) * inside * fractions[WHITE]
        signal = signal + (rng.uniform(0, 1) - signal) * swelling * 0.8
    return np.asarray(signal)


def _acquired(
    rng: np.random.Generator, signal: Array, air: Array, from_brain_mm: Array, depth_mm: Array
) -> Array:
    """Shade, blur, add noise and choose a window: [0, 1], (`SIDE_PX`, `SIDE_PX`)."""
    signal = signal * np.exp(rng.uniform(0, 0.35) * _noise(rng, SIDE_PX / rng.uniform(1.5, 3.5)))
    if rng.random() < 0.35:  # coils lie on the skin
        signal = signal * np.exp(np.clip(from_brain_mm + 30, -30, 60) / 60 * rng.uniform(0, 0.9))
    if rng.random() < 0.3:  # the neck lies outside the coil
        signal = signal * np.clip(1 - depth_mm / rng.uniform(25, 80), 0.02, 1)
    image = (signal ** rng.uniform(0.7, 1.4)).reshape(SIDE_PX, SIDE_PX)
    sigma_px = rng.uniform(0, 1.1)
    if sigma_px > 0.3:
        image = ndimage.gaussian_filter(image, sigma_px)
    if rng.random() < 0.7:
        sigma = rng.uniform(0, 0.05) * image.max()
        real, imaginary = rng.normal(0, sigma, (2, *image.shape))
        image = np.sqrt((image + real) ** 2 + imaginary**2)
    if rng.random() < 0.5:  # many scanners blank the air
        image = np.where(air.reshape(image.shape) > 0.97, 0, image)
    brightest = 99.5 if rng.random() < 0.6 else rng.uniform(96, 100)
    image = image / max(np.percentile(image, brightest), 1e-3) * rng.uniform(0.8, 1.1)
    if rng.random() < 0.3:
        image = (image - rng.uniform(0, 0.12)) / rng.uniform(0.8, 1)
    return np.asarray(np.clip(image, 0, 1))


def _field_of_view(rng: np.random.Generator) -> NDArray[np.bool_]:
    """Black out what lies outside the picture's edges, on some sides."""
    shown = np.ones((SIDE_PX, SIDE_PX), dtype=np.bool_)
    if rng.random() < 0.8:
        cuts = (rng.uniform(0, 0.22, 4) * SIDE_PX * (rng.random(4) < 0.55)).astype(int)
        shown[: cuts[0]] = shown[SIDE_PX - cuts[1] :] = False
        shown[:, : cuts[2]] = shown[:, SIDE_PX - cuts[3] :] = False
    return shown


def recoloured(rng: np.random.Generator, image: Array) -> Array:
    """A view, [0, 1], under a random grey-level curve, rising or not, with noise; as `contrast`.

    Source: Ouyang et al. 2022, IEEE Trans Med Imaging 42:1095 (random curves for unseen scanners).
    """
    if rng.random() < 0.5:
        knots = int(rng.integers(3, 6))
        greys = np.concatenate([[0], np.sort(rng.uniform(0, 1, knots - 2)), [1]])
        values = rng.uniform(0, 1, knots - 1)
        if rng.random() < 0.7:
            values = np.concatenate([np.sort(values[:-1]), [1]])
        image = np.interp(image, greys, np.concatenate([[0], values]))
    if rng.random() < 0.3:
        image = image + rng.normal(0, rng.uniform(0, 0.06), image.shape)
    return contrast(np.asarray(image, np.float32))
