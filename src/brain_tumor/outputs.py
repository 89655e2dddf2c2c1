"""Every file that stages hand on: its path, how it is written, how it is read.

Paths are relative to the repository, where all stages run. Every function takes another path, so
that a pipeline in another folder can be read.
"""

import csv
import hashlib
import io
import os
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Final, Self

import pandas as pd
from pydantic import Field

from brain_tumor.errors import UserError
from brain_tumor.files import (
    RESTORE,
    read_artefact,
    read_json,
    reading,
    write_json,
    write_text,
)
from brain_tumor.settings import PARAMS, Section

DATA: Final = Path("data")
DATA_DVC: Final = Path("data.dvc")
EVIDENCE: Final = Path("docs/evidence")

OUTPUTS: Final = Path("outputs")
MANIFEST: Final = OUTPUTS / "manifest.csv"
VALIDATION: Final = OUTPUTS / "validate/report.json"
DATA_DOCS: Final = OUTPUTS / "validate/data_docs"
SPLIT: Final = OUTPUTS / "split.csv"
SPLIT_SUMMARY: Final = OUTPUTS / "split/summary.json"
IMAGES: Final = OUTPUTS / "preprocess/images"
RECORDS: Final = OUTPUTS / "preprocess/records.csv"
PREPROCESS_FIGURES: Final = OUTPUTS / "preprocess/figures"
PREPROCESS_SUMMARY: Final = OUTPUTS / "preprocess/summary.json"
AUGMENTED_IMAGES: Final = OUTPUTS / "augment/images"
AUGMENTED_RECORDS: Final = OUTPUTS / "augment/records.csv"
AUGMENTED_SHEET: Final = OUTPUTS / "augment/contact_sheet.png"
BACKBONE: Final = OUTPUTS / "backbone/backbone.weights.h5"
INITIAL_WEIGHTS: Final = OUTPUTS / "backbone/backbone.json"
BEST: Final = OUTPUTS / "tuning/best.json"
OUT_OF_FOLD: Final = OUTPUTS / "tuning/out_of_fold.csv"
TRIALS: Final = OUTPUTS / "tuning/trials.csv"
TUNING_FIGURES: Final = OUTPUTS / "tuning/figures"
MODEL: Final = OUTPUTS / "train/model.keras"
NETWORK_META: Final = OUTPUTS / "train/network.json"
HISTORY: Final = OUTPUTS / "train/history.csv"
RUN: Final = OUTPUTS / "train/run.json"
TRAIN_FIGURES: Final = OUTPUTS / "train/figures"
CALIBRATION: Final = OUTPUTS / "calibrate/calibration.json"
MODEL_META: Final = OUTPUTS / "calibrate/model.json"
PREDICTIONS: Final = OUTPUTS / "predictions.csv"
METRICS: Final = OUTPUTS / "metrics.json"
EVALUATION: Final = OUTPUTS / "evaluate"
FIGURES: Final = OUTPUTS / "evaluate/figures.json"
PROFILE: Final = OUTPUTS / "profile"
EXPORT: Final = OUTPUTS / "export"
REPORT: Final = OUTPUTS / "report"
REGISTERED: Final = OUTPUTS / "registered.json"

EXPORTED: Final = ("network.onnx", "familiarity.npz")  # in EXPORT, for a registered model
EXPORT_REPORT: Final = "export.json"  # in EXPORT: the model's digest, the engine, its agreement
PROFILE_FILES: Final = ("profile.csv", "features.npy")  # in PROFILE

TRAIN: Final = "train"
VAL: Final = "val"
TEST: Final = "test"
SPLITS: Final = (TRAIN, VAL, TEST)
LABELS: Final = ("no", "yes")
REPRO: Final = "run `dvc repro`"  # of what a stage left damaged
_REBUILD: Final = "run `dvc repro backbone`"


def read_table(path: Path, columns: Iterable[str] = (), **options: Any) -> pd.DataFrame:
    """Read a CSV file of a stage, with options of `pandas.read_csv`.

    Raises:
        UserError: it is missing, cut off or no such file, or lacks one of `columns`.
    """
    if not os.path.lexists(path):
        raise UserError(f"{path}: missing; {RESTORE}")
    with reading(path, REPRO):
        content = path.read_bytes()
        table: pd.DataFrame = pd.read_csv(io.BytesIO(content), **options)
    if not content.endswith(b"\n"):  # `write_table` ends every row so
        raise UserError(f"{path}: not readable; {REPRO}: cut off in its last row")
    missing = sorted(column for column in columns if column not in table)
    if missing:
        raise UserError(
            f"{path}: columns {missing} are missing, received {list(table)[:20]}; {REPRO}"
        )
    return table


def write_table(path: Path, table: pd.DataFrame, digits: int | None = None) -> None:
    """Write a table without its index as CSV (UTF-8), whole or not at all.

    Numbers have so many digits after the point; None: all that matter.
    """
    form = None if digits is None else f"%.{digits}f"
    write_text(path, table_text(table, form))


