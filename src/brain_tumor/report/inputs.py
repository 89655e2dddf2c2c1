"""All that a report is made from, read once: what the stages left, and the committed evidence."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.copies import clusters
from brain_tumor.errors import UserError
from brain_tumor.inference.export import REPORT_FILE
from brain_tumor.model.saved import ModelMeta, read_meta
from brain_tumor.outputs import Best, InitialWeights, OperatingPoint, read_manifest
from brain_tumor.report.card import Baseline, Figure
from brain_tumor.report.words import BASELINES, Split, capitalised
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
class Settings:
    """The sections of params.yaml that a report tells of; `train` as the study filled it in."""

    split: SplitParams
    preprocess: PreprocessParams
    augment: AugmentParams
    train: TrainParams
    evaluate: EvaluateParams


@dataclass(frozen=True)
class Sources:
    """The files of the stages that a report is made from; `images` are preprocessed ones."""

    manifest: Path
    validation: Path
    preprocessing: Path
    weights: Path
    best: Path
    calibration: Path
    model_json: Path
    run: Path
    predictions: Path
    metrics: Path
    export: Path
    history: Path
    trials: Path
    images: Path
    evidence: Path


@dataclass(frozen=True)
class Evidence:
    """Committed evidence.

    Attributes:
        summary: of both tracks, as `make evidence` writes it; empty without one.
        robustness: figures on degraded test images; empty without.
        localisation: how well heat maps point at tumours of phantoms; empty without.
        external: the log of evaluations on other data, texts as they stand in it; empty without.
    """

    summary: Mapping[str, Any]
    robustness: Mapping[str, Any]
    localisation: Mapping[str, Any]
    external: pd.DataFrame

    @classmethod
    def read(cls, folder: Path) -> "Evidence":
        """Read what there is in `folder`.

        Raises:
            UserError: a file is there but not readable.
        """
        return cls(
            summary=_evidence_json(folder / SUMMARY),
            robustness=_evidence_json(folder / ROBUSTNESS),
            localisation=_evidence_json(folder / LOCALISATION),
            external=_log(folder / EXTERNAL_LOG),
        )

    def track(self, name: str) -> Mapping[str, Any]:
        """The summary of a track, `headline` or `paper`; empty without one."""
        track: Mapping[str, Any] = self.summary.get(name, {})
        return track

    def is_of(self, sha256: Collection[str]) -> bool:
        """Whether the summary was made on images that are all among these (digests of files)."""
        made_on = set(self.summary.get("sha256", ()))
        return bool(made_on) and made_on <= set(sha256)


@dataclass(frozen=True)
class Inputs:
    """What is known of a model.

    Attributes:
        settings: of the pipeline.
        origin: where the images come from.
        manifest: the manifest, with the column `cluster`.
        predictions: columns path, label, split, probability and cluster; a row per image.
        validation: the report of stage validate.
        preprocessing: the summary of stage preprocess.
        weights: what training started from.
        best: what the study chose.
        point: temperature and threshold.
        meta: what the network is.
        metrics: split to figure; undefined figures are left out.
        export: the report of stage export.
        lineage: tags that lead to commit, data, inputs and run.
        evidence: committed evidence.
        history: a row per epoch, as stage train writes it.
        trials: a row per trial of the study, as stage tune writes it.
    """

    settings: Settings
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
    evidence: Evidence
    history: pd.DataFrame
    trials: pd.DataFrame

    @property
    def is_phantom(self) -> bool:
        """Whether the images are drawn, not measured."""
        return self.origin.startswith("phantom")

    @property
    def is_ours(self) -> bool:
        """Whether the committed evidence was made on these images."""
        return self.evidence.is_of(self.manifest["sha256"])

    def track(self, name: str) -> Mapping[str, Any]:
        """The summary of a track of the evidence on these images; empty without one."""
        return self.evidence.track(name) if self.is_ours else {}

    @property
    def headline(self) -> Mapping[str, Any]:
        """The nested cross-validation of the recipe on these images; empty without one."""
        return self.track("headline")

    @property
    def digest(self) -> str:
        """Of the model, as the registry will have it."""
        return str(self.export["digest"])

    @property
    def robustness(self) -> Mapping[str, Any]:
        """Figures of this very model on degraded test images; empty without."""
        return self._of_this_model(self.evidence.robustness)

    @property
    def localisation(self) -> Mapping[str, Any]:
        """How well this very model's heat maps point at tumours of phantoms; empty without."""
        return self._of_this_model(self.evidence.localisation)

    @property
    def external(self) -> pd.DataFrame:
        """The log of evaluations of this very model on other data; empty without."""
        log = self.evidence.external
        return log if log.empty else log[log["model_digest"] == self.digest]

    def _of_this_model(self, evidence: Mapping[str, Any]) -> Mapping[str, Any]:
        return evidence if evidence.get("model") == self.digest else {}

    @property
    def present(self) -> frozenset[str]:
        """Which evidence there is on these images, by the keys of `checklists.PENDING`."""
        there = {
            "headline": bool(self.headline),
            "explanation": bool(self.localisation),
            "robustness": bool(self.robustness),
            "external": not self.external.empty,
        }
        return frozenset(key for key, is_there in there.items() if is_there)

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


