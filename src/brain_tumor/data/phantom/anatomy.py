"""The phantom's anatomy: a patient's head in space, its deformation, and a slice through it.

Points are in template (MNI) space, in millimetres: x to the right, y to the front, z to the top.
Everything is elementwise (no BLAS), and float64 but for the stored maps, so bytes repeat.
"""

from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from brain_tumor.data.phantom.heads import (
    MAP_ORIGIN_MM,
    TISSUES,
    VOXEL_MM,
    Floats,
    Head,
    brain_map,
    load_head,
)
from brain_tumor.imaging.geometry import AXES, PLANES
from brain_tumor.settings import PhantomParams

FLOOR_MM = -68.0  # height where the heads end; below, the neck goes on as it is there
_SMOOTH_MM = 3.0  # standard deviation that smooths the brain's surface
_STAIRS_MM = 1.2  # standard deviation that smooths the stairs of the labels
_HEAD_CENTRE_MM = (0.0, -18.0, 5.0)
_AIR, _FLUID, _GREY, _WHITE = (TISSUES.index(name) for name in ("air", "fluid", "grey", "white"))


@dataclass(frozen=True)
class Volume:
    """Values on a grid: float32 (x, y, z), template point of the first voxel, and voxel's side."""

    values: NDArray[np.float32]
    origin_mm: tuple[float, float, float]
    voxel_mm: float

    def at(self, points: Floats) -> Floats:
        """Interpolate linearly at `points` (3, ...) in mm; outside, the border goes on."""
        from scipy.ndimage import map_coordinates

        places = [(points[i] - self.origin_mm[i]) / self.voxel_mm for i in range(3)]
        return np.asarray(map_coordinates(self.values, places, np.float64, 1, mode="nearest"))


@dataclass(frozen=True)
class Template:
    """What every slice of a head is sampled from, and where a mass may sit.

    Attributes:
        head: tissues at 2 mm, without the stairs of their labels.
        grey: fraction of grey matter, as sharp as there is.
        white: fraction of white matter, likewise.
        hull_mm: signed distance to the smoothed surface of the brain, negative inside.
        filled: where `head` has any tissue near, bool (x, y, z), on its grid.
        centres: points at least 9 mm inside the brain, mm, (N, 3).
    """

    head: Head
    grey: Volume
    white: Volume
    hull_mm: Volume
    filled: NDArray[np.bool_]
    centres: Floats


@dataclass(frozen=True)
class Anatomy:
    """Tissue of one slice.

    Attributes:
        tissues: fraction of each of `TISSUES`, they sum to 1, float64 (tissues, H, W).
        hull_mm: signed distance to the brain's surface, negative inside, float64 (H, W).
    """

    tissues: Floats
    hull_mm: Floats

    def of(self, tissue: str) -> Floats:
        """Fraction of one tissue, (H, W)."""
        return np.asarray(self.tissues[TISSUES.index(tissue)])


@cache
def load_template(name: str) -> Template:
    """Load one of `heads.HEADS`; the brain of mni152 comes from its 1 mm maps (no download)."""
    from scipy.ndimage import binary_dilation, gaussian_filter

    labelled = load_head(name)
    head = _smoothed(labelled)
    matter = head.tissues[..., _GREY] + head.tissues[..., _WHITE]
    hull_mm = gaussian_filter(head.tissues[..., -1], _SMOOTH_MM / VOXEL_MM)
    voxels = np.argwhere((hull_mm < -9) & (matter > 0.9))
    centres = voxels * VOXEL_MM + np.array(head.origin_mm)
    if name == "mni152":
        brain = brain_map("t1") > 0
        grey, white = (
            Volume(brain_map(tissue) * brain, MAP_ORIGIN_MM, 1.0) for tissue in ("gm", "wm")
        )
    else:
        grey, white = (
            Volume(np.ascontiguousarray(labelled.tissues[..., index]), head.origin_mm, VOXEL_MM)
            for index in (_GREY, _WHITE)
        )
    return Template(
        head=head,
        grey=grey,
        white=white,
        hull_mm=Volume(hull_mm, head.origin_mm, VOXEL_MM),
        filled=binary_dilation(head.tissues[..., _AIR] < 1, np.ones((3, 3, 3))),
        centres=centres[centres[:, 2] > -30],
    )


def _smoothed(head: Head) -> Head:
    """The head without the stairs of its labels."""
    from scipy.ndimage import gaussian_filter

    sigma = _STAIRS_MM / VOXEL_MM
    return Head(gaussian_filter(head.tissues, (sigma, sigma, sigma, 0.0), truncate=2.0))


