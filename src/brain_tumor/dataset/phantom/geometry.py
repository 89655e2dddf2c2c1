"""Where each pixel of a slice lies in the template: plane, placement and smooth deformation."""

from dataclasses import dataclass

import numpy as np

from brain_tumor.dataset.phantom.anatomy import Floats, load_template

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
    height, width = _limit_aspect(height, width)
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


def _limit_aspect(height: int, width: int) -> tuple[int, int]:
    """Shorten the longer side to at most 1.3 times the shorter one."""
    return min(height, int(1.3 * width)), min(width, int(1.3 * height))


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
