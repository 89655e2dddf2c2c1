"""Predictions of degraded test images.

A change is made to the picture before any preprocessing, as a poor scan or export would make it.
Noise and the direction of a rotation are drawn from a seed and the name of the file, so they do
not depend on what else is degraded; the levels of one kind share the draw.
"""

import hashlib
import io
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from brain_tumor.errors import UserError
from brain_tumor.imaging.read import Content, content_of, opened, read_grey
from brain_tumor.inference.classifier import Classifier, Prepared, prepare
from brain_tumor.machine import spread
from brain_tumor.model import metrics
from brain_tumor.model.metrics import Estimate, paired_difference, plain
from brain_tumor.monitoring.evaluate import kept_slices
from brain_tumor.report.drawings import AS_IS
from brain_tumor.settings import NEGATIVE, POSITIVE, EvaluateParams, PreprocessParams
from evidence.settings import RobustnessParams

Pixels = NDArray[np.uint8]

_WHITE_PERCENT = 99.0  # percentile of the grey levels that counts as the picture's white


def degrade(grey: Pixels, kind: str, level: float, seed: int, name: str) -> bytes:
    """A degraded picture as a file: JPEG for kind `jpeg`, else PNG (nothing more is lost).

    Args:
        grey: uint8 (height, width).
        kind: what is done to it, `noise`, `blur`, `contrast`, `rotation` or `jpeg`.
        level: how much. `noise`: standard deviation of Rician noise over the picture's white;
            `blur`: that of a Gaussian over the longer side; `contrast`: share kept of the
            difference to the mean; `rotation`: degrees, either way; `jpeg`: quality, 1 to 95.
        seed: of noise and direction.
        name: of the file.

    Returns:
        An encoded grey picture; larger after a rotation, else of the same size.
    """
    if kind == "jpeg":
        return _encode(grey, "JPEG", quality=int(level))
    text = f"{seed}/{kind}/{name}"  # the same numbers in every process
    rng = np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big"))
    picture = grey.astype(np.float64)
    if kind == "noise":  # as in the magnitude of a magnetic resonance signal, Gudbjartsson 1995
        sigma = level * float(np.percentile(picture, _WHITE_PERCENT))
        real, imaginary = rng.normal(0.0, 1.0, (2, *picture.shape)) * sigma
        picture = np.hypot(picture + real, imaginary)
    elif kind == "blur":
        picture = ndimage.gaussian_filter(picture, level * max(picture.shape), mode="nearest")
    elif kind == "contrast":
        mean = picture.mean()
        picture = mean + level * (picture - mean)
    else:  # about the centre, nothing cut off; new corners are as the edge is
        edge = np.concatenate([picture[0], picture[-1], picture[:, 0], picture[:, -1]])
        angle, corner = level if rng.random() < 0.5 else -level, float(np.median(edge))
        picture = ndimage.rotate(picture, angle, order=1, mode="constant", cval=corner)
    return _encode(np.rint(np.clip(picture, 0.0, 255.0)).astype(np.uint8), "PNG")