# For each plane: centre of the picture and its extent, to the right and up, mm.
_CENTRE_MM = {"axial": (0, -14), "coronal": (0, -10), "sagittal": (-12, -12)}
_EXTENT_MM = {"axial": (165, 208), "coronal": (172, 220), "sagittal": (218, 226)}
# Standard deviation of the tangent of a plane's tilt, along the picture's right and up.
_TILT = {"axial": (0.05, 0.13), "coronal": (0.05, 0.13), "sagittal": (0.05, 0.05)}
_FACES_LEFT = 0.8  # share of sagittal slices; the others face right
_TURN_DEG = 6.0  # standard deviation of the angle by which a picture is turned
_STRIDE_PX = 4  # the deformation is worked out on every fourth pixel and interpolated
_MOST_OFFSET_MM = 7.0  # of a slice from the focus, which lies 9 mm inside the brain or deeper
_VENTRICLES_MM = (0.0, -14.0, 16.0)
_NECK_RECEDES_MM = 50.0  # behind the chin
_MOST_SHIFT_MM = 9.0  # by which thickness of the skull may move what lies outside it


@dataclass(frozen=True)
class Neck:
    """How one patient's neck and lower face differ from the template's.

    Attributes:
        lean: mm that the neck goes to the front per mm below the skull base, (linear, per mm).
        stretch: template mm per patient mm there, less 1.
        widening: of the neck per mm below the template.
        fold_mm: height of the stretch of the template that is repeated below it, to and fro, at
            the spine and in the face.
        vertebra_mm: distance of vertebrae.
        chin_mm: from the template's floor to the chin, below which the neck recedes.
        waviness_mm: amplitude and length of waves of the neck's outline below the template.
    """

    lean: tuple[float, float]
    stretch: float
    widening: float
    fold_mm: tuple[float, float]
    vertebra_mm: float
    chin_mm: float
    waviness_mm: tuple[float, float]


@dataclass(frozen=True)
class Folds:
    """How one patient's fluid, grey and white matter differ from the template's, as `vary` has it.

    Attributes:
        sharpness: exponent of the tissues' fractions, 1 or more: borders of a mean brain are wide.
        shift: added to the logarithm of each fraction, (3,): wide furrows, thin grey matter.
        amplitude: of the waves, in the same unit.
        waves: (3, waves, [phase, x, y, z frequency in radians per mm]).
    """

    sharpness: float
    shift: Floats
    amplitude: float
    waves: Floats


@dataclass(frozen=True)
class Patient:
    """What the slices of one patient share.

    Attributes:
        head: whose, of `heads.HEADS`.
        contrasts: order of the textbook contrasts over the slices.
        stretch: template mm per patient mm along x, y, z, (3,).
        waves: smooth deformation as sinusoids: (waves, axis moved, [amplitude mm, phase,
            x, y, z frequency in radians per mm]).
        ventricle_growth: enlargement of the ventricles, 0 to 0.35.
        fluid_mm: more fluid around the brain than the template has.
        wall: thickness of skull and scalp as a multiple of the template's.
        face_stretch: template mm per patient mm along y in the face, less 1.
        neck: as it differs from the template's.
        focus_mm: template point that every slice passes near (a mass would sit there), (3,).
        focus_radius_mm: radius of that mass.
        folds: how the brain's tissues differ from the template's; None: not at all.
    """

    head: str
    contrasts: tuple[int, ...]
    stretch: Floats
    waves: Floats
    ventricle_growth: float
    fluid_mm: float
    wall: float
    face_stretch: float
    neck: Neck
    focus_mm: Floats
    focus_radius_mm: float
    folds: Folds | None = None


@dataclass(frozen=True)
class Placement:
    """One slice through a patient: `points` is the template point of each pixel, mm, (3, H, W)."""

    plane: str
    pixel_mm: float
    points: Floats


