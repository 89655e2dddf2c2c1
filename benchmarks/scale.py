"""Time and memory of the stages, by the number of images.

    python -m benchmarks.scale data 1000 5000 25000 100000
    python -m benchmarks.scale network 1000 5000

Pictures are made first, and kept for the next run: slices of the phantom, 96 px wide, each turned,
stretched, brightened and given noise in its own way. One in ten is a copy (the same bytes, or
rescaled and brightened), and three slices in a row are of one patient. The stages run one after
the other, as DVC runs them. CPU seconds are of all their processes. Memory is what they held
together, at most, without what is mapped from files; `one process` is the most that any of them
held, with that.

Group `network` goes through all stages up to `export` in another folder, from random weights, with
images of 75 px and two trials, one of the head alone and one that trains a block. `features` is no
stage: it is what the frozen trunk takes for the head's vectors and one block's maps, into an empty
cache. Stage tune does that first.

The exponent is the p of a + b n^p, which fits the CPU seconds best; three sizes are needed for it.
Beside it are the CPU hours of 100,000 images by a + b n.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import numpy as np
import pandas as pd
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table
from ruamel.yaml import YAML

from brain_tumor import settings
from brain_tumor.data.phantom.slices import make_slice
from brain_tumor.files import replacing
from brain_tumor.machine import spread, track
from brain_tumor.model.feature_cache import FeatureCache
from brain_tumor.model.features import Output, trunk_outputs
from brain_tumor.model.folds import read_development
from brain_tumor.outputs import BACKBONE

PARAMS = Path("params.yaml")
FEATURES = "features"
DATA = ("validate", "split", "preprocess", "augment")
STAGES = {
    "data": DATA,
    "network": (*DATA, "backbone", FEATURES, "tune", "train", "calibrate", "evaluate", "export"),
}
CHANGES: dict[str, dict[str, dict[str, Any]]] = {
    "data": {},
    "network": {
        "preprocess": {"size_px": 75},
        "backbone": {"source": "random"},
        "tune": {"n_trials": 2, "startup_trials": 2},
    },
}
SEED, SLICES, SIDE_PX, SAMPLED_S = 19, 100, 96, 0.1
FILES_PER_FOLDER, LARGEST = 1000, 100_000


def main(
    group: Annotated[str, typer.Argument(help="data: validate to augment; network: to export.")],
    images: Annotated[list[int], typer.Argument(help="Numbers of images.")],
    folder: Annotated[Path, typer.Option(help="Where pictures and results lie.")] = Path(
        ".cache/scale"
    ),
) -> None:
    """Run a group of stages for each number of images, and print a table."""
    if group not in STAGES:
        raise typer.BadParameter(f"{group}: one of {', '.join(STAGES)} is needed")
    report([*measured(group, images, folder)])


@dataclass(frozen=True)
class Cost:
    """What a stage took with so many images."""

    images: int
    stage: str
    wall_s: float
    cpu_s: float
    together_mb: float
    one_process_mb: float


def measured(group: str, numbers: list[int], folder: Path) -> Iterator[Cost]:
    """Run a group of stages for each number of images, the smallest first."""
    for number in sorted(numbers):
        project = folder / f"{group}-{number}"
        make_project(project, number, CHANGES[group])
        for stage in STAGES[group]:
            cost = run(stage, number, project)
            print(cost, file=sys.stderr, flush=True)
            yield cost


def run(stage: str, images: int, project: Path) -> Cost:
    """Run a stage in a folder and watch its processes."""
    command = [sys.executable, "-m", f"brain_tumor.stages.{stage}"]
    if stage == FEATURES:
        command = [sys.executable, "-c", "from benchmarks.scale import features; features()"]
    source = os.pathsep.join([str(Path("src").resolve()), str(Path().resolve())])
    log, start, together = project / f"{stage}.log", time.monotonic(), 0.0
    with log.open("w", encoding="utf-8") as output:
        process = subprocess.Popen(
            command,
            cwd=project,
            env=os.environ | {"PYTHONPATH": source, "DVC_ROOT": str(project.resolve())},
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        while True:
            done, status, usage = os.wait4(process.pid, os.WNOHANG)
            if done:
                break
            together = max(together, sum(map(anonymous_mb, family(process.pid))))
            time.sleep(SAMPLED_S)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"stage {stage} with {images} images failed, see {log}")
    wall, cpu = time.monotonic() - start, usage.ru_utime + usage.ru_stime
    return Cost(images, stage, wall, cpu, together, usage.ru_maxrss / 1024)


def features() -> None:
    """Compute what the trunk gives for validation images, training images and their variants."""
    wanted = [Output(6, "gap"), Output(5, "maps", "bfloat16")]
    with TemporaryDirectory() as folder:
        cache = FeatureCache(Path(folder), max_bytes=10**11)
        trunk_outputs(BACKBONE, read_development().images, wanted, cache)


def family(pid: int) -> list[int]:
    """A process and all that it started, and they."""
    try:
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    except OSError:
        return []
    return [pid, *(member for child in children for member in family(int(child)))]


def anonymous_mb(pid: int) -> float:
    """Memory of a process that no file stands behind."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0.0
    return sum(int(line.split()[1]) for line in lines if line.startswith("RssAnon:")) / 1024


