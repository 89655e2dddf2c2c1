"""What a dask cluster costs beside local processes: preprocessing of phantoms, 1, 2 and 4 workers.

    python -m benchmarks.cluster --count 300

Scheduler and workers are processes of this machine, so nothing is gained: what the cluster takes
longer is the way out and back, and the client. The pictures are drawn first. Local processes start
for each run, as they do in a stage; the workers of a cluster are there already, but for the first
run, of a few pictures, which loads what they need. Both write the same bytes.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from brain_tumor import settings
from brain_tumor.cluster import SCHEDULER_VARIABLE
from brain_tumor.data.phantom.folder import generate
from brain_tumor.imaging.preprocess import preprocess_folder
from brain_tumor.machine import WORKERS_VARIABLE

_WARM = 8  # pictures


def main(
    count: Annotated[int, typer.Option(min=16, help="Pictures.")] = 300,
    workers: Annotated[str, typer.Option(help="How many workers, by comma.")] = "1,2,4",
) -> None:
    """Print seconds of both ways, and by how much the cluster takes longer."""
    params = settings.read()
    table = Table("workers", "processes, s", "cluster, s", "overhead", title=f"{count} pictures")
    with TemporaryDirectory() as folder:
        data = Path(folder) / "data"
        generate(data, params.phantom.model_copy(update=_counts(count)))
        paths = [path.relative_to(data).as_posix() for path in sorted(data.glob("*/p*.png"))]
        for number in map(int, workers.split(",")):
            os.environ[WORKERS_VARIABLE] = str(number)
            here = _seconds(data, paths, Path(folder) / "here")
            with _cluster(number):
                _seconds(data, paths[:_WARM], Path(folder) / "warm")
                there = _seconds(data, paths, Path(folder) / "there")
            if _digest(Path(folder) / "here") != _digest(Path(folder) / "there"):
                raise SystemExit("error: the cluster wrote other bytes")
            table.add_row(str(number), f"{here:.1f}", f"{there:.1f}", f"{there / here - 1:+.0%}")
    Console().print(table)


def _counts(count: int) -> dict[str, int]:
    return {
        "no": count // 2,
        "yes": count - count // 2,
        "exact_duplicates": 0,
        "near_duplicates": 0,
    }


def _seconds(data: Path, paths: list[str], images: Path) -> float:
    params = settings.read().preprocess
    start_s = time.perf_counter()
    preprocess_folder(data, paths, images, params)
    return time.perf_counter() - start_s


def _digest(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return sha256(b"".join(sha256(file.read_bytes()).digest() for file in files)).hexdigest()


@contextmanager
def _cluster(workers: int) -> Iterator[None]:
    from distributed import LocalCluster

    with LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster:
        os.environ[SCHEDULER_VARIABLE] = cluster.scheduler_address
        try:
            yield
        finally:
            del os.environ[SCHEDULER_VARIABLE]


if __name__ == "__main__":
    typer.run(main)