def draw_patient(
    rng: np.random.Generator, radius_mm: tuple[float, float], head: str = "mni152"
) -> Patient:
    """Draw a patient's anatomy and focus; patients with and without tumour are drawn alike."""
    centres = load_template(head).centres
    waves = np.empty((6, 3, 5))
    waves[..., 0] = rng.normal(0, np.repeat([1.7, 0.5], [4, 2])[:, None], (6, 3))
    waves[..., 1] = rng.uniform(0, 2 * np.pi, (6, 3))
    waves[..., 2:] = rng.normal(0, np.repeat([0.035, 0.07], [4, 2])[:, None, None], (6, 3, 3))
    return Patient(
        head=head,
        contrasts=tuple(int(index) for index in rng.permutation(4)),
        stretch=rng.uniform(0.93, 1.08, 3),
        waves=waves,
        ventricle_growth=float(rng.uniform(0, 0.35)),
        fluid_mm=float(rng.uniform(0, 1.5)),
        wall=float(rng.uniform(0.6, 1.15)),
        face_stretch=float(rng.uniform(-0.3, 0.3)),
        neck=Neck(
            lean=(float(rng.normal(0, 0.3)), float(rng.normal(0, 0.003))),
            stretch=float(rng.uniform(-0.35, 0.15)),
            widening=float(rng.uniform(-0.001, 0.004)),
            fold_mm=(float(rng.uniform(1, 4)), float(rng.uniform(12, 28))),
            vertebra_mm=float(rng.uniform(14, 19)),
            chin_mm=float(rng.uniform(22, 45)),
            waviness_mm=(float(rng.uniform(0, 3)), float(rng.uniform(25, 60))),
        ),
        focus_mm=centres[rng.integers(len(centres))],
        focus_radius_mm=float(rng.uniform(*radius_mm)),
    )


_FOLD_WAVES = 14
_FOLD_MM = (6.0, 40.0)  # length of the waves
_FLOOR = 0.02  # least fraction of a tissue: where there is none, none comes to be easily


def vary(patient: Patient, rng: np.random.Generator, amount: float) -> Patient:
    """Give a patient a shape, furrows and ventricles further from the template's.

    The heads are two, and one of them has a mean brain, smoother than anyone's. A network that
    trains on them alone takes the furrows of another for a tumour.

    Args:
        patient: as `draw_patient` drew it.
        rng: of these changes alone.
        amount: 0 (the patient as it is) to 1.
    """
    if amount == 0:
        return patient
    fine = np.empty((10, 3, 5))
    fine[..., 0] = rng.normal(0, 0.8 * amount, (10, 3))
    fine[..., 1] = rng.uniform(0, 2 * np.pi, (10, 3))
    fine[..., 2:] = rng.normal(0, 0.1, (10, 3, 3))
    coarse = patient.waves.copy()
    coarse[..., 0] *= 1 + 0.2 * amount
    sharpness = float(np.exp(amount * rng.uniform(0, np.log(10))))
    waves = np.empty((3, _FOLD_WAVES, 4))
    waves[..., 0] = rng.uniform(0, 2 * np.pi, (3, _FOLD_WAVES))
    along = rng.normal(0, 1, (3, _FOLD_WAVES, 3))
    shortest, longest = (float(np.log(length)) for length in _FOLD_MM)
    length_mm = np.exp(rng.uniform(shortest, longest, (3, _FOLD_WAVES, 1)))
    norm = np.sqrt((along**2).sum(axis=2, keepdims=True))
    waves[..., 1:] = along / norm * 2 * np.pi / length_mm
    shift = amount * np.array([rng.uniform(-1, 2.5), 0, rng.uniform(-1, 1)])
    folds = Folds(
        sharpness=sharpness,
        shift=sharpness * shift,
        amplitude=sharpness * amount * float(rng.uniform(0, 1)) * np.sqrt(2 / _FOLD_WAVES),
        waves=waves,
    )
    return replace(patient, waves=np.concatenate([coarse, fine]), folds=folds)


def place_slice(
    rng: np.random.Generator, patient: Patient, params: PhantomParams, plane: str | None = None
) -> Placement:
    """Draw plane (unless given), canvas, field of view, shift, rotation and tilt, then deform."""
    shares = np.array([getattr(params.planes, name) for name in PLANES])
    drawn = PLANES[rng.choice(3, p=shares / shares.sum())]
    plane = plane or drawn
    height, width = (
        int(side) for side in rng.integers(params.canvas_px[0], params.canvas_px[1] + 1, 2)
    )
    # The longer side is at most 1.3 times the shorter one.
    height, width = min(height, int(1.3 * width)), min(width, int(1.3 * height))
    wide_mm, tall_mm = _EXTENT_MM[plane]
    pixel_mm = float(max(wide_mm / width, tall_mm / height) / rng.uniform(0.8, 1.08))
    reach_mm = min(0.35 * patient.focus_radius_mm, _MOST_OFFSET_MM)
    offset_mm = float(rng.uniform(-reach_mm, reach_mm))
    coarse = _plane_points(rng, plane, (height, width), pixel_mm)
    coarse = _through_focus(_deform(coarse, patient), patient.focus_mm, plane, offset_mm)
    points = np.stack([upsample(axis, (height, width), _STRIDE_PX) for axis in coarse])
    return Placement(plane, pixel_mm, points)