# Pictures.


def make_project(project: Path, images: int, changes: dict[str, dict[str, Any]]) -> None:
    """Make data/ and params.yaml, with changed sections, unless they are there."""
    if (project / PARAMS).exists():
        return
    bases, rows = slices(), []
    for index in track(range(images), f"{images} pictures", images):
        path, content, patient = picture(bases, index)
        file = project / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        rows.append({"path": path, "patient": patient})
    pd.DataFrame(rows).to_csv(project / "data" / "patients.csv", index=False)
    with replacing(project / PARAMS) as aside:
        sections = YAML().load(PARAMS)
        for name, values in changes.items():
            sections[name].update(values)
        YAML().dump(sections, aside)


@cache
def slices() -> list[NDArray[np.uint8]]:
    """What all pictures are made from."""
    return list(spread(base, range(SLICES), "slices"))


def base(index: int) -> NDArray[np.uint8]:
    """A slice of the phantom; every other one has a tumour."""
    made = make_slice(SEED, index, 0, index % 2 == 1, settings.read(PARAMS).phantom).image
    small = Image.fromarray(made)
    small.thumbnail((SIDE_PX, SIDE_PX))
    return np.asarray(small)


def picture(bases: list[NDArray[np.uint8]], index: int) -> tuple[str, bytes, str]:
    """Path, bytes and patient of a picture: of ten in a row the last is a copy of the first."""
    is_copy = index % 10 == 9
    original = index - 9 if is_copy else index
    rng = np.random.default_rng((SEED, original))
    # (three in a row are of one patient, and of one class)
    chosen = 2 * int(rng.integers(SLICES // 2)) + original // 3 % 2
    image = varied(bases[chosen], rng)
    if is_copy and index % 20 == 9:
        larger = (image.width * 5 // 4, image.height * 5 // 4)
        image = image.resize(larger).point(lambda grey: grey * 0.9 + 10)
    buffer = BytesIO()
    image.save(buffer, "JPEG", quality=90)
    label = "yes" if chosen % 2 else "no"
    path = f"{label}/{index // FILES_PER_FOLDER:03d}/{index:06d}.jpg"
    return path, buffer.getvalue(), f"p{original // 3}"


def varied(base: NDArray[np.uint8], rng: np.random.Generator) -> Image.Image:
    """A slice turned, sheared, stretched, moved, perhaps mirrored, and of another contrast."""
    image = Image.fromarray(base if rng.random() < 0.5 else base[:, ::-1])
    turn = rng.normal(0, 0.3)
    turned = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    matrix = turned @ np.array([[1, rng.normal(0, 0.15)], [0, 1]]) * np.exp(rng.normal(0, 0.15, 2))
    centre = np.array(image.size) / 2
    shift = centre - matrix @ centre + rng.normal(0, 4, 2)
    affine = (*matrix[0], shift[0], *matrix[1], shift[1])
    moved = image.transform(image.size, Image.Transform.AFFINE, affine, Image.Resampling.BILINEAR)
    grey = (np.asarray(moved) / 255) ** np.exp(rng.normal(0, 0.3))
    grey += rng.normal(0, 0.02, grey.shape) * (grey > 0)
    return Image.fromarray((np.clip(grey, 0, 1) * 255).astype(np.uint8))


# The table.


def report(costs: list[Cost]) -> None:
    """Print a row for each stage and number of images, and the exponent of each stage."""
    columns = ("wall s", "CPU s", "ms an image", "MB together", "MB one process")
    table = Table("stage", "images", *columns, "exponent", "h at 100,000")
    for stage in dict.fromkeys(cost.stage for cost in costs):
        rows = [cost for cost in costs if cost.stage == stage]
        fits = fitted([cost.images for cost in rows], [cost.cpu_s for cost in rows])
        for cost in rows:
            figures = (cost.wall_s, cost.cpu_s, 1000 * cost.cpu_s / cost.images)
            sizes = (cost.together_mb, cost.one_process_mb)
            cells = [*(f"{value:.1f}" for value in figures), *(f"{size:.0f}" for size in sizes)]
            table.add_row(stage, str(cost.images), *cells, *(fits if cost is rows[-1] else ()))
    Console(width=110).print(table)


def fitted(images: list[int], seconds: list[float]) -> tuple[str, str]:
    """The p of `a + b n^p` with the least squares of relative errors, and hours with p = 1.

    Both are "" for want of sizes.
    """
    from scipy.optimize import nnls

    if len(images) < 3:
        return "", ""
    n, t = np.array(images, dtype=np.float64), np.array(seconds)

    def solve(power: float) -> tuple[NDArray[np.float64], float]:
        parts = np.stack([np.ones_like(n), (n / LARGEST) ** power], axis=1)
        solution: tuple[NDArray[np.float64], float] = nnls(parts / t[:, None], np.ones_like(t))
        return solution

    powers = np.arange(0.5, 2.51, 0.01)
    power = powers[int(np.argmin([solve(power)[1] for power in powers]))]
    return f"{power:.2f}", f"{solve(1.0)[0].sum() / 3600:.2f}"


if __name__ == "__main__":
    typer.run(main)
