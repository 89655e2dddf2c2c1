"""Where a report is made from: sections of params.yaml and files of the stages."""

from dataclasses import dataclass
from pathlib import Path

from brain_tumor.settings import (
    AugmentParams,
    EvaluateParams,
    PreprocessParams,
    SplitParams,
    TrainParams,
)


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
