"""How long a prediction takes: this project's fast engine and its peers, on the same images.

Run `make repro` first, or name another folder with its outputs:

    python -m benchmarks.predict --rounds 5 [JPEG...]

Without files, phantoms of `data/` are made JPEG. Every engine runs the same weights in float32,
in a process of its own; they take turns, so that what else the machine does hits all alike. The
median over the rounds is shown, with the smallest and largest. Peers that are not installed are
named with the command that installs them; a folder of theirs can stand on PYTHONPATH:

    uv pip install --target PEERS openvino && PYTHONPATH=PEERS python -m benchmarks.predict

Two times are taken for batches of 1 and 32: of the network only, and from the JPEG's bytes to the
probability. Of the latter the rest is decoding and alignment, and for `this` also
what tells whether the image is unlike the training images; peers have none of that, so they are
given this project's preprocessing, image by image, as a notebook would. `this, in processes` does
what `brain-tumor predict` does with many files: it prepares them in as many processes as there are
processors (started before the clock is).
"""

import io
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from benchmarks.peers.engines import ENGINES, INSTALL, KERAS, Sources
from benchmarks.peers.worker import Answer, work
from brain_tumor import machine, settings
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.machine import track

COUNT = 32  # images: of the larger batch
SEED = 7


def main(
    files: Annotated[list[Path] | None, typer.Argument(help="JPEG files.")] = None,
    root: Annotated[
        Path, typer.Option(help="Folder with data/, outputs/ and params.yaml.")
    ] = Path(),
    rounds: Annotated[int, typer.Option(min=1, help="Turns each engine takes.")] = 5,
    threads: Annotated[int, typer.Option(min=0, help="Of each engine; 0: all processors.")] = 0,
    only: Annotated[str, typer.Option(help="Engines, by comma; default: all.")] = "",
) -> None:
    """Print two tables: network only, and from bytes to probability."""
    encoded = [jpeg(path) for path in files or phantoms(root / "data")]
    images = preprocessed(root, encoded)
    sources = Sources(root, threads or machine.worker_count())
    wanted = [name for name in ENGINES if not only or name in only.split(",")]
    started = {name: Worker(name, sources, encoded, images) for name in wanted}
    absent = [name for name in wanted if not started[name].ready()]
    answers: dict[str, list[Answer]] = {name: [] for name in wanted if name not in absent}
    turns = [name for _ in range(rounds) for name in answers]
    for name in track(turns, "measure", len(turns)):
        answers[name].append(started[name].turn())
    for name in wanted:
        started[name].stop()
    report(answers)
    for name in absent:
        print(f"{name}: not installed; {INSTALL[name]}")


class Worker:
    """An engine in a process of its own, which works when it is told to."""

    def __init__(self, name: str, *given: object) -> None:
        """Start it."""
        self.pipe, theirs = get_context("spawn").Pipe()
        self.process = get_context("spawn").Process(target=work, args=(name, *given, theirs))
        self.process.start()
        theirs.close()

    def ready(self) -> bool:
        """Wait until it has warmed up; False: it is not installed."""
        return bool(self.pipe.recv())

    def turn(self) -> Answer:
        """Let it measure once."""
        self.pipe.send(True)
        answer: Answer = self.pipe.recv()
        return answer

    def stop(self) -> None:
        """End it."""
        if self.process.is_alive():
            self.pipe.send(False)
        self.process.join()


def report(answers: dict[str, list[Answer]]) -> None:
    """Print milliseconds per image, median (smallest to largest round)."""
    first = {name: given[0].probability for name, given in answers.items()}
    count = len(next(iter(first.values())))
    columns = ["batch 1, ms", f"batch {count}, ms"]
    network = Table("network only", *columns, "P off by at most", title="ms per image")
    whole = Table("bytes to P", *columns, "not network, 1", f"not network, {count}")
    for name, given in answers.items():
        times = [[answer.network_ms[batch] for answer in given] for batch in (0, 1)]
        whole_times = [[answer.whole_ms[batch] for answer in given] for batch in (0, 1)]
        rest = [1 - median(t) / median(w) for t, w in zip(times, whole_times, strict=True)]
        off = f"{np.abs(first[name] - first[KERAS]).max():.0e}" if KERAS in first else ""
        network.add_row(name, *(spread(one) for one in times), off)
        whole.add_row(name, *(spread(one) for one in whole_times), *(f"{one:.0%}" for one in rest))
    for table in (network, whole):
        Console(width=110).print(table)


def spread(values: list[float]) -> str:
    return f"{median(values):.0f} ({min(values):.0f}-{max(values):.0f})"


def phantoms(data: Path) -> list[Path]:
    paths = [path for label in ("no", "yes") for path in sorted((data / label).glob("*.*"))]
    if len(paths) < COUNT:
        raise typer.BadParameter(f"{data} holds {len(paths)} images; {COUNT} are needed")
    chosen = np.random.default_rng(SEED).choice(len(paths), COUNT, replace=False)
    return [paths[index] for index in chosen]


def preprocessed(root: Path, encoded: list[bytes]) -> NDArray[np.uint8]:
    """What the network takes, uint8 (N, size, size)."""
    params = settings.read(root / "params.yaml").preprocess
    look = partial(preprocess_image, params=params)
    return np.stack([one.image for one in machine.spread(look, encoded, "preprocess")])


def jpeg(path: Path) -> bytes:
    """Bytes of a JPEG file; another picture is made JPEG."""
    if path.suffix.lower() in (".jpg", ".jpeg"):
        return path.read_bytes()
    buffer = io.BytesIO()
    with Image.open(path) as image:
        image.convert("L").save(buffer, "JPEG", quality=90)
    return buffer.getvalue()


if __name__ == "__main__":
    typer.run(main)
