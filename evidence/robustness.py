"""Predictions of degraded test images.

A change is made to the picture before any preprocessing, as a poor scan or export would make it.
Noise and the direction of a rotation are drawn from a seed and the name of the file, so they do
not depend on what else is degraded; the levels of one kind share the draw.
"""

import hashlib
import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from pydantic import Field, model_validator
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.picture import decode
from brain_tumor.inference.classifier import Classifier, Prepared, prepare
from brain_tumor.machine import spread
from brain_tumor.model import metrics
from brain_tumor.model.metrics import Estimate, paired_difference, plain
from brain_tumor.report.drawings import AS_IS
from brain_tumor.settings import EvaluateParams, PreprocessParams, Section

Pixels = NDArray[np.uint8]
Kind = Literal["noise", "blur", "contrast", "rotation", "jpeg"]

_WHITE_PERCENT = 99.0  # percentile of the grey levels that counts as the picture's white


def degraded(grey: Pixels, kind: Kind, level: float, seed: int, name: str) -> bytes:
    """A degraded picture as a file: JPEG for kind `jpeg`, else PNG (nothing more is lost).

    Args:
        grey: uint8 (height, width).
        kind: what is done to it.
        level: how much. `noise`: standard deviation of Rician noise over the picture's white;
            `blur`: that of a Gaussian over the longer side; `contrast`: share kept of the
            difference to the mean; `rotation`: degrees, either way; `jpeg`: quality, 1 to 95.
        seed: of noise and direction.
        name: of the file.

    Returns:
        An encoded grey picture; larger after a rotation, else of the same size.
    """
    if kind == "jpeg":
        return _encoded(grey, "JPEG", quality=int(level))
    rng = np.random.default_rng(_number(seed, kind, name))
    return _encoded(_CHANGES[kind](grey.astype(np.float64), level, rng), "PNG")


def _noise(grey: NDArray[np.float64], level: float, rng: np.random.Generator) -> Pixels:
    """Rician, as in the magnitude of a magnetic resonance signal (Gudbjartsson & Patz 1995)."""
    sigma = level * float(np.percentile(grey, _WHITE_PERCENT))
    real, imaginary = rng.normal(0.0, 1.0, (2, *grey.shape)) * sigma
    return _eight_bits(np.hypot(grey + real, imaginary))


def _blur(grey: NDArray[np.float64], level: float, _: np.random.Generator) -> Pixels:
    return _eight_bits(ndimage.gaussian_filter(grey, level * max(grey.shape), mode="nearest"))


def _contrast(grey: NDArray[np.float64], level: float, _: np.random.Generator) -> Pixels:
    mean = grey.mean()
    return _eight_bits(mean + level * (grey - mean))


def _rotation(grey: NDArray[np.float64], level: float, rng: np.random.Generator) -> Pixels:
    """About the centre, nothing cut off; new corners are as the picture's edge is (median)."""
    edge = np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])
    angle = level if rng.random() < 0.5 else -level
    turned = ndimage.rotate(grey, angle, order=1, mode="constant", cval=float(np.median(edge)))
    return _eight_bits(turned)


_Change = Callable[[NDArray[np.float64], float, np.random.Generator], Pixels]
_CHANGES: dict[str, _Change] = {
    "noise": _noise,
    "blur": _blur,
    "contrast": _contrast,
    "rotation": _rotation,
}


def _number(seed: int, kind: str, name: str) -> int:
    """A seed from texts, the same in every process."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{kind}/{name}".encode()).digest()[:8], "big")


def _eight_bits(values: NDArray[np.float64]) -> Pixels:
    return np.rint(np.clip(values, 0.0, 255.0)).astype(np.uint8)


def _encoded(grey: Pixels, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, kind, **options)
    return buffer.getvalue()


Level = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Levels = Annotated[tuple[Level, ...], Field(strict=False, min_length=1)]  # YAML has lists
Quality = Annotated[int, Field(ge=1, le=95)]
Qualities = Annotated[tuple[Quality, ...], Field(strict=False, min_length=1)]


class RobustnessParams(Section):
    """How pictures are degraded, mild to strong; what the levels mean stands in `degrade`."""

    seed: int = Field(ge=0)
    noise: Levels
    blur: Levels
    contrast: Levels
    rotation: Levels
    jpeg: Qualities

    @model_validator(mode="after")
    def _levels_once(self) -> Self:
        for kind, levels in self.by_kind().items():
            if len(set(levels)) < len(levels):
                raise ValueError(f"{kind} names a level twice: {list(levels)}")
        return self

    def by_kind(self) -> dict[Kind, tuple[float, ...]]:
        """The levels of each kind of degradation."""
        return {
            "noise": self.noise,
            "blur": self.blur,
            "contrast": self.contrast,
            "rotation": self.rotation,
            "jpeg": self.jpeg,
        }


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
        UserError: a file is missing or not a picture; the message names it.
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
        raise UserError(f"{path}: cannot be degraded and read: {error}") from error


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


FIGURES = (
    "accuracy", "balanced_accuracy", "sensitivity", "specificity", "auroc", "log_loss", "brier",
    "calibration_slope", "calibration_intercept", "ece", "ece_floor",
)  # fmt: skip
SHARES = ("flagged", "aligned")
CHANGES = ("accuracy", "auroc", "brier")


def curves(
    predictions: pd.DataFrame, threshold: float, params: EvaluateParams
) -> list[dict[str, Any]]:
    """Figures of each condition, in order.

    Args:
        predictions: see `robustness.predict_degraded`.
        threshold: probability from which the model calls a tumour.
        params: of the bootstrap over clusters.

    Returns:
        For each condition kind, level, `figures` and, but for `none`, `change`: the figure there
        minus that of the same images as they are; each with value, low and high.
    """
    table = predictions.assign(repeat=0, fold=0, threshold=threshold)
    as_is = table[table["kind"] == AS_IS]
    found = []
    for _, rows in table.groupby(["kind", "level"], sort=False):
        kind, level = str(rows["kind"].iloc[0]), float(rows["level"].iloc[0])
        condition = {"kind": kind, "level": level, "figures": plain(_figures(rows, params))}
        if kind != AS_IS:
            change = {name: paired_difference(rows, as_is, name, params) for name in CHANGES}
            condition["change"] = plain(change)
        found.append(condition)
    return found


def curves_table(found: list[dict[str, Any]]) -> pd.DataFrame:
    """The same as a long table: kind, level, figure, value, low, high.

    Changes are named `<figure>_change`.
    """
    rows = [
        {"kind": one["kind"], "level": one["level"], "figure": name} | figure
        for one in found
        for name, figure in _named(one)
    ]
    return pd.DataFrame(rows, columns=["kind", "level", "figure", "value", "low", "high"])


def _named(condition: Mapping[str, Any]) -> list[tuple[str, dict[str, float]]]:
    changes = condition.get("change", {}).items()
    return [*condition["figures"].items(), *((f"{name}_change", one) for name, one in changes)]


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> dict[str, Estimate]:
    found = metrics.evaluate(
        rows["y"].to_numpy(np.int64),
        rows["probability"].to_numpy(np.float64),
        rows["cluster"].to_numpy(str),
        float(rows["threshold"].iloc[0]),
        params,
        intervals=True,
    )
    cluster = rows["cluster"].to_numpy(str)
    shares = {name: metrics.rate(rows[name].to_numpy(np.bool_), cluster) for name in SHARES}
    ends = {name: Estimate(one.value, one.low, one.high) for name, one in shares.items() if one}
    return {name: found[name] for name in FIGURES if name in found} | ends
