"""Work that tests spread: `main` is a command with the arguments KIND FOLDER OUT."""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

from brain_tumor.machine import spread


def square(number: int) -> int:
    """What takes a moment."""
    time.sleep(0.05)
    return number**2


def whose(_: object) -> tuple[int, bool]:
    """Process that does a task, and whether the scheduler's variable is of any meaning there."""
    time.sleep(0.05)
    return os.getpid(), "distributed.worker" in sys.modules


def read(number: int) -> tuple[int, int]:
    """A task with the process that has read it."""
    return number, os.getpid()


def fatal(bad: int, number: int) -> int:
    """Stands for a decoder in C that aborts."""
    if number == bad:
        os._exit(3)
    return number


def lost(number: int) -> str:
    """The result of a task that ended its process."""
    return f"lost {number}"


def forever(_: object) -> None:
    """What has to be interrupted."""
    time.sleep(600)


def refuse(number: int) -> int:
    """A fault in a task."""
    if number == 5:
        raise KeyError("five")
    return number


def where(task: tuple[int, int]) -> tuple[int, int, int]:
    """Who has read a task, and who does it."""
    number, reader = task
    time.sleep(0.05)
    return number, reader, os.getpid()


def end_at_five(task: tuple[str, int]) -> None:
    """As `fatal`, with tasks that name a file."""
    if task[1] == 5:
        os._exit(1)


def dies_once(mark: Path, number: int) -> int:
    """Dies at its first try."""
    if number == 4 and not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does where memory ends
    return number


def unfit(_: int) -> Iterator[int]:
    """What no pickle holds."""
    return (n for n in range(3))


def _facts(folder: Path) -> Any:
    from brain_tumor.data.folder import read_all_facts
    from tests import sections

    facts = read_all_facts(sorted(folder.rglob("*.*")), sections.validate())
    return [repr(file) for file in facts]


def _preprocess(folder: Path, out: Path) -> Any:
    from brain_tumor.imaging.preprocess import preprocess_folder
    from tests import sections

    paths = [path.relative_to(folder).as_posix() for path in sorted((folder / "yes").iterdir())]
    images = out.with_suffix(".images")
    records = preprocess_folder(folder, paths, images, sections.preprocess())
    digests = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(images.rglob("*"))
        if path.is_file()
    }
    return [digests, *map(asdict, records)]


def _predict(folder: Path, model: Path) -> Any:
    from brain_tumor.inference.classifier import Classifier
    from brain_tumor.inference.files import examine_files

    classifier = Classifier.load(model, "fast")
    return [
        [result.error, *(part.prediction.row() for part in result.slices)]
        for result in examine_files(classifier, sorted(folder.rglob("*.*")))
    ]


def _features(weights: Path, out: Path) -> Any:
    """The trunk's outputs for images of noise, in full precision and rounded."""
    import numpy as np

    from brain_tumor.model.feature_cache import FeatureCache
    from brain_tumor.model.features import Output, trunk_outputs

    images = np.random.default_rng(0).integers(0, 256, (150, 75, 75)).astype(np.uint8)
    wanted = [Output(4, "gap"), Output(2, "maps", "bfloat16")]
    cache = FeatureCache(out.with_suffix(".cache"), 10**9)
    vectors, maps = trunk_outputs(weights, images, wanted, cache)
    return [vectors[:].tolist(), maps[:].astype(np.float32).mean(axis=(1, 2)).tolist()]


def main() -> None:
    """Do it, and write what came of it as JSON."""
    kind, folder, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    works = {
        "facts": lambda: _facts(folder),
        "preprocess": lambda: _preprocess(folder, out),
        "predict": lambda: _predict(folder, Path(sys.argv[4])),
        "features": lambda: _features(folder, out),
        "square": lambda: list(spread(square, range(40), "square")),
        "long": lambda: list(spread(square, range(300), "long")),
        "whose": lambda: list(spread(whose, range(8), "whose", read=read)),
        "fatal": lambda: list(spread(partial(fatal, 7), range(20), "fatal", lost=lost)),
        "ended": lambda: list(spread(partial(fatal, 7), range(20), "fatal")),
        "refuse": lambda: list(spread(refuse, range(20), "refuse")),
        "forever": lambda: list(spread(forever, range(20), "forever", apart=True)),
        "large": lambda: [len(data) for data in spread(_larger, range(6), "large", read=_large)],
        "trunk": lambda: list(spread(square, range(4), "trunk", needs=("tensorflow",))),
    }
    out.write_text(json.dumps(works[kind](), default=str), encoding="utf-8")


def _large(_: int) -> bytes:
    return bytes(12 << 20)


def _larger(data: bytes) -> bytes:
    return data * 3