def table_text(table: pd.DataFrame, float_format: str | None = None) -> str:
    """A table without its index as CSV; a name may hold any sign, a carriage return too."""
    texts = table.select_dtypes(exclude="number")
    has_return = any("\r" in str(text) for _, column in texts.items() for text in column)
    return table.to_csv(
        index=False,
        lineterminator="\n",
        float_format=float_format,
        quoting=csv.QUOTE_NONNUMERIC if has_return else csv.QUOTE_MINIMAL,
    )


# Of the manifest, a row per image. Column: type. Texts are never missing; an unknown patient is "".
MANIFEST_COLUMNS: Final = {
    "path": "str",
    "label": "str",
    "format": "str",
    "mode": "str",
    "width": "int64",
    "height": "int64",
    "bytes": "int64",
    "sha256": "str",
    "dhash": "str",
    "patient": "str",
    "group": "str",
}
SPLIT_COLUMNS: Final = ("path", "label", "split", "group")


def write_manifest(manifest: pd.DataFrame, path: Path = MANIFEST) -> None:
    """Write the manifest, its rows as given."""
    write_table(path, manifest)


def read_manifest(path: Path = MANIFEST) -> pd.DataFrame:
    """Read a manifest with the types of `MANIFEST_COLUMNS` (`patient` is "" where unknown).

    Raises:
        UserError: the file or columns are missing, or it is no such file.
    """
    columns = list(MANIFEST_COLUMNS)
    return read_table(path, columns, dtype=MANIFEST_COLUMNS, keep_default_na=False)[columns]


def write_split(table: pd.DataFrame, path: Path = SPLIT) -> None:
    """Write columns path, label, split, group."""
    write_table(path, table[list(SPLIT_COLUMNS)])


def read_split(path: Path = SPLIT) -> pd.DataFrame:
    """Read columns path, label, split (train, val, test), group; all are texts.

    Raises:
        UserError: the file or columns are missing, or it is no such file.
    """
    columns = list(SPLIT_COLUMNS)
    table = read_table(path, columns, dtype="str", keep_default_na=False)[columns]
    odd = table[~table["split"].isin(SPLITS) | ~table["label"].isin(LABELS)]
    if len(odd):
        raise UserError(
            f"{path}: row {odd.iloc[0].to_list()} has no split of {', '.join(SPLITS)} or no label "
            f"of {', '.join(LABELS)}; {REPRO}"
        )
    return table


def check_listed(path: Path, table: pd.DataFrame, manifest: pd.DataFrame) -> None:
    """Refuse a table, read from `path`, with images that the manifest does not list.

    Raises:
        UserError: it has some; the message names the first.
    """
    unknown = table["path"][~table["path"].isin(manifest["path"])]
    if len(unknown):
        raise UserError(
            f"{path}: {len(unknown)} images are not in the manifest ({unknown.iloc[0]!r}, ...); "
            f"{REPRO}"
        )


class Artefact(Section):
    """What a stage hands on as a JSON file."""

    path: ClassVar[Path]
    stage: ClassVar[str]
    remedy: ClassVar[str] = ""

    @classmethod
    def read(cls, path: Path | None = None) -> Self:
        """Read the file, by default where the stage writes it.

        Raises:
            UserError: it is missing or not such a file.
        """
        remedy = cls.remedy or f"run `dvc repro {cls.stage}`"
        return read_artefact(path or cls.path, cls, remedy)

    def write(self, path: Path | None = None) -> None:
        """Write the file, by default where the stage writes it."""
        write_json(path or self.path, self.model_dump())


class InitialWeights(Artefact):
    """Where the initial weights came from.

    Attributes:
        requested: `backbone.source` as given (of a path, the file name).
        source: `imagenet`, `random`, the file name or the `models:/…` URI.
        sha256: digest of the weights file.
        complete_to_block: the last `mixed` block that holds weights of that source.
        note: what to know about them; empty where there is nothing.
    """

    path: ClassVar = INITIAL_WEIGHTS
    stage: ClassVar = "backbone"

    requested: str
    source: str
    sha256: str
    complete_to_block: int
    note: str

    def check_file(self, weights: Path) -> None:
        """Refuse a file of weights that is not the one described: HDF5 would load it all the same.

        Raises:
            UserError: it is missing or another.
        """
        with reading(weights, _REBUILD), weights.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != self.sha256:
            raise UserError(
                f"{weights}: damaged, or not the weights of {self.path}: SHA-256 {digest[:12]}, "
                f"expected {self.sha256[:12]}; {_REBUILD}"
            )

    def check_covers(self, head_block: int) -> None:
        """Refuse a head above the last block that the source fills."""
        if head_block > self.complete_to_block:
            raise UserError(
                f"a head on block {head_block} is asked for (train.head_block or, tuned, "
                f"tune.space.head_block), but the initial weights {self.source} end at block "
                f"{self.complete_to_block}; lower it or choose another backbone.source"
            )

    def tags(self) -> dict[str, str]:
        """What a run or model version says of them."""
        tags = {"initial_weights": self.source}
        return tags | ({"initial_weights.note": self.note} if self.note else {})


