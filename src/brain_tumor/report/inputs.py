"""All that a report is made from, read once: what the stages left, and the committed evidence."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.copies import clusters
from brain_tumor.errors import UserError
from brain_tumor.figure_text import Split
from brain_tumor.files import RESTORE, read_json
from brain_tumor.model.saved import ModelMeta, read_meta
from brain_tumor.outputs import (
    EXPORT_REPORT,
    Best,
    InitialWeights,
    OperatingPoint,
    ReportInputs,
    TrainingRun,
    check_listed,
    read_manifest,
    read_metrics,
    read_table,
)
from brain_tumor.report.card import Figure
from brain_tumor.settings import (
    AugmentParams,
    EvaluateParams,
    PreprocessParams,
    SplitParams,
    TrainParams,
)

SUMMARY, ROBUSTNESS, LOCALISATION = "summary.json", "robustness.json", "localisation.json"
EXTERNAL_LOG = "external-log.csv"


@dataclass(frozen=True)
class Sections:
    """The sections of params.yaml that a report shows; `train` with what the study chose."""

    split: SplitParams
    preprocess: PreprocessParams
    augment: AugmentParams
    train: TrainParams
    evaluate: EvaluateParams


@dataclass(frozen=True)
class Inputs:
    """What is known of a model.

    Attributes:
        origin: where the images come from.
        manifest: with the column `cluster`.
        predictions: columns path, label, split, probability and cluster; a row per image.
        validation, preprocessing, export: what these stages report.
        metrics: split to figure; undefined figures are left out.
        lineage: tags that lead to commit, data, inputs and run.
        history, trials: a row per epoch of the training, per trial of the study.
        evidence: the summary that `make evidence` committed; empty if it is of other images.
        robustness: committed figures on degraded test images; empty if they are of another model.
        localisation: committed scores of heat maps of phantoms; empty if they are of another model.
        external: lines of the committed log of evaluations on other data that are of this model, as
            texts.
    """

    sections: Sections
    origin: str
    manifest: pd.DataFrame
    predictions: pd.DataFrame
    validation: Mapping[str, Any]
    preprocessing: Mapping[str, Any]
    weights: InitialWeights
    best: Best
    point: OperatingPoint
    meta: ModelMeta
    metrics: Mapping[Split, Mapping[str, Figure]]
    export: Mapping[str, Any]
    lineage: Mapping[str, str]
    history: pd.DataFrame
    trials: pd.DataFrame
    evidence: Mapping[str, Any]
    robustness: Mapping[str, Any]
    localisation: Mapping[str, Any]
    external: pd.DataFrame

    @property
    def is_phantom(self) -> bool:
        """Whether the images are drawn, not measured."""
        return self.origin.startswith("phantom")

    @property
    def headline(self) -> Mapping[str, Any]:
        """The nested cross-validation of the recipe on these images; empty without one."""
        return dict(self.evidence.get("headline", {}))

    @property
    def twins(self) -> int:
        """How many test images share a cluster with an image that trains or validates."""
        rows = self.predictions
        developed = set(rows.loc[rows["split"] != "test", "cluster"])
        return int(self.rows("test")["cluster"].isin(developed).sum())

    def rows(self, split: Split) -> pd.DataFrame:
        """The predictions of a split."""
        return self.predictions[self.predictions["split"] == split]

    def answers(self, split: Split) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        """Labels (N,), 0 or 1, and probabilities (N,) of a split."""
        rows = self.rows(split)
        truth = np.asarray(rows["label"] == "yes", dtype=np.int64)
        return truth, rows["probability"].to_numpy(np.float64)


_SplitFigures = Mapping[Split, Mapping[str, Mapping[str, float]]]


def read(
    paths: ReportInputs, sections: Sections, origin: str, lineage: Mapping[str, str]
) -> Inputs:
    """Read all files.

    Raises:
        UserError: a file is missing or not what it should be.
    """
    manifest = read_manifest(paths.manifest)
    cluster = clusters(manifest)
    predictions = read_table(
        paths.predictions,
        ("path", "label", "split", "probability"),
        dtype={"probability": "float64"},
        keep_default_na=False,
    )
    check_listed(paths.predictions, predictions, manifest)
    export = _object(paths.export / EXPORT_REPORT, "digest", "engine")
    summary = _evidence(paths.evidence / SUMMARY)
    evaluated = set(summary.get("sha256", ()))
    is_of_images = bool(evaluated) and evaluated <= set(manifest["sha256"])
    of_model = {
        name: content if content.get("model") == export["digest"] else {}
        for name in (ROBUSTNESS, LOCALISATION)
        for content in [_evidence(paths.evidence / name)]
    }
    log = _log(paths.evidence / EXTERNAL_LOG)
    return Inputs(
        sections=sections,
        origin=origin,
        manifest=manifest.assign(cluster=cluster.to_numpy()),
        predictions=predictions.assign(cluster=cluster.loc[predictions["path"]].to_numpy()),
        validation=_object(paths.validation, "duplicates", "patients", "warnings"),
        preprocessing=_object(paths.preprocessing),
        weights=InitialWeights.read(paths.weights),
        best=Best.read(paths.best),
        point=OperatingPoint.read(paths.calibration),
        meta=read_meta(paths.model_json),
        metrics={
            split: {
                key: Figure.model_validate(figure, extra="ignore")
                for key, figure in figures.items()
            }
            for split, figures in cast("_SplitFigures", read_metrics(paths.metrics)).items()
        },
        export=export,
        lineage={**lineage, "mlflow.run": TrainingRun.read(paths.run).run_id},
        history=read_table(paths.history, ("epoch",)),
        trials=read_table(paths.trials, ("number", "state", "value")),
        evidence=summary if is_of_images else {},
        robustness=of_model[ROBUSTNESS],
        localisation=of_model[LOCALISATION],
        external=log if log.empty else log[log["model_digest"] == export["digest"]],
    )


def _object(path: Path, *keys: str) -> dict[str, Any]:
    """A JSON object of a stage that has these keys."""
    content: dict[str, Any] = read_json(path, RESTORE, dict[str, Any])
    missing = [key for key in keys if key not in content]
    if missing:
        raise UserError(f"{path}: {missing} are missing, received {list(content)[:20]}; {RESTORE}")
    return content


def _evidence(path: Path) -> dict[str, Any]:
    """A JSON object; empty where there is no file, or an empty one."""
    if not path.is_file() or not path.stat().st_size:
        return {}
    return dict(read_json(path, "run `git checkout` on it", dict[str, Any]))


def _log(path: Path) -> pd.DataFrame:
    """A CSV as text; empty where there is no file, or an empty one."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as CSV: {error}") from error
