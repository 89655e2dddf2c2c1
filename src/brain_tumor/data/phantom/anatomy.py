"""The phantom's head: a brain in space, its deformation, and a tumour in it.

Points are in template (MNI) space, in millimetres: x to the right, y to the front, z to the top.
Everything is float64 and elementwise (no BLAS), so bytes repeat.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError

Floats = NDArray[np.float64]

_ORIGIN_MM = (98.0, 134.0, 72.0)  # of voxel (0, 0, 0), negated: template mm + this = voxel
_FACE_MM = ((0, 34, -62), (62, 62, 58))  # centre and radii of the ellipsoid below the brain
_NECK_MM = ((0, -38, -110), (54, 56, 78))


@dataclass(frozen=True)
class Template:
    """Volumes sampled by every slice, and where a mass may sit.

    Attributes:
        grey: probability of grey matter, float32 (197, 233, 189), 1 mm voxels.
        white: probability of white matter, likewise.
        hull_mm: signed distance to the smoothed surface of the brain, negative inside, 2 mm voxels.
        face_mm: the same for face and neck.
        centres: points at least 9 mm inside the brain, mm, (N, 3).
    """

    grey: NDArray[np.float32]
    white: NDArray[np.float32]
    hull_mm: NDArray[np.float32]
    face_mm: NDArray[np.float32]
    centres: Floats


@dataclass(frozen=True)
class Anatomy:
    """Tissue of one slice, each array float64 (H, W).

    Attributes:
        grey: fraction of grey matter, [0, 1].
        white: fraction of white matter, [0, 1].
        hull_mm: signed distance to the brain's surface, negative inside.
        head_mm: signed distance to the skin, negative inside.
    """

    grey: Floats
    white: Floats
    hull_mm: Floats
    head_mm: Floats


@cache
def load_template() -> Template:
    """Load the MNI152 maps that nilearn ships (no download) and derive head and centres."""
    head, grey, white = (_load_map(name) for name in ("t1", "gm", "wm"))
    brain = head > 0
    hull_mm = _hull_distance_mm(brain[::2, ::2, ::2])
    voxels = np.argwhere((hull_mm < -9) & (grey + white > 0.9)[::2, ::2, ::2])
    centres = voxels * 2.0 - np.array(_ORIGIN_MM)
    return Template(
        grey=grey * brain,
        white=white * brain,
        hull_mm=hull_mm,
        face_mm=_face_distance_mm(hull_mm.shape),
        centres=centres[centres[:, 2] > -30],
    )


def sample(volume: NDArray[np.float32], points: Floats, voxel_mm: float) -> Floats:
    """Interpolate `volume` linearly at `points` (3, H, W) in mm; outside, its border goes on."""
    from scipy.ndimage import map_coordinates

    origin = np.array(_ORIGIN_MM).reshape(3, 1, 1)
    coordinates = (points + origin) / voxel_mm
    return np.asarray(map_coordinates(volume, coordinates, np.float64, order=1, mode="nearest"))


def sample_anatomy(points: Floats, pushed: Floats, wall_mm: float) -> Anatomy:
    """Read the tissue at template points, mm, (3, H, W).

    `pushed` are those of the brain after mass effect, `points` those of skull and skin, which a
    mass cannot move; `wall_mm` is from the brain's surface to the skin.
    """
    template = load_template()
    hull_mm = sample(template.hull_mm, points, 2.0)
    inside = hull_mm < 1.0
    return Anatomy(
        grey=sample(template.grey, pushed, 1.0) * inside,
        white=sample(template.white, pushed, 1.0) * inside,
        hull_mm=hull_mm,
        head_mm=np.minimum(hull_mm - wall_mm, sample(template.face_mm, points, 2.0)),
    )


def _load_map(name: str) -> NDArray[np.float32]:
    """Read one map where nilearn's `load_mni152_*` reads it: importing nilearn takes seconds."""
    import nibabel

    spec = find_spec("nilearn")
    if spec is None or spec.submodule_search_locations is None:
        raise UserError("the phantom needs nilearn: pip install 'brain-tumor[pipeline]'")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    path = folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise UserError(f"{path}: this nilearn does not ship the MNI152 maps; see pyproject.toml")
    values = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)
    return np.asarray(values / values.max())


