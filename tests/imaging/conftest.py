"""Pictures with a known truth, cut from the template itself (not through the atlas's code)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from scipy import ndimage

from brain_tumor.imaging.atlas import Atlas, build_atlas
from brain_tumor.imaging.geometry import invert, warp
from tests import sections

CENTRE_MM = {"axial": (0.0, -18.0), "coronal": (0.0, 10.0), "sagittal": (-18.0, 10.0)}
AXES = {"axial": (0, 1, 2), "coronal": (0, 2, 1), "sagittal": (1, 2, 0)}


@dataclass(frozen=True)
class Simulated:
    """A picture, the map from atlas pixels (2 mm) to its own, and the brain on the atlas grid."""

    image: np.ndarray
    atlas_to_image: np.ndarray
    brain: np.ndarray
    plane: str


Simulate = Callable[[int, str], Simulated]
POSITIONS_MM = {"axial": (-20.0, 56.0), "coronal": (-60.0, 20.0), "sagittal": (4.0, 40.0)}


@pytest.fixture(autouse=True)
def _one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes are started only where a test is about them."""
    monkeypatch.setenv("BRAIN_TUMOR_WORKERS", "1")


@pytest.fixture(scope="session")
def atlas() -> Atlas:
    return build_atlas(sections.preprocess())


@pytest.fixture(scope="session")
def simulate() -> Simulate:
    """A slice between the atlas's, with random contrast, head, bias, noise and similarity."""
    from nilearn.datasets import load_mni152_template

    template = load_mni152_template(resolution=2)
    volume, origin = np.asarray(template.get_fdata()), np.asarray(template.affine)[:3, 3]

    def cut(plane: str, position_mm: float) -> np.ndarray:
        rows, columns = np.mgrid[:128, :128]
        across, up, through = AXES[plane]
        points = np.zeros((3, 128, 128))
        points[across] = CENTRE_MM[plane][0] + 2.0 * (columns - 64)
        points[up] = CENTRE_MM[plane][1] + 2.0 * (63 - rows)
        points[through] = position_mm
        grid = (points - origin[:, None, None]) / 2.0
        brain: np.ndarray = ndimage.map_coordinates(volume, grid, order=1)
        return np.where(brain > 0.1, brain, 0.0)

    def make(seed: int, plane: str) -> Simulated:
        rng = np.random.default_rng([seed, len(plane)])
        brain = cut(plane, float(rng.uniform(*POSITIONS_MM[plane])))
        mask = ndimage.binary_fill_holes(brain > 0)
        scene = _with_head(_contrast(brain, mask, rng), mask, rng)
        scale, rotation = rng.uniform(0.45, 0.9), np.deg2rad(rng.uniform(-20, 20))
        side = int(128 / scale * rng.uniform(0.9, 1.1))
        cosine, sine = np.cos(rotation), np.sin(rotation)
        turn = np.array([[cosine, -sine], [sine, cosine]])
        shift = 63.5 + rng.uniform(-6, 6, 2) - scale * turn @ np.full(2, (side - 1) / 2)
        matrix = np.column_stack([scale * turn, shift])
        return Simulated(_shot(warp(scene, matrix, side), rng), invert(matrix), mask, plane)

    return make


def _contrast(brain: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    kind = rng.integers(3)
    if kind == 0:  # T1
        return brain
    if kind == 1:  # T2: fluid bright, white matter dark
        return np.where(mask, 1.05 - brain, 0.0)
    levels = np.interp(brain, [0, 0.35, 0.55, 0.7, 0.85, 1], [0.1, 0.15, 0.6, 0.75, 0.55, 0.5])
    return np.where(mask, levels, 0.0)  # FLAIR: fluid dark, grey matter brightest


def _with_head(brain: np.ndarray, mask: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Three in four keep a head of random thickness and brightness; the rest are stripped."""
    fluid, bone, scalp = np.cumsum([rng.uniform(1, 4), rng.uniform(4, 7), rng.uniform(4, 9)])
    bright, fluid_grey = rng.uniform(0.35, 1.0), rng.uniform(0.1, 0.9)
    if rng.random() < 0.25:
        return brain
    closed = ndimage.binary_closing(np.pad(mask, 30), iterations=14)[30:-30, 30:-30]
    distance_mm = 2.0 * ndimage.distance_transform_edt(~closed)
    head = np.where(distance_mm <= fluid, fluid_grey, 0.0)
    head[(distance_mm > bone) & (distance_mm <= scalp)] = bright
    return np.where(mask, brain, head)


def _shot(scene: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Bias field, blur, Rician noise, eight bits."""
    y, x = np.mgrid[: scene.shape[0], : scene.shape[1]] / scene.shape[0] - 0.5
    tilt = rng.uniform(-0.5, 0.5, 2)
    signal = ndimage.gaussian_filter(scene * (1 + tilt[0] * x + tilt[1] * y), 0.6)
    noisy = np.hypot(signal + rng.normal(0, 0.03, x.shape), rng.normal(0, 0.03, x.shape))
    shot: np.ndarray = np.clip(noisy * rng.uniform(140, 230), 0, 255).astype(np.uint8)
    return shot
