"""The model card: as data that is checked when it is written and when it is read again; as text."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from brain_tumor import escaping
from brain_tumor.figure_text import (
    FIGURES,
    SPLIT_NAMES,
    UNDEFINED,
    Cell,
    Number,
    Split,
    cell,
    decimals,
    figure_name,
)
from brain_tumor.files import read_artefact, write_json
from brain_tumor.model.saved import ModelMeta
from brain_tumor.outputs import InitialWeights
from brain_tumor.report import page
from brain_tumor.report.page import Heading, Listing, Table
from brain_tumor.settings import Section

Texts = tuple[str, ...]
Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]

# Of stage report. The report shows images of the data, so it stays with them; its other copy shows
# none, and is what a registered model and its run hold.
CARD_FILE, CARD_TEXT, REPORT_FILE = "card.json", "card.md", "report.html"
REGISTERED_REPORT_FILE = "registered_report.html"


class Figure(Section):
    """A figure and its 95 % interval; both ends or neither."""

    value: Finite
    low: Finite | None = None
    high: Finite | None = None

    @model_validator(mode="after")
    def _is_interval(self) -> Self:
        if (self.low is None) != (self.high is None):
            raise ValueError(f"interval ({self.low}, {self.high}) has one end; both or none needed")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"interval ({self.low}, {self.high}) is upside down")
        return self


class Images(Section):
    """How many images of a split, and in how many clusters (copies, patients) they lie."""

    no: Count
    yes: Count
    clusters: Count


class Data(Section):
    """What the images are, and what is wrong with them.

    Attributes:
        source: where `data fetch` took them from.
        distinct: of the files, copies and near-copies counted once.
        patients: 0: nothing is known of patients.
        formats: file format to number of files.
        label_suspects: those of the fixed list (drawn up before any model) that are among them.
        faults: all that is known against them, a sentence each.
    """

    source: str
    files: Count
    distinct: Count
    patients: Count
    formats: dict[str, Count]
    label_suspects: Texts
    faults: Texts


class Calibration(Section):
    """How probabilities and calls come about; see `outputs.OperatingPoint`."""

    temperature: Annotated[float, Field(gt=0.0)]
    threshold: Probability
    target_sensitivity: Probability | None = None
    images: Count


class Baseline(Section):
    """A simpler classifier on the same folds, and how much better the model is (paired)."""

    name: str
    figures: dict[str, Figure]
    difference: dict[str, Figure]


class Failure(Section):
    """An image that is called wrongly."""

    path: str
    split: Literal["val", "test"]
    label: Literal["no", "yes"]
    probability: Probability


class ModelCard(Section):
    """A model card; its parts must agree.

    Attributes:
        output: key to its meaning.
        split: how the images were divided, a sentence each.
        preprocessing: steps, in order.
        metrics: of each split; no intervals on train.
        notes: how to read the figures of a split.
        crossvalidation: figures of the recipe on folds it never saw; empty where there are none.
        baselines: by the nested cross-validation; empty where there is none.
        external: rows of the log of evaluations on other data, as they stand in it.
        failures: the most confident errors, worst first.
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
        right = [
            failure.path
            for failure in self.failures
            if (failure.probability >= self.calibration.threshold) == (failure.label == "yes")
        ]
        if right:
            raise ValueError(f"{right}: listed as errors, but called rightly")
        if any(figure.low is not None for figure in self.metrics.get("train", {}).values()):
            raise ValueError("training figures have intervals; they must not")
        return self


def as_json(card: ModelCard) -> dict[str, Any]:
    """The card as JSON, without what is None."""
    return card.model_dump(mode="json", exclude_none=True)


def write_card(path: Path, card: ModelCard) -> None:
    """Write the card as JSON."""
    write_json(path, as_json(card))


def read_card(path: Path) -> ModelCard:
    """Read a card.

    Raises:
        UserError: it is missing or does not fit the schema.
    """
    return read_artefact(path, ModelCard, "run `dvc repro report`")


IMAGE_HEAD = ("Split", "No tumour", "Tumour", "Images", "Clusters")
FAILURE_HEAD = ("File", "Split", "Label", "Label doubted", "Probability of a tumour")
IDEAL = {
    "calibration_slope": "1", "calibration_intercept": "0", "brier": "low", "log_loss": "low",
    "ece": "near the next line", "ece_floor": "simulated",
}  # fmt: skip
_DIGEST_SHOWN = 18  # characters


def figure_rows(metrics: Mapping[Split, Mapping[str, Figure]]) -> list[list[Cell]]:
    """A row per figure, a column per split, in the order of `FIGURES` and `SPLIT_NAMES`."""
    measured = {key for figures in metrics.values() for key in figures}
    keys = [key for key in FIGURES if key in measured] + sorted(measured - set(FIGURES))
    return [
        [figure_name(key), *(cell(metrics.get(split, {}), key) for split in SPLIT_NAMES)]
        for key in keys
    ]


def calibration_rows(metrics: Mapping[Split, Mapping[str, Figure]]) -> list[list[Cell]]:
    """A row per figure of calibration: validation, test, what would be ideal."""
    splits: tuple[Split, ...] = ("val", "test")
    return [
        [figure_name(key), *(cell(metrics.get(split, {}), key) for split in splits), ideal]
        for key, ideal in IDEAL.items()
        if any(key in figures for figures in metrics.values())
    ]


def image_rows(card: ModelCard) -> list[list[str]]:
    """A row per split: images without, with a tumour, together, and clusters."""
    return [
        [name, *map(str, (count.no, count.yes, count.no + count.yes, count.clusters))]
        for split, name in SPLIT_NAMES.items()
        for count in [card.images[split]]
    ]


