"""Whole heads: the tissue at every point of two heads that share skull, face and neck.

`colin27` is one man's head with his own brain. `mni152` is the mean brain of 152 people that
nilearn ships, with that man's head pulled around it. What is made from one can be tested on the
other. Points are in template (MNI) space, millimetres: x to the right, y to the front, z up.

`heads.npz` holds the labels of both at 2 mm; `python -m evidence.head_labels` makes it. It is
derived from Colin27 (Holmes et al. 1998, J Comput Assist Tomogr 22:324-333; see heads.LICENSE).
"""

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import replacing

Floats = NDArray[np.float64]

FILE: Final = Path(__file__).with_name("heads.npz")
HEADS: Final = ("colin27", "mni152")
TISSUES: Final = (
    "air",
    "fluid",
    "bone",
    "marrow",
    "fat",
    "muscle",
    "skin",
    "eye",
    "cavity",  # air inside: sinuses, nose, throat
    "gland",  # and other soft tissue that is brighter than muscle on T1
    "grey",
    "white",
)
VOXEL_MM: Final = 2.0
ORIGIN_MM: Final = (-90.0, -124.0, -70.0)  # of the first voxel
MAP_ORIGIN_MM: Final = (-98.0, -134.0, -72.0)  # of the first voxel of nilearn's 1 mm maps


@dataclass(frozen=True)
class Head:
    """One head, on a grid of 2 mm.

    Attributes:
        tissues: float32 (x, y, z, tissues + 1), fraction of each of `TISSUES`, [0, 1], and last
            the signed distance to the brain's surface in mm, negative inside. At the sides, the
            front, the back and the top it ends in air; the neck goes on below.
    """

    tissues: NDArray[np.float32]

    @property
    def origin_mm(self) -> tuple[float, float, float]:
        """Template point of the first voxel, padding included."""
        x, y, z = ORIGIN_MM
        return x - _PAD * VOXEL_MM, y - _PAD * VOXEL_MM, z

    def sample(self, points: NDArray[np.floating]) -> tuple[Floats, Floats]:
        """Interpolate linearly at `points` (3, N), mm; outside, the border goes on.

        Returns:
            Fractions, float64 (tissues, N), and distances to the brain's surface in mm, (N,).
        """
        _, wide, tall, values = self.tissues.shape
        flat = self.tissues.reshape(-1, values)
        total = np.zeros((points.shape[1], values))
        for start in range(0, points.shape[1], _CHUNK):
            some = slice(start, start + _CHUNK)
            floor, part = [], []
            for axis, origin in enumerate(self.origin_mm):
                place = (points[axis, some] - origin) / VOXEL_MM
                place = np.clip(place, 0, self.tissues.shape[axis] - 1.001)
                floor.append(place.astype(np.int64))
                part.append(place - floor[-1])
            first = (floor[0] * wide + floor[1]) * tall + floor[2]
            for corner in np.ndindex(2, 2, 2):
                x, y, z = (part[i] if step else 1 - part[i] for i, step in enumerate(corner))
                place = first + (corner[0] * wide + corner[1]) * tall + corner[2]
                total[some] += np.take(flat, place, axis=0) * (x * y * z)[:, None]
        return total[:, :-1].T, total[:, -1]


_PAD = 4  # voxels of air around the labels
_CHUNK = 4096  # points interpolated at once: what they need stays in the processor's cache


@cache
def load_head(name: str) -> Head:
    """Load one of `HEADS`.

    Raises:
        UserError: nilearn's maps are missing (`mni152` only).
    """
    with np.load(FILE, allow_pickle=False) as stored:
        labels = stored[name]
    fractions = np.eye(len(TISSUES), dtype=np.float32)[labels]
    grey, white = (TISSUES.index(tissue) for tissue in ("grey", "white"))
    if name == "mni152":
        grey_map, white_map, brain = brain_maps(labels.shape)
        inside = close_furrows(brain)
        fluid = np.clip(1.6 * (1 - grey_map - white_map), 0, 1)
        share = (1 - fluid) / np.maximum(grey_map + white_map, 1e-6)
        fractions[inside] = 0
        for index, value in (
            (grey, share * grey_map),
            (white, share * white_map),
            (TISSUES.index("fluid"), fluid),
        ):
            fractions[..., index][inside] = value[inside]
    else:
        inside = close_furrows(np.isin(labels, (grey, white)))
    # Labels end at the picture's border; the sides of the head are closed by air.
    around = [(_PAD, _PAD), (_PAD, _PAD), (0, _PAD)]
    air = np.zeros(len(TISSUES), dtype=np.float32)
    air[TISSUES.index("air")] = 1
    from_brain_mm = np.pad(distance_mm(inside), around, mode="edge")
    padded = np.empty((*from_brain_mm.shape, len(TISSUES) + 1), dtype=np.float32)
    padded[..., :-1] = air
    padded[_PAD:-_PAD, _PAD:-_PAD, :-_PAD, :-1] = fractions
    padded[..., -1] = from_brain_mm
    return Head(padded)


def save(path: Path, labels: dict[str, NDArray[np.uint8]]) -> None:
    """Write the labels of `HEADS`; the same labels give the same bytes."""
    arrays: dict[str, Any] = dict(labels)
    with replacing(path) as aside, aside.open("wb") as file:
        np.savez_compressed(file, **arrays)


def brain_map(name: str) -> NDArray[np.float32]:
    """One of nilearn's MNI152 maps (t1, gm, wm), 1 mm voxels, [0, 1], float32 (197, 233, 189).

    It is read where `load_mni152_*` reads it: importing nilearn takes seconds.

    Raises:
        UserError: nilearn is missing or ships no such map.
    """
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


def brain_maps(
    shape: tuple[int, ...],
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.bool_]]:
    """Grey matter, white matter and the brain of MNI152 on the labels' grid, of this shape."""
    from scipy.ndimage import gaussian_filter

    first = np.subtract(ORIGIN_MM, MAP_ORIGIN_MM).astype(int)
    step = int(VOXEL_MM)
    places = tuple(
        slice(start, start + step * side, step) for start, side in zip(first, shape, strict=True)
    )
    head, grey, white = (brain_map(name) for name in ("t1", "gm", "wm"))
    brain = gaussian_filter((head > 0).astype(np.float32), 0.6)[places] > 0.5
    return gaussian_filter(grey, 0.6)[places], gaussian_filter(white, 0.6)[places], brain


def close_furrows(brain: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The brain with its furrows closed, bool (x, y, z)."""
    from scipy import ndimage

    closed = ndimage.binary_closing(np.pad(brain, 8), iterations=3)[8:-8, 8:-8, 8:-8]
    return np.asarray(ndimage.binary_fill_holes(closed))


def distance_mm(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Signed distance to the surface of a mask on the labels' grid, negative inside."""
    from scipy import ndimage

    outside = ndimage.distance_transform_edt(~mask, sampling=VOXEL_MM)
    inside = ndimage.distance_transform_edt(mask, sampling=VOXEL_MM)
    return np.asarray(outside - inside, dtype=np.float32)