def _hull_distance_mm(brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    from scipy import ndimage

    padded = np.pad(brain, 8)
    closed = ndimage.binary_closing(padded, iterations=6)[8:-8, 8:-8, 8:-8] | brain
    outside = ndimage.distance_transform_edt(~closed, sampling=2.0)
    inside = ndimage.distance_transform_edt(closed, sampling=2.0)
    return np.asarray(ndimage.gaussian_filter(outside - inside, 1.5).astype(np.float32))


def _face_distance_mm(shape: tuple[int, ...]) -> NDArray[np.float32]:
    origin = np.array(_ORIGIN_MM).reshape(3, 1, 1, 1)
    points = np.indices(shape) * 2.0 - origin
    face, neck = (_ellipsoid_distance_mm(points, *shape_mm) for shape_mm in (_FACE_MM, _NECK_MM))
    return np.minimum(face, neck).astype(np.float32)


def _ellipsoid_distance_mm(
    points: Floats, centre: tuple[int, int, int], radii: tuple[int, int, int]
) -> Floats:
    """Roughly the signed distance to an ellipsoid: exact on its surface."""
    scaled = [(points[axis] - centre[axis]) / radii[axis] for axis in range(3)]
    reach = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + scaled[2] ** 2)
    return np.asarray((reach - 1) * min(radii))


PLANES = ("axial", "coronal", "sagittal")
_PLANE_ODDS = (0.84, 0.08, 0.08)
# For each plane: axes to the right, up and through; centre of the head and its extent there, mm.
_AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}
_CENTRE_MM = {"axial": (0, -17), "coronal": (0, 10), "sagittal": (-17, 10)}
_EXTENT_MM = {"axial": (172, 206), "coronal": (172, 182), "sagittal": (206, 182)}
_STRIDE_PX = 4  # the deformation is worked out on every fourth pixel and interpolated
_MOST_OFFSET_MM = 7.0  # of a slice from the focus, which lies 9 mm inside the brain or deeper
_VENTRICLES_MM = (0.0, -14.0, 16.0)


@dataclass(frozen=True)
class Patient:
    """What the slices of one patient share.

    Attributes:
        contrasts: order of the four contrasts over the slices.
        stretch: template mm per patient mm along x, y, z, (3,).
        waves: smooth deformation as sinusoids: (waves, axis moved, [amplitude mm, phase,
            x, y, z frequency in radians per mm]).
        ventricle_growth: enlargement of the ventricles, 0 to 0.35.
        fluid_mm: thickness of the fluid around the brain; so too skull_mm and scalp_mm.
        focus_mm: template point that every slice passes near (a mass would sit there), (3,).
        focus_radius_mm: radius of that mass.
    """

    contrasts: tuple[int, ...]
    stretch: Floats
    waves: Floats
    ventricle_growth: float
    fluid_mm: float
    skull_mm: float
    scalp_mm: float
    focus_mm: Floats
    focus_radius_mm: float


@dataclass(frozen=True)
class Placement:
    """One slice through a patient: `points` is the template point of each pixel, mm, (3, H, W)."""

    plane: str
    pixel_mm: float
    points: Floats


def draw_patient(rng: np.random.Generator, radius_mm: tuple[float, float]) -> Patient:
    """Draw a patient's anatomy and focus; patients with and without tumour are drawn alike."""
    centres = load_template().centres
    waves = np.empty((4, 3, 5))
    waves[..., 0] = rng.normal(0, 1.6, (4, 3))
    waves[..., 1] = rng.uniform(0, 2 * np.pi, (4, 3))
    waves[..., 2:] = rng.normal(0, 0.035, (4, 3, 3))
    return Patient(
        contrasts=tuple(int(index) for index in rng.permutation(4)),
        stretch=rng.uniform(0.94, 1.07, 3),
        waves=waves,
        ventricle_growth=float(rng.uniform(0, 0.35)),
        fluid_mm=float(rng.uniform(0.5, 3.5)),
        skull_mm=float(rng.uniform(4, 7)),
        scalp_mm=float(rng.uniform(3.5, 8)),
        focus_mm=centres[rng.integers(len(centres))],
        focus_radius_mm=float(rng.uniform(*radius_mm)),
    )