def failure_rows(card: ModelCard) -> list[list[str]]:
    """A row per error."""
    doubted = card.data.label_suspects
    return [
        [
            escaping.code(failure.path), SPLIT_NAMES[failure.split], failure.label,
            "yes" if failure.path in doubted else "", f"{failure.probability:.3f}",
        ]
        for failure in card.failures
    ]  # fmt: skip


def threshold_text(calibration: Calibration) -> str:
    """Where the threshold comes from."""
    target = calibration.target_sensitivity
    if target is None:
        return "no target sensitivity was set: a calibrated probability of one half"
    return (
        f"the highest with a sensitivity of at least {decimals(target)} on {calibration.images} "
        "out-of-fold predictions"
    )


def external_table(log: Sequence[Mapping[str, str]], caption: str = "") -> Table:
    """The log of external evaluations, a row per quantity, a column per evaluation.

    A figure and the ends of its interval (`x`, `x_low`, `x_high`) become one cell; of digests the
    beginning is shown.
    """
    keys = list(dict.fromkeys(key for line in log for key in line))
    ends = {f"{key}{end}" for key in keys for end in ("_low", "_high")}
    rows = [
        [_quantity(key), *(external_cell(line, key) for line in log)]
        for key in keys
        if key not in ends
    ]
    numbers = range(1, len(log) + 1)
    return Table(("Quantity", *(f"Evaluation {place}" for place in numbers)), rows, caption)


def _quantity(key: str) -> str:
    """A column of the log in words; counts begin with their class."""
    label, _, count = key.partition("_")
    name = {"no": "no tumour", "yes": "tumour"}.get(label)
    return (f"{name}: {count}" if name else key).replace("_", " ")


def external_cell(line: Mapping[str, str], key: str) -> Cell:
    """A quantity of the log with its interval if it has one; a dash where it is missing."""
    value, low, high = (line.get(f"{key}{end}", "") for end in ("", "_low", "_high"))
    if key.endswith("_digest") and len(value) > _DIGEST_SHOWN:
        return f"{value[:_DIGEST_SHOWN]}..."
    if not (value and low and high):
        return value or UNDEFINED
    return Number(float(value), float(low), float(high))


def markdown(card: ModelCard) -> str:
    """The card for people."""
    weights, note = card.model.model_dump(), card.initial_weights.note
    return page.markdown(
        [
            f"# {card.name}",
            f"**{card.intended_use}**",
            Heading("Not for"),
            Listing(card.not_for),
            Heading("Input and output"),
            _pairs({"input": card.input, **card.output}),
            Heading("Network"),
            _pairs(weights | ({"note on initial weights": note} if note else {})),
            Heading("Data"),
            *_data(card),
            Heading("Split and preprocessing"),
            Listing([*card.split, *card.preprocessing]),
            Heading("Figures with 95 % intervals"),
            _texts(Table(("figure", *SPLIT_NAMES), figure_rows(card.metrics))),
            Listing(split_notes(card)),
            Heading("Calibration and operating point"),
            *_calibration(card),
            Heading("Nested cross-validation of the recipe, and baselines"),
            *_crossvalidation(card),
            Heading("External data"),
            _texts(external_table(_escaped(card.external)))
            if card.external
            else "None: this model has met no other data (`brain-tumor evaluate`).",
            Heading("Most confident errors"),
            Table(FAILURE_HEAD, failure_rows(card))
            if card.failures
            else "None on validation and test images.",
            Heading("Limits"),
            Listing(card.limits),
            Heading("Lineage"),
            _pairs(card.lineage | {"digest": card.digest or "not registered"}),
        ]
    )


def _escaped(log: Sequence[Mapping[str, str]]) -> list[dict[str, str]]:
    return [{key: escaping.markdown(value) for key, value in line.items()} for line in log]


def split_notes(card: ModelCard) -> list[str]:
    """How to read the figures of each split."""
    return [f"{SPLIT_NAMES[split].capitalize()}: {text}" for split, text in card.notes.items()]


def _data(card: ModelCard) -> tuple[Table, Table, str, Listing]:
    data = card.data
    facts = {
        "source": escaping.markdown(data.source),
        "files": data.files,
        "distinct": data.distinct,
        "patients": data.patients or "not known",
        "formats": ", ".join(f"{name} {count}" for name, count in data.formats.items()),
    }
    faults = Listing(data.faults or ("none found",))
    return _pairs(facts), Table(IMAGE_HEAD, image_rows(card)), "Known faults:", faults


def _calibration(card: ModelCard) -> tuple[Table, Table]:
    point = card.calibration
    facts = {
        "temperature": f"{point.temperature:.4g}",
        "threshold": f"{point.threshold:.4g}: {threshold_text(point)}",
    }
    measured = _texts(Table(("figure", "val", "test", "ideal"), calibration_rows(card.metrics)))
    return _pairs(facts), measured


def _crossvalidation(card: ModelCard) -> Sequence[str | Table]:
    """Figures as rows; the recipe and the baselines as columns."""
    if not card.crossvalidation:
        return ["Not known: the nested cross-validation (`make evidence`) left no summary."]
    columns = {"the recipe": card.crossvalidation}
    columns |= {baseline.name: baseline.figures for baseline in card.baselines}
    rows = [
        [figure_name(key), *(cell(figures, key) for figures in columns.values())]
        for key in card.crossvalidation
    ]
    note = "The recipe is called at its own thresholds, baselines from 0.5 on."
    return [_texts(Table(("figure", *columns), rows)), note]


def _pairs(values: Mapping[str, object]) -> Table:
    return Table(("", ""), [[key, str(value)] for key, value in values.items()])


def _texts(table: Table) -> Table:
    """A table whose intervals read as in the report, `0.82 to 0.96`."""
    return Table(table.head, [list(map(str, row)) for row in table.rows])