def upsample(coarse: Floats, shape: tuple[int, int], stride_px: int) -> Floats:
    """Interpolate values given at every `stride_px`-th pixel linearly to `shape`."""
    rows, columns = (np.arange(side) / stride_px for side in shape)
    row, column = rows.astype(np.intp), columns.astype(np.intp)
    down, right = (rows - row)[:, None], (columns - column)[None, :]
    tall = coarse[row] * (1 - down) + coarse[row + 1] * down
    return np.asarray(tall[:, column] * (1 - right) + tall[:, column + 1] * right)


def coarse_shape(shape: tuple[int, int], stride_px: int) -> tuple[int, int]:
    """Return the shape of the grid that `upsample` takes for `shape`."""
    return (shape[0] - 1) // stride_px + 2, (shape[1] - 1) // stride_px + 2


def _plane_points(
    rng: np.random.Generator, plane: str, shape: tuple[int, int], pixel_mm: float
) -> Floats:
    """Points of the undeformed plane on the coarse grid, in patient mm, (3, h, w)."""
    angle = float(rng.normal(0, np.radians(_TURN_DEG)))
    shift = rng.normal(0, 3, 2)
    tilt = rng.normal(0, 1, 2) * np.array(_TILT[plane])
    faces_left = rng.random() < _FACES_LEFT
    rows, columns = np.indices(coarse_shape(shape, _STRIDE_PX)) * float(_STRIDE_PX)
    right = (columns - (shape[1] - 1) / 2) * pixel_mm + shift[0]
    up = ((shape[0] - 1) / 2 - rows) * pixel_mm + shift[1]
    a, b, through = AXES[plane]
    points = np.empty((3, *rows.shape))
    sign = -1.0 if plane == "sagittal" and faces_left else 1.0
    points[a] = sign * (right * np.cos(angle) - up * np.sin(angle)) + _CENTRE_MM[plane][0]
    points[b] = right * np.sin(angle) + up * np.cos(angle) + _CENTRE_MM[plane][1]
    points[through] = right * tilt[0] + up * tilt[1]
    return points


def _deform(points: Floats, patient: Patient) -> Floats:
    moved = points * patient.stretch[:, None, None]
    for axes in patient.waves:
        for axis, (amplitude, phase, x, y, z) in enumerate(axes):
            angle = points[0] * x + points[1] * y + points[2] * z + phase
            moved[axis] += amplitude * np.sin(angle)
    face = np.clip(moved[1] - 60, 0, None) * np.clip(-moved[2] / 20, 0, 1)
    moved[1] += patient.face_stretch * face
    below = np.clip(-45 - moved[2], 0, None)
    moved[1] -= patient.neck.lean[0] * below + patient.neck.lean[1] * below**2
    moved[2] -= patient.neck.stretch * below
    return moved


def _through_focus(points: Floats, focus: Floats, plane: str, offset_mm: float) -> Floats:
    """Shift the plane along its normal so that it passes `offset_mm` from the focus."""
    a, b, through = AXES[plane]
    away = (points[a] - focus[a]) ** 2 + (points[b] - focus[b]) ** 2
    nearest = np.unravel_index(np.argmin(away), away.shape)
    points[through] += focus[through] + offset_mm - points[through][nearest]
    return points


def grow_ventricles(points: Floats, growth: float) -> Floats:
    """Enlarge what lies around the ventricles by sampling nearer to their centre."""
    away = [points[axis] - _VENTRICLES_MM[axis] for axis in range(3)]
    squared = (away[0] / 24) ** 2 + (away[1] / 40) ** 2 + (away[2] / 24) ** 2
    factor = growth * np.exp(-squared)
    return np.stack([points[axis] - away[axis] * factor for axis in range(3)])


def sample_anatomy(patient: Patient, points: Floats, pushed: Floats) -> Anatomy:
    """Read the tissue at template points, mm, (3, H, W).

    `pushed` are those of the brain after mass effect, `points` those of skull and skin, which a
    mass cannot move.
    """
    template = load_template(patient.head)
    below_mm = np.clip(FLOOR_MM - points[2], 0, None)
    hull_mm = template.hull_mm.at(points)
    hull_mm = np.where(below_mm > 0, np.maximum(hull_mm, 6 + 0.5 * below_mm), hull_mm)
    tissues = np.zeros((len(TISSUES), *hull_mm.shape))
    tissues[_AIR] = 1.0
    outer = _outer_points(patient, points, hull_mm, below_mm)
    outside = (hull_mm > -0.5) & _is_filled(template, outer)
    tissues[:, outside] = _outer_tissues(template.head, outer[:, outside], (below_mm > 0)[outside])
    inside = hull_mm < 0.5
    brain = _brain_tissues(template, pushed[:, inside], patient.folds)
    share = np.clip(0.5 - hull_mm[inside], 0, 1)
    tissues[:, inside] = tissues[:, inside] * (1 - share) + brain * share
    return Anatomy(tissues, hull_mm)


