"""What a model says of its test images as they are, and degraded step by step."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from brain_tumor.evidence.degrade import Kind, degraded
from brain_tumor.evidence.robustness_params import RobustnessParams
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.decode import decode
from brain_tumor.imaging.workers import spread
from brain_tumor.inference.classifier import Classifier
from brain_tumor.inference.prepare import Prepared, prepare
from brain_tumor.report.drawings import AS_IS
from brain_tumor.settings import PreprocessParams

_BATCH = 16  # slices the network sees at once
COLUMNS = ("kind", "level", "path", "y", "cluster", "probability", "flagged", "aligned")


@dataclass(frozen=True)
class Condition:
    """A kind and level of degradation (see `degrade.degraded`), or `none` and 0."""

    kind: Kind | Literal["none"]
    level: float


@dataclass(frozen=True)
class _Job:
    data: Path
    atlas: Atlas
    preprocess: PreprocessParams
    seed: int


_Task = tuple[Condition, str]


def conditions(params: RobustnessParams) -> list[Condition]:
    """As the pictures are, then every level of every kind."""
    degradations = params.by_kind().items()
    return [Condition(AS_IS, 0.0)] + [
        Condition(kind, level) for kind, levels in degradations for level in levels
    ]


def predict_degraded(
    classifier: Classifier, data: Path, images: pd.DataFrame, params: RobustnessParams
) -> pd.DataFrame:
    """Degrade the original pictures and classify them as `brain-tumor predict` does.

    Args:
        classifier: the model, with its preprocessing and calibration.
        data: folder of the original files.
        images: columns path (below `data`), y (0 or 1) and cluster.
        params: the levels.

    Returns:
        `COLUMNS`, a row per condition and image: probability (calibrated), flagged (unlike the
        training images), aligned (with the atlas, not merely centred).

    Raises:
        ValueError: a file is missing or not a picture; the message names it.
    """
    job = _Job(data, classifier.atlas, classifier.preprocess, params.seed)
    tasks = [(condition, path) for condition in conditions(params) for path in images["path"]]
    prepared = spread(partial(_prepared, job), tasks, "degraded pictures")
    said = pd.DataFrame(_judged(classifier, tasks, prepared))
    return said.merge(images[["path", "y", "cluster"]], on="path", how="left")[list(COLUMNS)]


def _prepared(job: _Job, task: _Task) -> Prepared:
    condition, path = task
    try:
        original = (job.data / path).read_bytes()
        return prepare(_picture(original, condition, job, path), job.atlas, job.preprocess, 1)[0]
    except (OSError, ValueError) as error:
        raise ValueError(f"{path}: cannot be degraded and read: {error}") from error


def _picture(original: bytes, condition: Condition, job: _Job, path: str) -> bytes:
    if condition.kind == AS_IS:
        return original
    return degraded(decode(original), condition.kind, condition.level, job.seed, path)


def _judged(
    classifier: Classifier, tasks: list[_Task], prepared: Iterator[Prepared]
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(tasks), _BATCH):
        batch = tasks[start : start + _BATCH]
        found = classifier.judge([next(prepared) for _ in batch])
        for (condition, path), finding in zip(batch, found, strict=True):
            yield {
                "kind": condition.kind,
                "level": condition.level,
                "path": path,
                "probability": finding.prediction.probability,
                "flagged": finding.prediction.out_of_distribution,
                "aligned": not finding.prepared.record.fallback,
            }