def place_slice(
    rng: np.random.Generator,
    patient: Patient,
    canvas_px: tuple[int, int],
    plane: str | None = None,
) -> Placement:
    """Draw plane (unless given), canvas, field of view, shift, rotation and tilt, then deform."""
    drawn = PLANES[rng.choice(3, p=_PLANE_ODDS)]
    plane = plane or drawn
    height, width = (int(side) for side in rng.integers(canvas_px[0], canvas_px[1] + 1, 2))
    # The longer side is at most 1.3 times the shorter one.
    height, width = min(height, int(1.3 * width)), min(width, int(1.3 * height))
    wide_mm, tall_mm = _EXTENT_MM[plane]
    pixel_mm = float(max(wide_mm / width, tall_mm / height) / rng.uniform(0.82, 1.02))
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
    angle = float(rng.normal(0, np.radians(5)))
    shift = rng.normal(0, 3, 2)
    tilt = rng.normal(0, 0.05, 2)
    rows, columns = np.indices(coarse_shape(shape, _STRIDE_PX)) * float(_STRIDE_PX)
    right = (columns - (shape[1] - 1) / 2) * pixel_mm + shift[0]
    up = ((shape[0] - 1) / 2 - rows) * pixel_mm + shift[1]
    a, b, through = _AXES[plane]
    points = np.empty((3, *rows.shape))
    points[a] = right * np.cos(angle) - up * np.sin(angle) + _CENTRE_MM[plane][0]
    points[b] = right * np.sin(angle) + up * np.cos(angle) + _CENTRE_MM[plane][1]
    points[through] = right * tilt[0] + up * tilt[1]
    return points


def _deform(points: Floats, patient: Patient) -> Floats:
    moved = points * patient.stretch[:, None, None]
    for axes in patient.waves:
        for axis, (amplitude, phase, x, y, z) in enumerate(axes):
            angle = points[0] * x + points[1] * y + points[2] * z + phase
            moved[axis] += amplitude * np.sin(angle)
    return moved


def _through_focus(points: Floats, focus: Floats, plane: str, offset_mm: float) -> Floats:
    """Shift the plane along its normal so that it passes `offset_mm` from the focus."""
    a, b, through = _AXES[plane]
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


KINDS = ("solid", "ring", "diffuse")
_KIND_ODDS = (0.4, 0.35, 0.25)
# Signal of each part (0 black, 1 white): T1, T1-CE (contrast-enhanced), T2, FLAIR.
_SOLID = (0.25, 1.0, 0.85, 0.90)
_RIM = (0.30, 1.0, 0.60, 0.90)
_CORE = (0.12, 0.12, 1.0, 0.20)
_DIFFUSE = (0.25, 0.26, 0.90, 0.95)
_OEDEMA = (0.30, 0.30, 0.90, 0.95)


@dataclass(frozen=True)
class Tumour:
    """A mass around the patient's focus; lengths as multiples of the focus radius.

    Attributes:
        kind: solid, ring (enhancing rim around a necrotic core) or diffuse.
        radii: of the ellipsoid, (3,).
        bumps: surface waves, together below 0.4: (waves, [amplitude, phase, x, y, z frequency]).
        rim: thickness of the ring.
        oedema: reach of the swelling around it, at least 1.
        push: mass effect: the share of the way to the focus that brain was pushed outwards.
        strength: how much of the textbook difference to the tissue is kept, 0 to 1.
    """

    kind: str
    radii: Floats
    bumps: Floats
    rim: float
    oedema: float
    push: float
    strength: float


