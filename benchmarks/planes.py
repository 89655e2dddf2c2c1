"""Real pictures whose plane is known: how the brain in them is found.

`python -m benchmarks.planes PATH/TO/planes` takes a folder with `axial`, `coronal` and `sagittal`
in it, prints which plane was found for which, and draws every picture before and after into
`outputs/planes/`. Files alternate between two halves, by name: choices rest on the first, the
second is reported. Real pictures stay out of git.
"""

from collections import Counter
from pathlib import Path

import numpy as np
import typer

from brain_tumor import settings
from brain_tumor.imaging.figures import Tile, contact_sheet
from brain_tumor.imaging.geometry import PLANES
from brain_tumor.imaging.preprocess import Record, preprocess_grey
from brain_tumor.imaging.read import read_grey

_UPRIGHT_DEG = 30.0
_FOLDER = Path("outputs/planes")


def main(folder: Path) -> None:
    """Print the table and draw the sheets."""
    params = settings.read().preprocess
    _FOLDER.mkdir(parents=True, exist_ok=True)
    print("plane    half images axial coronal sagittal upright fallbacks right")
    for plane in PLANES:
        tiles: list[Tile] = []
        halves: tuple[list[Record], list[Record]] = ([], [])
        for number, file in enumerate(sorted((folder / plane).iterdir())):
            grey = read_grey(file.read_bytes())
            done = preprocess_grey(grey, params)
            halves[number % 2].append(done.record)
            caption = f"{done.record.slice} {done.record.confidence:.2f} {done.record.fallback[:2]}"
            tiles.append((caption, (grey, done.image)))
        for name, records in zip(("1", "2"), halves, strict=True):
            _print(plane, name, records)
        contact_sheet(tiles, _FOLDER / f"{plane}.png", f"{plane}: raw and preprocessed", 5, 130)


def _print(plane: str, half: str, records: list[Record]) -> None:
    planes = Counter(record.plane for record in records)
    upright = [abs(record.rotation_deg) < _UPRIGHT_DEG for record in records]
    right = [
        record.plane == plane and is_upright and not record.fallback
        for record, is_upright in zip(records, upright, strict=True)
    ]
    fallbacks = sum(bool(record.fallback) for record in records)
    print(
        f"{plane:8s} {half:>4s} {len(records):6d} {planes['axial']:5d} {planes['coronal']:7d} "
        f"{planes['sagittal']:8d} {sum(upright):7d} {fallbacks:9d} {np.mean(right):5.2f}"
    )


if __name__ == "__main__":
    typer.run(main)
