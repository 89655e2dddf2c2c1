"""The model card as data: what is checked when it is written, and when it is read again."""

import json
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import model_validator

from brain_tumor.atomic import read_artefact, write_json
from brain_tumor.model.saved import ModelMeta
from brain_tumor.outputs import InitialWeights
from brain_tumor.report.card_parts import (
    Baseline,
    Calibration,
    Data,
    Failure,
    Figure,
    Images,
    Split,
    Texts,
)
from brain_tumor.settings import Section

# Of stage report. The report shows images of the data, so it stays with them; its other copy shows
# none, and is what a registered model and its run hold.
CARD_FILE, CARD_TEXT, REPORT_FILE = "card.json", "card.md", "report.html"
REGISTERED_REPORT_FILE = "registered_report.html"


class ModelCard(Section):
    """A model card; what it says must hold together.

    Attributes:
        name: of the model.
        intended_use: in two sentences.
        not_for: uses it must not be put to.
        input: what it takes.
        output: key to what it says.
        model: what the network is.
        initial_weights: what training started from.
        data: the images.
        split: how they were divided, a sentence each.
        preprocessing: steps, in order.
        images: of each split.
        metrics: of each split; no intervals on train.
        notes: how to read the figures of a split.
        calibration: temperature and threshold.
        crossvalidation: figures of the recipe on folds it never saw; empty where there are none.
        baselines: by the nested cross-validation; empty where there is none.
        external: rows of the log of evaluations on other data, as they stand in it.
        failures: the most confident errors, worst first.
        limits: what to keep in mind.
        lineage: tag to value: commit, data, MD5 of what was read, MLflow run.
        digest: SHA-256 of the registered model; None before it is registered.
    """

    schema_version: Literal[1] = 1
    name: str
    intended_use: str
    not_for: Texts
    input: str
    output: dict[str, str]
    model: ModelMeta
    initial_weights: InitialWeights
    data: Data
    split: Texts
    preprocessing: Texts
    images: dict[Split, Images]
    metrics: dict[Split, dict[str, Figure]]
    notes: dict[Split, str]
    calibration: Calibration
    crossvalidation: dict[str, Figure]
    baselines: tuple[Baseline, ...]
    external: tuple[dict[str, str], ...]
    failures: tuple[Failure, ...]
    limits: Texts
    lineage: dict[str, str]
    digest: str | None = None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        if self.model.threshold != self.calibration.threshold:
            raise ValueError(
                f"threshold of the model is {self.model.threshold}, of its calibration "
                f"{self.calibration.threshold}: they are of different trainings; run `dvc repro`"
            )
        ends = [one.path for one in self.failures if self._is_right(one)]
        if ends:
            raise ValueError(f"{ends}: listed as errors, but called rightly")
        if any(figure.low is not None for figure in self.metrics.get("train", {}).values()):
            raise ValueError("training figures have intervals; they must not")
        return self

    def _is_right(self, one: Failure) -> bool:
        return (one.probability >= self.calibration.threshold) == (one.label == "yes")


def as_json(card: ModelCard) -> dict[str, Any]:
    """The card as JSON, without what is None."""
    return card.model_dump(mode="json", exclude_none=True)


def write_card(path: Path, card: ModelCard) -> None:
    """Write the card as JSON, once its text has been found to hold the same card."""
    text = json.dumps(as_json(card), allow_nan=False)
    if ModelCard.model_validate_json(text) != card:
        raise ValueError(f"{path}: the card is not the same once written as JSON")
    write_json(path, as_json(card))


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        ValueError: it is missing or does not fit the schema.
    """
    return read_artefact(path, ModelCard, "run `dvc repro report`")
