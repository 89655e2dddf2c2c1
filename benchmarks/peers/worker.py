"""The process an engine is measured in."""

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from statistics import median
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers.engines import ENGINES, THIS, THIS_PARALLEL, Run, Sources
from brain_tumor import settings
from brain_tumor.imaging.preprocess import preprocess_image
from brain_tumor.inference.bundle import FAMILIARITY_FILE
from brain_tumor.inference.classifier import Classifier, Prepared, prepare
from brain_tumor.inference.engine import OnnxEngine
from brain_tumor.inference.familiarity import Familiarity
from brain_tumor.machine import worker_count
from brain_tumor.model.saved import load_meta

SINGLES = 8  # images measured one by one
Whole = Callable[[Sequence[bytes]], NDArray[Any]]


@dataclass(frozen=True)
class Answer:
    """What one turn measured.

    Attributes:
        probability: of every image, (N,).
        network_ms: per image, for a batch of one and of all.
        whole_ms: from the file's bytes, likewise.
    """

    probability: NDArray[Any]
    network_ms: tuple[float, float]
    whole_ms: tuple[float, float]


def work(
    name: str, sources: Sources, files: Sequence[bytes], images: NDArray[np.uint8], pipe: Connection
) -> None:
    """Load an engine, warm it up, then measure whenever the pipe says True.

    Sends True when ready, or False when the engine is not installed; then an `Answer` a turn.
    """
    warnings.simplefilter("ignore")  # a peer's own
    try:
        run = ENGINES[name](sources)
    except ModuleNotFoundError:
        pipe.send(False)
        return
    # When the benchmark is stopped its end of the pipe closes.
    with _whole(name, sources, run) as whole, suppress(EOFError):
        for batch in (images[:1], images, images[:1], images):
            run(batch)
        whole(files[: 2 * worker_count()])
        pipe.send(True)
        while pipe.recv():
            pipe.send(_measured(run, whole, files, images))


def _measured(run: Run, whole: Whole, files: Sequence[bytes], images: NDArray[np.uint8]) -> Answer:
    one = [_ms(run, images[index : index + 1]) for index in range(len(images))]
    one_whole = [_ms(whole, files[index : index + 1]) for index in range(min(SINGLES, len(files)))]
    return Answer(
        probability=np.asarray(run(images), np.float64).ravel(),
        network_ms=(median(one), _ms(run, images)),
        whole_ms=(float(np.mean(one_whole)), _ms(whole, files)),
    )


def _ms(function: Callable[[Any], Any], batch: Any) -> float:
    start = perf_counter()
    function(batch)
    return (perf_counter() - start) * 1000 / len(batch)


@contextmanager
def _whole(name: str, sources: Sources, run: Run) -> Iterator[Whole]:
    """From bytes to probability."""
    params = settings.read(sources.root / "params.yaml").preprocess
    outputs = sources.root / "outputs"
    if name not in (THIS, THIS_PARALLEL):
        yield lambda files: run(np.stack([preprocess_image(data, params).image for data in files]))
        return
    classifier = Classifier(
        engine=OnnxEngine(sources.onnx, sources.threads),
        meta=load_meta(outputs / "calibrate"),
        preprocess=params,
        familiarity=Familiarity.load(outputs / "export" / FAMILIARITY_FILE),
        model="",
    )
    look = partial(prepare, params=params)
    if name == THIS:
        yield lambda files: _probabilities(classifier, [prepare(one, params) for one in files])
        return
    look = partial(prepare, params=params)
    with ProcessPoolExecutor(worker_count(), mp_context=get_context("spawn")) as pool:
        yield lambda files: _probabilities(classifier, list(pool.map(look, files)))


def _probabilities(classifier: Classifier, files: list[list[Prepared]]) -> NDArray[np.float64]:
    found = classifier.judge([one for file in files for one in file])
    return np.array([one.prediction.probability for one in found])
