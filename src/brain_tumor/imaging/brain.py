"""The brain in a picture: where it is, in which plane it is cut, and how it lies.

A small network looks at a square view of the picture. For each cell of the view it says whether the
cell shows brain, and which point of the MNI152 template it shows (x to the right, y to the front,
z up, millimetres). The plane, the position and the pose are those of the map that fits these points
best. The first view takes in the whole head; the next ones are centred on the brain, upright, and
at one scale, so the network sees every picture alike in the end.

`brain.onnx` and `brain.json` are made by `python -m evidence.brain_network`: from heads that are
drawn at random, and from no picture.
"""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from brain_tumor.errors import UserError
from brain_tumor.files import read_json
from brain_tumor.imaging.geometry import (
    AXES,
    PLANES,
    Plane,
    compose,
    invert,
    similarity,
    transform,
    warp,
)
from brain_tumor.imaging.head import hull, large_parts

CENTRE_MM: Final = (0.0, -18.0, 10.0)  # the template point in the middle of the normalised frame
FRAME_SIDE_PX: Final = 256  # of 1 mm

NETWORK: Final = Path(__file__).with_name("brain.onnx")
SIDE_PX: Final = 96  # of a view
CELL_PX: Final = 4
CELLS: Final = SIDE_PX // CELL_PX

_VIEW_PX_MM = 2.4  # of all views but the first
_VIEWS = 3
_LARGE_PX = 256  # a picture whose longer side has twice as many or more is shrunk before views
_MIN_BRAIN = 0.3  # a cell that shows brain with less probability says nothing of the pose
_MIN_CELLS = 4.0  # sum of the probabilities
_SIZES_MM = (0.8, 8.0)  # of a pixel of a view; a fit outside is none
_ROUNDS = 4  # of the fit; each trusts places that fit badly less
_CENTRES_PX = np.arange(CELLS) * CELL_PX + (CELL_PX - 1) / 2
FEATURES: Final = ("residual_mm", "brain_cm2", "oblique", "spread", "moved_mm", "certain")


def contrast(view: np.ndarray) -> np.ndarray:
    """Scale grey levels, any real (N, N), so that the brightest are 1; float32, 0 to 1.2."""
    brightest = max(float(np.percentile(view, 99.5)), 1e-3)
    return np.asarray(np.clip(view / brightest, 0, 1.2), dtype=np.float32)


@dataclass(frozen=True)
class Places:
    """What the network says of a view.

    Attributes:
        brain: probability that a cell shows brain, float64 (`CELLS`, `CELLS`).
        points: template point it shows, mm, float64 (`CELLS`, `CELLS`, 3). In sagittal views x is
            the distance from the middle; in others it grows to the right as the head is shown.
    """

    brain: NDArray[np.float64]
    points: NDArray[np.float64]


def look(view: np.ndarray, network: Path = NETWORK) -> Places:
    """Run a network on a view with grey levels as `contrast` has them, (`SIDE_PX`, `SIDE_PX`).

    It computes with one thread, so that its answers repeat bit for bit on a machine.

    Raises:
        UserError: the network's file is missing, or damaged.
    """
    brain, points = _session(network).run(None, {"view": view[None].astype(np.float32)})
    return Places(brain[0].astype(np.float64), points[0].astype(np.float64))