def draw_tumour(rng: np.random.Generator, contrast: tuple[float, float]) -> Tumour:
    """Draw shape, kind and strength of one patient's tumour."""
    kind = KINDS[rng.choice(3, p=_KIND_ODDS)]
    bumps = np.empty((5, 5))
    bumps[:, 0] = rng.uniform(0.02, 0.08, 5)
    bumps[:, 1] = rng.uniform(0, 2 * np.pi, 5)
    bumps[:, 2:] = rng.normal(0, 2.5, (5, 3))
    return Tumour(
        kind=kind,
        radii=rng.uniform(0.8, 1.2, 3),
        bumps=bumps,
        rim=float(rng.uniform(0.18, 0.4)),
        oedema=float(rng.uniform(1.25, 2.1)),
        push=float(rng.uniform(0.2, 0.6)),
        strength=float(rng.uniform(*contrast)),
    )


def depth(tumour: Tumour, patient: Patient, points: Floats) -> Floats:
    """Distance from the focus over the distance of the surface there: 1 on the surface, (H, W)."""
    focus, radius = patient.focus_mm, patient.focus_radius_mm
    x, y, z = ((points[i] - focus[i]) / (radius * tumour.radii[i]) for i in range(3))
    reach = np.sqrt(x * x + y * y + z * z)
    unit = 1 / np.maximum(reach, 1e-6)
    surface = np.ones_like(reach)
    for amplitude, phase, fx, fy, fz in tumour.bumps:
        surface += amplitude * np.sin((fx * x + fy * y + fz * z) * unit + phase)
    return np.asarray(reach / surface)


def push_aside(tumour: Tumour, patient: Patient, points: Floats, reach: Floats) -> Floats:
    """Sample nearer to the focus, so that tissue appears pushed outwards (mass effect)."""
    factor = tumour.push * np.exp(-((reach / 1.6) ** 2))
    focus = patient.focus_mm
    return np.stack([points[i] - (points[i] - focus[i]) * factor for i in range(3)])


def tumour_mask(reach: Floats, anatomy: Anatomy) -> NDArray[np.bool_]:
    """Pixels of the mass itself (no oedema) inside the brain, bool (H, W)."""
    return np.asarray((reach < 1) & (anatomy.hull_mm < 0))


def paint(
    signal: Floats, tumour: Tumour, reach: Floats, anatomy: Anatomy, texture: Floats, contrast: int
) -> Floats:
    """Blend the tumour and its oedema into the tissue signal of a healthy slice, [0, 1], (H, W).

    `reach` is what `depth` returned for the slice, `texture` smooth noise around 0, (H, W), and
    `contrast` an index into `slices.CONTRASTS`. Oedema follows white matter.
    """
    inside = _step(-anatomy.hull_mm, 1.0) * tumour.strength
    fluid = np.clip(1 - anatomy.grey - anatomy.white, 0, 1)
    spread = _step(tumour.oedema + 0.25 * texture - reach, 0.25) * (0.25 + 0.75 * anatomy.white)
    signal = _blend(signal, _OEDEMA[contrast], 0.8 * inside * spread * (1 - fluid))
    edge = 0.5 if tumour.kind == "diffuse" else 0.1
    mass = inside * _step(1.0 + 0.05 * texture - reach, edge)
    return _blend(signal, _mass_signal(tumour, reach, texture, contrast), mass)


def _mass_signal(tumour: Tumour, reach: Floats, texture: Floats, contrast: int) -> Floats:
    mottled = 1 + 0.12 * texture
    if tumour.kind == "diffuse":
        return _DIFFUSE[contrast] * mottled
    if tumour.kind == "solid":
        return _SOLID[contrast] * mottled
    core = _step(1 - tumour.rim + 0.15 * texture - reach, 0.12)
    return _blend(_RIM[contrast] * mottled, _CORE[contrast], core)


def _step(value: Floats, width: float) -> Floats:
    """Rise smoothly from 0 to 1 while `value` goes from minus to plus half of `width`."""
    t = np.clip(value / width + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t))


def _blend(below: Floats, above: Floats | float, weight: Floats) -> Floats:
    return np.asarray(below + (above - below) * weight)