def _brain_tissues(template: Template, points: Floats, folds: Folds | None) -> Floats:
    grey, white = template.grey.at(points), template.white.at(points)
    fluid = np.clip(1.6 * (1 - grey - white), 0, 1)
    share = (1 - fluid) / np.maximum(grey + white, 1e-6)
    fractions = np.stack([fluid, grey * share, white * share])
    tissues = np.zeros((len(TISSUES), points.shape[1]))
    tissues[[_FLUID, _GREY, _WHITE]] = (
        fractions if folds is None else _fold(fractions, points, folds)
    )
    return tissues


def _fold(fractions: Floats, points: Floats, folds: Folds) -> Floats:
    """Fractions of fluid, grey and white matter (3, N) as one patient has them, they sum to 1."""
    level = folds.sharpness * np.log(fractions + _FLOOR) + folds.shift[:, None]
    for tissue, waves in zip(level, folds.waves, strict=True):
        for phase, x, y, z in waves:
            tissue += folds.amplitude * np.sin(
                points[0] * x + points[1] * y + points[2] * z + phase
            )
    odds = np.exp(level - level.max(axis=0))
    return np.asarray(odds / odds.sum(axis=0))


def _outer_points(patient: Patient, points: Floats, hull_mm: Floats, below_mm: Floats) -> Floats:
    """Where to read the tissue around the brain: thicker or thinner walls, the neck continued."""
    away = [points[i] - _HEAD_CENTRE_MM[i] for i in range(3)]
    reach = np.sqrt(away[0] ** 2 + away[1] ** 2 + away[2] ** 2)
    shift = (hull_mm - patient.fluid_mm) / patient.wall - hull_mm
    factor = np.clip(shift, -_MOST_SHIFT_MM, _MOST_SHIFT_MM) / np.maximum(reach, 1.0)
    outer = np.stack([points[i] + away[i] * factor for i in range(3)])
    if not below_mm.any():
        return outer
    neck = patient.neck
    amplitude, length = neck.waviness_mm
    narrower = 1 - neck.widening * below_mm
    outer[0] *= narrower
    outer[1] = (outer[1] + 20) * narrower - 20
    outer[1] += amplitude * np.sin(below_mm * (2 * np.pi / length))
    front = np.clip((outer[1] + 10) / 40, 0, 1)  # 0 at the spine, 1 in the face
    outer[1] += _NECK_RECEDES_MM * front * np.clip((below_mm - neck.chin_mm) / 15, 0, 1)
    spine_mm, face_mm = neck.fold_mm
    fold_mm = spine_mm + (face_mm - spine_mm) * front
    period_mm = np.maximum(neck.vertebra_mm, 2 * fold_mm)
    folded = FLOOR_MM + 0.5 * fold_mm * (1 - np.cos(below_mm * 2 * np.pi / period_mm))
    outer[2] = np.where(below_mm > 0, folded, outer[2])
    return outer


def _is_filled(template: Template, points: Floats) -> NDArray[np.bool_]:
    """Whether the head has any tissue near, (H, W)."""
    places = tuple(
        np.clip(np.rint((points[i] - template.head.origin_mm[i]) / VOXEL_MM), 0, side - 1).astype(
            np.intp
        )
        for i, side in enumerate(template.filled.shape)
    )
    return np.asarray(template.filled[places])


def _outer_tissues(head: Head, points: Floats, is_neck: NDArray[np.bool_]) -> Floats:
    """Tissues around the brain, with edges sharper than the grid of 2 mm has them."""
    tissues, _ = head.sample(points)
    matter = np.where(is_neck, 0.0, tissues[_GREY] + tissues[_WHITE])
    tissues[_FLUID] += matter
    tissues[_GREY] = np.where(is_neck, tissues[_GREY], 0.0)
    tissues[_WHITE] = np.where(is_neck, tissues[_WHITE], 0.0)
    sharp = tissues * tissues * tissues
    return np.asarray(sharp / sharp.sum(axis=0))