@cache
def _session(network: Path) -> Any:
    import onnxruntime

    data = network.read_bytes() if network.is_file() else b""
    if hashlib.sha256(data).hexdigest() != _about(network)["sha256"]:
        raise UserError(
            f"{network}: not the network that {described_in(network).name} describes; "
            "install brain-tumor again"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


def network_digest(network: Path = NETWORK) -> str:
    """SHA-256 of what a network is described by: the digest of its file, and its confidence."""
    return hashlib.sha256(described_in(network).read_bytes()).hexdigest()


def described_in(network: Path) -> Path:
    """The file beside a network that holds its digest, and what its confidence rests on."""
    return network.with_suffix(".json")


@cache
def _about(network: Path) -> Any:
    return read_json(described_in(network), "install brain-tumor again")


@dataclass(frozen=True)
class Fit:
    """The similarity that takes a view to the template, as its places have it.

    Attributes:
        plane: nearest to the plane through the points.
        mirrored: of a sagittal view, that it faces left.
        position_mm: template coordinate along the plane's normal (sagittal: from the middle).
        matrix: (2, 3), pixel of the normalised frame to pixel of the view.
        residual_mm: root mean square distance of the points from the map.
        oblique: 1 minus the cosine of the angle between the plane and `plane`; at most 0.42.
        spread: standard deviation of the points along the normal, mm.
        px_mm: template millimetres of a pixel of the view.
    """

    plane: Plane
    mirrored: bool
    position_mm: float
    matrix: np.ndarray
    residual_mm: float
    oblique: float
    spread: float
    px_mm: float

    @property
    def name(self) -> str:
        """The slice, as `axial+8` or `sagittal+12-mirrored`."""
        return f"{self.plane}{round(self.position_mm):+d}{'-mirrored' if self.mirrored else ''}"


def fit(places: Places) -> Fit | None:
    """Fit plane and similarity, robustly; None where there is next to no brain."""
    weight = np.where(places.brain > _MIN_BRAIN, places.brain, 0.0).ravel()
    if weight.sum() < _MIN_CELLS:
        return None
    x, y = np.meshgrid(_CENTRES_PX, _CENTRES_PX)
    pixels = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], axis=1)
    points = places.points.reshape(-1, 3)
    slopes, trust = _plane_through(pixels, points, weight)
    normal = np.cross(slopes[0], slopes[1])
    along = np.abs(normal) / max(float(np.linalg.norm(normal)), 1e-9)
    plane = PLANES[2 - int(np.argmax(along))]  # x is the normal of sagittal planes, the last
    across, up, through = AXES[plane]
    share = trust / trust.sum()
    z = pixels[:, 0] - 1j * pixels[:, 1]
    sides = (1, -1) if plane == "sagittal" else (1,)
    maps = [(_similarity(z, side * points[:, across] + 1j * points[:, up], share), side)
            for side in sides]  # fmt: skip
    (residual_mm, slope, offset), side = min(maps, key=lambda pair: pair[0][0])
    position_mm = float(share @ points[:, through])
    return Fit(
        plane=plane,
        mirrored=side < 0,
        position_mm=position_mm,
        matrix=_frame_to_view(slope, offset, side * CENTRE_MM[across] + 1j * CENTRE_MM[up]),
        residual_mm=residual_mm,
        oblique=float(1 - along.max()),
        spread=float(np.sqrt(share @ (points[:, through] - position_mm) ** 2)),
        px_mm=abs(slope),
    )


