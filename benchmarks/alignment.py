"""How well a known pose is recovered: whole-head phantoms of a brain that the network never saw.

`python -m benchmarks.alignment` draws Colin27's head and brain in each plane (the network learned
from the MNI152 brain), aligns the pictures, and compares the template point of every brain pixel
with the one that the alignment gives it. `similarity` is the distance that the best similarity
leaves, since the drawn brains are deformed. It also says how sure the alignment is, and how often
it is right (plane, side, 20 mm along the normal), and what a picture costs.
"""

import time
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd
import typer

from brain_tumor import settings
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.imaging.brain import CENTRE_MM, FRAME_SIDE_PX
from brain_tumor.imaging.geometry import AXES, PLANES, invert, transform
from brain_tumor.imaging.preprocess import Normalisation, normalise, preprocess_grey
from brain_tumor.settings import PreprocessParams

SEED = 777


def main(count: int = 60) -> None:
    """Print a row for each plane, of so many phantoms each."""
    params = settings.read()
    print(
        "plane     right fallbacks position mm (median, 95 %)  in-plane mm  similarity  confidence"
    )
    cost_ms = []
    for plane in PLANES:
        rows = []
        for index in range(count):
            drawn = make_slice(
                SEED, index, index % 4, index % 2 == 0, params.phantom, plane, head="colin27"
            )
            if drawn.brain.sum() * drawn.pixel_mm**2 < 1500:  # as the network was trained
                continue
            rows.append(_compare(drawn.image, drawn.points[:, drawn.brain], drawn.brain, plane,
                                 params.preprocess))  # fmt: skip
            before = time.process_time()
            preprocess_grey(drawn.image, params.preprocess)
            cost_ms.append(1000 * (time.process_time() - before))
        _print(plane, rows)
    print(f"CPU ms from grey picture to network input: {np.median(cost_ms):.0f} (median)")


@dataclass(frozen=True)
class Alignment:
    """How well a phantom was aligned; the distances (mm) are nan where plane or side is wrong.

    Attributes:
        confidence: that it gives itself, 0 to 1.
        is_fallback: it is not trusted.
        off_mm: along the plane's normal.
        in_plane_mm: mean over the brain.
        best_mm: what the best similarity leaves of that.
    """

    confidence: float
    is_fallback: bool
    off_mm: float = np.nan
    in_plane_mm: float = np.nan
    best_mm: float = np.nan


def _compare(
    image: np.ndarray, points: np.ndarray, brain: np.ndarray, plane: str, params: PreprocessParams
) -> Alignment:
    found = normalise(image, params)
    assert found.brain is not None
    fit, confidence = found.brain.fit, found.brain.confidence
    across, up, through = AXES[plane]
    rows, columns = np.nonzero(brain)
    to_right = np.polyfit(columns, points[across], 1)[0]
    wanted = -1 if to_right < 0 and plane == "sagittal" else 1
    position = np.abs(points[through]) if plane == "sagittal" else points[through]
    if fit is None or fit.plane != plane or fit.mirrored != (wanted < 0):
        return Alignment(confidence, bool(found.fallback))
    off_mm = abs(fit.position_mm - float(position.mean()))
    truth = wanted * points[across] + 1j * points[up]
    given = _template(found, np.stack([columns, rows], axis=1), wanted, across, up)
    z = columns - 1j * rows
    slope, offset = np.polyfit(z, truth, 1)
    return Alignment(
        confidence,
        bool(found.fallback),
        off_mm,
        in_plane_mm=float(np.abs(given - truth).mean()),
        best_mm=float(np.abs(slope * z + offset - truth).mean()),
    )


def _template(
    found: Normalisation, pixels: np.ndarray, side: int, across: int, up: int
) -> np.ndarray:
    """Template points of pixels by the alignment, as complex numbers."""
    frame = transform(invert(found.matrix), pixels.astype(np.float64))
    middle = (FRAME_SIDE_PX - 1) / 2
    right = frame[:, 0] - middle + side * CENTRE_MM[across]
    return np.asarray(right + 1j * (middle - frame[:, 1] + CENTRE_MM[up]))


def _print(plane: str, rows: list[Alignment]) -> None:
    table = pd.DataFrame([asdict(row) for row in rows])
    print(
        f"{plane:9s} {(table.off_mm < 20).mean():5.2f} {table.is_fallback.sum():9.0f} "
        f"{table.off_mm.median():14.1f} {table.off_mm.quantile(0.95):12.1f} "
        f"{table.in_plane_mm.mean():12.1f} {table.best_mm.mean():11.1f} "
        f"{table.confidence.mean():11.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
