"""Healthy anatomy of a phantom patient: the MNI152 tissue maps, deformed, inside a made-up head.

Points are in template (MNI) space, in millimetres: x to the right, y to the front, z to the top.
Everything is float64 and elementwise (no BLAS), so bytes repeat.
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_ORIGIN_MM = (98.0, 134.0, 72.0)  # of voxel (0, 0, 0), negated: template mm + this = voxel
_FACE_MM = ((0, 34, -62), (62, 62, 58))  # centre and radii of the ellipsoid below the brain
_NECK_MM = ((0, -38, -110), (54, 56, 78))


class PhantomError(ValueError):
    """The phantom cannot be made as asked."""


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
    result: Floats = map_coordinates(volume, coordinates, np.float64, order=1, mode="nearest")
    return result


def sample_anatomy(points: Floats, pushed: Floats, wall_mm: float) -> Anatomy:
    """Read the tissue at `pushed` (brain) and `points` (skull and skin, which a mass cannot move).

    Args:
        points: template point of every pixel, mm, (3, H, W).
        pushed: the same after mass effect.
        wall_mm: from the brain's surface to the skin.
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
        raise PhantomError("the phantom needs nilearn: pip install 'brain-tumor[pipeline]'")
    folder = Path(spec.submodule_search_locations[0]) / "datasets" / "data"
    path = folder / f"mni_icbm152_{name}_tal_nlin_sym_09a_converted.nii.gz"
    if not path.is_file():
        raise PhantomError(
            f"{path}: this nilearn does not ship the MNI152 maps; see pyproject.toml"
        )
    values = np.asarray(nibabel.load(path).dataobj, dtype=np.float32)
    return np.asarray(values / values.max())


def _hull_distance_mm(brain: NDArray[np.bool_]) -> NDArray[np.float32]:
    from scipy import ndimage

    padded = np.pad(brain, 8)
    closed = ndimage.binary_closing(padded, iterations=6)[8:-8, 8:-8, 8:-8] | brain
    outside = ndimage.distance_transform_edt(~closed, sampling=2.0)
    inside = ndimage.distance_transform_edt(closed, sampling=2.0)
    result: NDArray[np.float32] = ndimage.gaussian_filter(outside - inside, 1.5).astype(np.float32)
    return result


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