class Best(Artefact):
    """The best trial of a study; empty where there was nothing to tune.

    Attributes:
        study: the study's name.
        trial: the trial's number.
        objective: what `value` is: `log_loss` or `auroc`, on validation.
        value: of that trial.
        params: its hyperparameters.
        complete: trials that ran to their end.
        pruned: trials that were stopped early.
    """

    path: ClassVar = BEST
    stage: ClassVar = "tune"

    study: str | None = None
    trial: int | None = None
    objective: str | None = None
    value: float | None = None
    params: dict[str, float | int] = Field(default_factory=dict)
    complete: int = 0
    pruned: int = 0

    def tags(self) -> dict[str, str]:
        """What the run of the training says of the study; nothing without one."""
        if self.study is None:
            return {}
        return {"study": self.study, "study.trial": str(self.trial)}


class OperatingPoint(Artefact):
    """How a network's probabilities become calibrated ones and calls.

    Attributes:
        temperature: the logit is divided by it.
        threshold: of calibrated probability, from which an image is called a tumour.
        sensitivity: the target it meets on out-of-fold predictions; None: no target.
        images: how many out-of-fold predictions it rests on.
        folds: in how many folds they were made; 1: they are of the validation split.
    """

    path: ClassVar = CALIBRATION
    stage: ClassVar = "calibrate"

    temperature: float = Field(gt=0.0, allow_inf_nan=False)
    threshold: float = Field(ge=0.0, le=1.0)
    sensitivity: float | None
    images: int
    folds: int


class TrainingRun(Artefact):
    """The MLflow run of the training."""

    path: ClassVar = RUN
    stage: ClassVar = "train"
    remedy: ClassVar = RESTORE

    run_id: str


class Registered(Artefact):
    """The version that the model became.

    Attributes:
        name: of the registered model.
        version: its number.
        alias: `champion` or `challenger`.
        run_id: the run that made it.
        digest: of the bundle.
        decision: why it has its alias, and the figures behind that.
    """

    path: ClassVar = REGISTERED
    stage: ClassVar = "register"
    remedy: ClassVar = RESTORE

    name: str
    version: str
    alias: str | None
    run_id: str
    digest: str
    decision: dict[str, Any]


Metrics = dict[str, dict[str, dict[str, float]]]


def read_metrics(path: Path = FIGURES) -> Metrics:
    """The figures of stage evaluate: split, figure, and `value`, `low`, `high`."""
    metrics: Metrics = read_json(path, RESTORE, Metrics)
    return metrics


@dataclass(frozen=True)
class TuneInputs:
    """The files that a study reads."""

    manifest: Path = MANIFEST
    split: Path = SPLIT
    images: Path = IMAGES
    augmented: Path = AUGMENTED_IMAGES
    records: Path = AUGMENTED_RECORDS
    weights: Path = BACKBONE
    source: Path = INITIAL_WEIGHTS
    params: Path = PARAMS


@dataclass(frozen=True)
class ReportInputs:
    """The files that a report is made from."""

    manifest: Path = MANIFEST
    validation: Path = VALIDATION
    preprocessing: Path = PREPROCESS_SUMMARY
    weights: Path = INITIAL_WEIGHTS
    best: Path = BEST
    calibration: Path = CALIBRATION
    model_json: Path = MODEL_META
    run: Path = RUN
    predictions: Path = PREDICTIONS
    metrics: Path = FIGURES
    export: Path = EXPORT
    history: Path = HISTORY
    trials: Path = TRIALS
    images: Path = IMAGES
    evidence: Path = EVIDENCE


@dataclass(frozen=True)
class StageOutputs:
    """The files that a registered model is made from."""

    data: Path = DATA
    manifest: Path = MANIFEST
    split: Path = SPLIT
    model: Path = MODEL
    model_json: Path = MODEL_META
    run: Path = RUN
    history: Path = HISTORY
    figures: Path = TRAIN_FIGURES
    best: Path = BEST
    predictions: Path = PREDICTIONS
    metrics: Path = FIGURES
    evaluation: Path = EVALUATION
    profile: Path = PROFILE
    export: Path = EXPORT
    report: Path = REPORT
    registered: Path = REGISTERED
    params: Path = PARAMS

    def check(self) -> None:
        """Raise `UserError` unless all that is needed is there."""
        names = {field.name for field in fields(self)} - {"data", "figures", "registered"}
        paths = [getattr(self, field.name) for field in fields(self) if field.name in names]
        paths += [self.profile / name for name in PROFILE_FILES if self.profile.exists()]
        paths += [self.export / name for name in EXPORTED if self.export.exists()]
        missing = [str(path) for path in paths if not path.exists()]
        if missing:
            raise UserError(f"{', '.join(missing)}: missing; {RESTORE}")