def read(sources: Sources, settings: Settings, origin: str, lineage: Mapping[str, str]) -> Inputs:
    """Read all files.

    Raises:
        UserError: one is missing or not what it should be.
    """
    manifest = read_manifest(sources.manifest)
    cluster = clusters(manifest)
    predictions = pd.read_csv(sources.predictions, keep_default_na=False)
    run = str(_json(sources.run)["run_id"])
    return Inputs(
        settings=settings,
        origin=origin,
        manifest=manifest.assign(cluster=cluster.to_numpy()),
        predictions=predictions.assign(cluster=cluster.loc[predictions["path"]].to_numpy()),
        validation=_json(sources.validation),
        preprocessing=_json(sources.preprocessing),
        weights=InitialWeights.read(sources.weights),
        best=Best.read(sources.best),
        point=OperatingPoint.read(sources.calibration),
        meta=read_meta(sources.model_json),
        metrics=_metrics(_json(sources.metrics)),
        export=_json(sources.export / REPORT_FILE),
        lineage={**lineage, "mlflow.run": run},
        evidence=Evidence.read(sources.evidence),
        history=_table(sources.history),
        trials=_table(sources.trials),
    )


def _metrics(read: Mapping[Any, Mapping[str, Any]]) -> dict[Split, dict[str, Figure]]:
    return {
        split: {
            key: Figure.model_validate(figure, extra="ignore")
            for key, figure in figures.items()
            if figure is not None and figure.get("value") is not None
        }
        for split, figures in read.items()
    }


def _table(path: Path) -> pd.DataFrame:
    try:
        return pd.read_csv(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable; run `dvc repro`: {error}") from error


def _json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable; run `dvc repro`: {error}") from error
    return content


def figures(plain: Mapping[str, Mapping[str, float]]) -> dict[str, Figure]:
    """Figures as JSON holds them."""
    return {
        key: Figure.model_validate(dict(figure), extra="ignore") for key, figure in plain.items()
    }


def baselines(headline: Mapping[str, Any]) -> tuple[Baseline, ...]:
    """The baselines of the nested cross-validation; the best with the paired difference."""
    best, paired = headline.get("best_baseline"), headline.get("paired", {})
    return tuple(
        Baseline(
            name=capitalised(BASELINES.get(name, name)),
            figures=figures(measured),
            difference=figures(paired if name == best else {}),
        )
        for name, measured in headline.get("baselines", {}).items()
    )


def _evidence_json(path: Path) -> Mapping[str, Any]:
    """A JSON object; empty where there is no file, or an empty one."""
    try:
        content = json.loads(path.read_text(encoding="utf-8") or "{}")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as JSON: {error}") from error
    if not isinstance(content, dict):
        raise UserError(f"{path}: holds {type(content).__name__}; an object is needed")
    return content


def _log(path: Path) -> pd.DataFrame:
    """A CSV as text; empty where there is no file, or an empty one."""
    try:
        return pd.read_csv(path, dtype=str, keep_default_na=False)
    except (FileNotFoundError, pd.errors.EmptyDataError):
        return pd.DataFrame()
    except (OSError, ValueError) as error:
        raise UserError(f"{path}: not readable as CSV: {error}") from error