def _encode(grey: Pixels, form: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(grey).save(buffer, form, **options)
    return buffer.getvalue()


_BATCH = 16  # slices the network sees at once
COLUMNS = ("kind", "level", "path", "y", "cluster", "probability", "flagged", "score", "aligned")


_Task = tuple[str, float, str]  # kind, level, path


def conditions(params: RobustnessParams) -> list[tuple[str, float]]:
    """Kinds and levels (see `degrade`): `none` and 0, then every level of every kind."""
    degradations = params.by_kind().items()
    return [(AS_IS, 0.0), *((kind, level) for kind, levels in degradations for level in levels)]


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
        training images), score (how unlike; flagged above 1), aligned (not merely centred).

    Raises:
        UserError: a file is missing or not a picture; the message names it.
    """
    tasks = [(*condition, path) for condition in conditions(params) for path in images["path"]]
    degraded = partial(_prepare, classifier.preprocess, params.seed)
    prepared = spread(degraded, tasks, "degraded pictures", read=partial(_read, data))
    table = pd.DataFrame(_classify(classifier, tasks, prepared))
    return table.merge(images[["path", "y", "cluster"]], on="path", how="left")[list(COLUMNS)]


def _read(data: Path, task: _Task) -> tuple[_Task, Content]:
    return task, content_of(data / task[2])


def _prepare(preprocess: PreprocessParams, seed: int, task: tuple[_Task, Content]) -> Prepared:
    (kind, level, path), content = task
    try:
        picture = opened(content)
        if kind != AS_IS:
            picture = degrade(read_grey(picture), kind, level, seed, path)
        return prepare(picture, preprocess, 1)[0]
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: cannot be degraded and read: {error}") from error


def _classify(
    classifier: Classifier, tasks: list[_Task], prepared: Iterator[Prepared]
) -> Iterator[dict[str, Any]]:
    for start in range(0, len(tasks), _BATCH):
        batch = tasks[start : start + _BATCH]
        findings = classifier.judge([next(prepared) for _ in batch])
        for (kind, level, path), finding in zip(batch, findings, strict=True):
            yield {
                "kind": kind,
                "level": level,
                "path": path,
                "probability": finding.prediction.probability,
                "flagged": finding.prediction.out_of_distribution,
                "score": finding.prediction.ood_score,
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
    """Figures of each condition of `predict_degraded`, in order, called from a threshold on.

    Returns:
        For each condition kind, level, `figures` and, but for `none`, `change`: the figure there
        minus that of the same images as they are; each with value, low and high.
    """
    table = predictions.assign(repeat=0, fold=0, threshold=threshold)
    as_is = table[table["kind"] == AS_IS]
    levels = []
    for _, rows in table.groupby(["kind", "level"], sort=False):
        kind, level = str(rows["kind"].iloc[0]), float(rows["level"].iloc[0])
        condition = {"kind": kind, "level": level, "figures": plain(_figures(rows, params))}
        if kind != AS_IS:
            change = {name: paired_difference(rows, as_is, name, params) for name in CHANGES}
            condition["change"] = plain(change)
        levels.append(condition)
    return levels


def kept(predictions: pd.DataFrame, threshold: float) -> list[dict[str, Any]]:
    """What is right among the pictures most like the training images, of all conditions together.

    As `brain_tumor.monitoring.evaluate.kept_slices` has it, as plain values.
    """
    label = np.where(predictions["y"] == 1, POSITIVE, NEGATIVE)
    called = np.where(predictions["probability"] >= threshold, POSITIVE, NEGATIVE)
    table = predictions.rename(columns={"score": "ood_score"})
    return [
        level.as_dict() for level in kept_slices(table.assign(label=label, right=called == label))
    ]


def curves_table(conditions: list[dict[str, Any]]) -> pd.DataFrame:
    """The same as a long table: kind, level, figure, value, low, high.

    Changes are named `<figure>_change`.
    """
    rows = []
    for condition in conditions:
        changes = condition.get("change", {})
        figures = condition["figures"] | {f"{name}_change": changes[name] for name in changes}
        place = {"kind": condition["kind"], "level": condition["level"]}
        rows += [place | {"figure": name} | figure for name, figure in figures.items()]
    return pd.DataFrame(rows, columns=["kind", "level", "figure", "value", "low", "high"])


def _figures(rows: pd.DataFrame, params: EvaluateParams) -> dict[str, Estimate]:
    cluster = rows["cluster"].to_numpy(str)
    figures = metrics.evaluate(
        rows["y"].to_numpy(np.int64),
        rows["probability"].to_numpy(np.float64),
        cluster,
        float(rows["threshold"].iloc[0]),
        params,
        intervals=True,
    )
    shares = {name: metrics.rate(rows[name].to_numpy(np.bool_), cluster) for name in SHARES}
    ends = {
        name: Estimate(rate.value, rate.low, rate.high) for name, rate in shares.items() if rate
    }
    return {name: figures[name] for name in FIGURES if name in figures} | ends