def _plane_through(
    pixels: np.ndarray, points: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """The affine map from pixels to points, (3, 3), and how far each place is trusted, (n,).

    Reweighted least squares with Cauchy's weights.
    """
    trust = weight
    for _ in range(_ROUNDS):
        weighted = pixels * trust[:, None]
        slopes = np.linalg.solve(pixels.T @ weighted + 1e-6 * np.eye(3), weighted.T @ points)
        away_mm = np.sqrt(((pixels @ slopes - points) ** 2).sum(axis=1))
        typical_mm = np.sqrt((weight * away_mm**2).sum() / weight.sum())
        trust = weight / (1 + (away_mm / (0.7 * typical_mm + 2)) ** 2)
    return slopes, trust


def _similarity(
    z: np.ndarray, target: np.ndarray, share: np.ndarray
) -> tuple[float, complex, complex]:
    """Least squares of target = slope z + offset over complex numbers: a similarity.

    Returns:
        Root mean square residual, slope and offset.
    """
    z_mean, target_mean = share @ z, share @ target
    away, wanted = z - z_mean, target - target_mean
    slope = (share @ (away.conj() * wanted)) / max(float(share @ np.abs(away) ** 2), 1e-9)
    residual = np.sqrt(share @ np.abs(wanted - slope * away) ** 2)
    return float(residual), complex(slope), complex(target_mean - slope * z_mean)


def _frame_to_view(slope: complex, offset: complex, centre: complex) -> np.ndarray:
    """The inverse of z -> slope z + offset, from pixels of the frame to pixels of the view."""
    slope = slope if abs(slope) > 1e-6 else 1e-6
    middle = (FRAME_SIDE_PX - 1) / 2
    turn, shift = 1 / slope, (complex(-middle, middle) + centre - offset) / slope
    return np.array([[turn.real, turn.imag, shift.real], [-turn.imag, turn.real, -shift.imag]])


@dataclass(frozen=True)
class Brain:
    """The brain that was found in a picture.

    Attributes:
        fit: of the last view; None: there is none.
        matrix: (2, 3), pixel of the normalised frame to pixel of the picture.
        mask: bool (`SIDE_PX`, `SIDE_PX`), the brain in the last view, as its convex hull.
        frame_to_mask: (2, 3), pixel of the normalised frame to pixel of `mask`.
        confidence: probability that plane, side, pose and position are right, 0 to 1.
        features: what the confidence rests on, in the order of `FEATURES`; empty without a fit.
    """

    fit: Fit | None
    matrix: np.ndarray
    mask: NDArray[np.bool_]
    frame_to_mask: np.ndarray
    confidence: float
    features: tuple[float, ...]


def find_brain(image: np.ndarray, first: np.ndarray, network: Path = NETWORK) -> Brain:
    """Find the brain in a grey picture, uint8 (H, W).

    Args:
        image: the picture.
        first: (2, 3), pixel of the first view to pixel of the picture.
        network: the file of the network; see `described_in`.
    """
    small, shrink = _shrunk(image)
    to_small, view = invert(shrink), first
    fits: list[tuple[Fit, np.ndarray]] = []
    places = Places(np.zeros((CELLS, CELLS)), np.zeros((CELLS, CELLS, 3)))
    if image.min() == image.max():
        return Brain(None, first, _mask(places), first, 0.0, ())
    for _ in range(_VIEWS):
        places = look(contrast(warp(small, compose(to_small, view), SIDE_PX)), network)
        found = fit(places)
        mask = _mask(places)
        if found is None or not mask.any() or not _SIZES_MM[0] < found.px_mm < _SIZES_MM[1]:
            return Brain(None, first, mask, first, 0.0, ())
        matrix = compose(view, found.matrix)
        fits.append((found, matrix))
        last, view = view, compose(matrix, _around(places, found))
    features = _features(places, fits)
    frame_to_mask = compose(invert(last), matrix)
    confidence = _confidence(features, network)
    return Brain(found, matrix, mask, frame_to_mask, confidence, features)


def _shrunk(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a longer side below twice `_LARGE_PX`, and its pixels in the picture."""
    factor = max(1, max(image.shape) // _LARGE_PX)
    if factor == 1:
        return image, similarity(1.0, 0.0, (0.0, 0.0))
    small = np.asarray(Image.fromarray(image).reduce(factor))
    return small, similarity(float(factor), 0.0, ((factor - 1) / 2, (factor - 1) / 2))


def _around(places: Places, found: Fit) -> np.ndarray:
    """A view of the frame in whose middle the brain lies: its pixels in the frame, (2, 3)."""
    x, y = np.meshgrid(_CENTRES_PX, _CENTRES_PX)
    weight = np.where(places.brain > _MIN_BRAIN, places.brain, 0.0)
    middle = np.array([[(weight * x).sum(), (weight * y).sum()]]) / weight.sum()
    across, down = transform(invert(found.matrix), middle)[0]
    half = _VIEW_PX_MM * (SIDE_PX - 1) / 2
    return similarity(_VIEW_PX_MM, 0.0, (float(across) - half, float(down) - half))


def _mask(places: Places) -> NDArray[np.bool_]:
    """The convex hull of the brain, for each pixel of a view."""
    to_cells = similarity(1 / CELL_PX, 0.0, (-0.375, -0.375))
    return hull(large_parts(warp(places.brain, to_cells, SIDE_PX) > 0.5))


def _features(places: Places, fits: list[tuple[Fit, np.ndarray]]) -> tuple[float, ...]:
    (before, earlier), (last, matrix) = fits[-2:]
    middle = (FRAME_SIDE_PX - 1) / 2
    corners = np.array([[-60.0, 0.0], [60.0, 0.0], [0.0, -60.0], [0.0, 60.0]]) + middle
    moved = transform(invert(matrix), transform(earlier, corners)) - corners
    same = before.plane == last.plane and before.mirrored == last.mirrored
    moved_mm = float(np.linalg.norm(moved, axis=1).mean()) if same else 100.0
    sure = np.abs(2 * places.brain - 1)
    return (
        last.residual_mm,
        float(places.brain.sum() * (CELL_PX * last.px_mm) ** 2 / 100),
        last.oblique,
        last.spread,
        moved_mm,
        float(sure[places.brain > 0.1].mean()) if (places.brain > 0.1).any() else 0.0,
    )


def _confidence(features: tuple[float, ...], network: Path) -> float:
    about = _about(network)["confidence"]
    return float(probability_right(np.array([features]), about)[0])


def probability_right(features: np.ndarray, about: dict[str, list[float]]) -> np.ndarray:
    """Logistic regression on the logarithm of one plus each feature, (n, features) to (n,)."""
    scaled = (np.log1p(features) - about["mean"]) / about["deviation"]
    logit = scaled @ np.array(about["weights"]) + about["bias"]
    return np.asarray(1 / (1 + np.exp(-logit)))
