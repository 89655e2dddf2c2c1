"""params.yaml as one typed, frozen object, read whole and at once, without defaults in code.

Meanings and units of the values stand in params.yaml.
"""

import json
import math
import shlex
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final, Generic, Literal, Self, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails
from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from brain_tumor.errors import UserError, sentence
from brain_tumor.escaping import terminal

PARAMS: Final = Path("params.yaml")

# The two classes, under the names every file of the pipeline uses for them.
NEGATIVE: Final = "no"
POSITIVE: Final = "yes"
LABELS: Final = (NEGATIVE, POSITIVE)
MASKS_FOLDER: Final = "masks"  # of the data folder, beside those of the classes

LAST_BLOCK: Final = 10  # of InceptionV3: mixed10
TUNED: Final = "tuned"
TUNABLE: Final = (
    "head_block", "fine_tune_blocks", "head_penalty", "learning_rate", "weight_decay", "dropout",
)  # fmt: skip


class Section(BaseModel):
    """Base of every section of params.yaml: immutable, strictly typed, no unknown keys."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid")


Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


def _rising(limits: tuple[float, float]) -> tuple[float, float]:
    if not 0 <= limits[0] <= limits[1]:
        raise ValueError(f"must be [low, high] with 0 <= low <= high: {limits[0]}, {limits[1]}")
    return limits


Range = Annotated[tuple[float, float], AfterValidator(_rising)]


class PlaneShares(Section):
    """Share of the phantom's slices in each plane; they sum to 1."""

    axial: Share
    coronal: Share
    sagittal: Share

    @model_validator(mode="after")
    def _sum_to_one(self) -> Self:
        total = self.axial + self.coronal + self.sagittal
        if abs(total - 1) > 1e-6:
            raise ValueError(f"axial, coronal and sagittal must sum to 1, received {total:g}")
        return self


class PhantomParams(Section):
    """Size, structure and difficulty of the phantom; ranges are drawn from uniformly."""

    seed: Natural
    no: Positive
    yes: Positive
    slices_per_patient: int = Field(ge=1, le=4)
    exact_duplicates: Natural
    near_duplicates: Natural
    canvas_px: Annotated[tuple[Annotated[int, Field(ge=75)], int], AfterValidator(_rising)]
    planes: PlaneShares
    random_contrast_fraction: Share
    anatomy_variation: Share
    tumour_radius_mm: Range
    tumour_contrast: Range
    resolution_mm: Range
    noise_fraction: Range
    bias_fraction: float = Field(ge=0, le=0.5)
    cut_fraction: Share
    quarter_turn_fraction: Share


FolderName = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]


class Exclusion(Section):
    """A file that is left out, and why."""

    path: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class ValidateParams(Section):
    """Where the classes lie and what an image must be."""

    negative_folder: FolderName
    positive_folder: FolderName
    min_side_px: Positive
    max_megapixels: float = Field(gt=0.0)
    near_duplicate_max_hamming: int = Field(ge=0, le=64)
    near_duplicate_min_correlation: Share
    exclude: tuple[Exclusion, ...] = Field(strict=False)

    @property
    def folders(self) -> dict[str, str]:
        """The label of each class folder, such as `{"no": "no", "yes": "yes"}`."""
        return {self.negative_folder: NEGATIVE, self.positive_folder: POSITIVE}

    def label_of(self, name: str) -> str:
        """The label by the name of its class folder, or by itself.

        Raises:
            UserError: it is neither.
        """
        label = self.folders.get(name, name)
        if label not in (NEGATIVE, POSITIVE):
            own = {*self.folders} - {NEGATIVE, POSITIVE}
            alike = f" ({NEGATIVE} and {POSITIVE} mean the same)" if own else ""
            raise UserError(f"{name!r} is no class: give {' or '.join(self.folders)}{alike}")
        return label

    @model_validator(mode="after")
    def _two_class_folders(self) -> Self:
        if len(self.folders) < 2 or MASKS_FOLDER in self.folders:
            raise ValueError(
                f"negative_folder and positive_folder must be two folders other than "
                f"'{MASKS_FOLDER}', received {self.negative_folder!r} and {self.positive_folder!r}"
            )
        return self


SplitFraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Kinship = Literal["duplicate", "patient"]
GroupBy = Annotated[tuple[Kinship, ...], Field(strict=False, min_length=1)]


class ClassCounts(Section):
    """Images of each class in one split."""

    no: Positive
    yes: Positive


class SplitCounts(Section):
    """Exact sizes; what is left goes to train and must be `train` where that is given."""

    val: ClassCounts
    test: ClassCounts
    train: ClassCounts | None


class SplitFractions(Section):
    """Approximate sizes as fractions of all groups; what is left goes to train."""

    val: SplitFraction
    test: SplitFraction


class SplitParams(Section):
    """How images are divided."""

    seed: int
    group_by: Literal["none"] | GroupBy
    mode: Literal["fractions", "counts"]
    fractions: SplitFractions
    counts: SplitCounts

    @property
    def kinships(self) -> tuple[Kinship, ...]:
        """What keeps images together: none, one or both of duplicate and patient."""
        return () if self.group_by == "none" else self.group_by

    @model_validator(mode="after")
    def _something_left_to_train(self) -> Self:
        held_out = self.fractions.val + self.fractions.test
        if held_out >= 1.0:
            raise ValueError(
                f"fractions.val + fractions.test must leave some for train, received {held_out:g}"
            )
        return self


class PreprocessParams(Section):
    """How a raw image becomes the network's input."""

    size_px: int = Field(ge=75)
    paper_step_px: Annotated[int, Field(ge=16)] | None
    normalisation: Literal["similarity", "none"]
    min_confidence: Share
    crop_margin_fraction: float = Field(ge=0.0, le=0.5)
    blank_outside: bool
    clip_low_percent: float = Field(ge=0.0, lt=50.0)
    clip_high_percent: float = Field(gt=50.0, le=100.0)

    @field_validator("normalisation", mode="before")
    @classmethod
    def _not_affine(cls, value: object) -> object:
        if value == "affine":
            raise ValueError(
                "affine is no longer offered; set preprocess.normalisation to similarity (or none) "
                "in params.yaml and run `dvc repro`, which trains and registers the model anew"
            )
        return value


class AugmentParams(Section):
    """How training images are varied, and phantoms that train beside them. 0 is off."""

    seed: Natural
    copies: int = Field(ge=0, le=99)
    phantoms: int = Field(ge=0, multiple_of=2)
    phantom_tumour_radius_mm: Range
    phantom_random_contrast_fraction: Share
    phantom_anatomy_variation: Share
    phantom_resolution_mm: Range
    phantom_noise_fraction: Range
    crop_fraction: float = Field(ge=0.0, le=0.5)
    horizontal_flip_probability: Share
    vertical_flip_probability: Share
    rotation_deg: float = Field(ge=0.0, le=180.0)
    brightness: Share
    contrast: float = Field(ge=0.0, lt=1.0)
    gamma: float = Field(ge=0.0, le=2.0)
    blur_sigma_px: float = Field(ge=0.0, le=10.0)
    noise_sigma: float = Field(ge=0.0, le=0.5)


class BackboneParams(Section):
    """Initial weights of InceptionV3.

    Attributes:
        source: `auto`, `imagenet`, `random`, a `models:/…` URI or the path of a `.weights.h5` file.
        seed: seed of random weights.
    """

    source: str
    seed: int


Finite = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


_Bound = TypeVar("_Bound", int, float)


class _Interval(Section, Generic[_Bound]):
    low: _Bound
    high: _Bound

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise ValueError(
                f"low must not exceed high, received low {self.low:g} and high {self.high:g}"
            )
        return self


class FloatRange(_Interval[Finite]):
    """An interval with both ends; with `log` its logarithm is searched evenly."""

    log: bool

    @model_validator(mode="after")
    def _has_logarithm(self) -> Self:
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low > 0, received low {self.low:g}")
        return self


class IntRange(_Interval[Natural]):
    """Whole numbers from low to high, both included."""


class Space(Section):
    """What each hyperparameter may be; blocks are counted as in section `train`."""

    learning_rate: FloatRange
    dropout: FloatRange
    weight_decay: FloatRange
    head_penalty: FloatRange
    head_block: IntRange
    fine_tune_blocks: IntRange

    @model_validator(mode="after")
    def _fits_the_network(self) -> Self:
        for name in ("learning_rate", "head_penalty"):
            if (low := getattr(self, name).low) <= 0:
                raise ValueError(f"{name}.low must exceed 0, received {low:g}")
        if self.dropout.high >= 1:
            raise ValueError(f"dropout.high must be below 1, received {self.dropout.high:g}")
        if self.head_block.high > LAST_BLOCK:
            raise ValueError(
                f"head_block.high must be within 0..{LAST_BLOCK}, received {self.head_block.high}"
            )
        return self


class TuneParams(Section):
    """What is searched, how long and how."""

    seed: Natural
    n_trials: Positive
    timeout_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None
    objective: Literal["log_loss", "auroc"]
    folds: Positive
    pruner: Literal["median", "none"]
    startup_trials: Positive
    space: Space


Tuned = Literal["tuned"]
Values = Mapping[str, float | int]
HeadBlock = Annotated[int, Field(ge=0, le=LAST_BLOCK)]
Dropout = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]


def _number_or_tuned(value: object) -> str | None:
    """Which of the two a value is meant to be, so that an error is about that one only."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if is_number else TUNED if value == TUNED else None


_Number = TypeVar("_Number")
OrTuned = Annotated[
    Annotated[_Number, Tag("number")] | Annotated[Tuned, Tag(TUNED)],
    Discriminator(
        _number_or_tuned,
        custom_error_type="number_or_tuned",
        custom_error_message="a number or 'tuned' is needed",
    ),
]


class _Training(Section):
    seed: Natural
    head: Literal["gap", "paper"]
    precision: Literal["auto", "float32", "bfloat16"]
    fine_tune_rate_fraction: float = Field(gt=0.0)
    batch_size: Positive
    head_epochs: Positive
    fine_tune_epochs: Natural
    patience: Positive
    class_weight: Literal["balanced", "none"]
    phantom_weight: float = Field(ge=0.01, le=1.0)


class TrainParams(_Training):
    """Everything a training needs.

    A field that was left to the study and acts on nothing (see `idle`) is None.
    """

    head_block: HeadBlock
    fine_tune_blocks: Natural
    head_penalty: Rate | None
    learning_rate: Rate | None
    weight_decay: Finite | None
    dropout: Dropout | None

    @property
    def fine_tunes(self) -> bool:
        """Whether blocks below the head train."""
        return bool(self.fine_tune_blocks and self.fine_tune_epochs)

    @property
    def trains_epochs(self) -> bool:
        """Whether anything trains by epochs: a head that is not solved, or blocks below it."""
        return self.head_penalty is None or self.fine_tunes

    def acting(self) -> dict[str, float | int | str]:
        """The fields that act in this training, with their values."""
        without_effect = idle(self.model_dump())
        return {
            name: value for name, value in self if name not in without_effect and value is not None
        }

    @model_validator(mode="after")
    def _solver_fits(self) -> Self:
        if self.head == "paper" and self.head_penalty is not None:
            raise ValueError(
                f"head_penalty is {self.head_penalty:g}; head `paper` is trained by AdamW: null"
            )
        return self

    @model_validator(mode="after")
    def _blocks_exist(self) -> Self:
        if self.fine_tune_blocks > self.head_block + 1:
            raise ValueError(
                f"fine_tune_blocks is {self.fine_tune_blocks}; below head_block {self.head_block} "
                f"there are {self.head_block + 1}"
            )
        return self


class TrainSection(_Training):
    """The section as written: six fields may say `tuned`, and then the study chooses them.

    Their order is that in which a trial draws them: whether one acts depends on those before it.
    """

    head_block: OrTuned[HeadBlock]
    fine_tune_blocks: OrTuned[Natural]
    head_penalty: OrTuned[Rate] | None
    learning_rate: OrTuned[Rate]
    weight_decay: OrTuned[Finite]
    dropout: OrTuned[Dropout]

    def tuned(self, drawn: Values | None = None) -> tuple[str, ...]:
        """Names of the fields that say `tuned` and act.

        Values that a trial has drawn already may leave others without effect.
        """
        values = self.model_dump() | dict(drawn or {})
        without_effect = idle(values)
        return tuple(name for name, value in self if value == TUNED and name not in without_effect)

    def resolve(self, values: Values) -> TrainParams:
        """Fill in the tuned fields from `values`; a value written in params.yaml wins.

        Raises:
            UserError: a tuned field that acts has no value, or a value does not fit.
        """
        every = [name for name, value in self if value == TUNED]
        chosen = {name: values.get(name) for name in every}
        given = {name: value for name, value in chosen.items() if value is not None}
        missing = [name for name in self.tuned(given) if name not in given]
        if missing:
            raise UserError(
                f"train.{', train.'.join(missing)}: tuned, but the study chose no value; "
                "run `dvc repro tune`, or give a value"
            )
        without_effect = idle(self.model_dump() | given)
        chosen |= {name: None for name in every if name in without_effect}
        try:
            return TrainParams.model_validate(self.model_dump() | chosen)
        except ValidationError as error:
            problems = (
                f"{'.'.join(['train', *map(str, problem['loc'])])}: {problem['msg']}"
                for problem in error.errors()
            )
            raise UserError("; ".join(problems)) from error


class CalibrateParams(Section):
    """How temperature and operating threshold are found.

    Attributes:
        sensitivity: the threshold is the highest with at least this sensitivity on out-of-fold
            predictions; None: the threshold is 0.5.
    """

    sensitivity: Annotated[float, Field(gt=0.0, lt=1.0)] | None


class EvaluateParams(Section):
    """Bootstrap of the figures' intervals; groups are resampled."""

    seed: Natural
    bootstrap_resamples: int = Field(ge=20)


class ExportParams(Section):
    """When an image counts as unlike the training images."""

    false_alarm_fraction: float = Field(gt=0, lt=0.5)
    folds: int = Field(ge=2)


class RegisterParams(Section):
    """How a model is registered and when it becomes the champion."""

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    metric: Literal["balanced_accuracy", "accuracy"]
    margin: Share
    min_images_per_class: Positive
    force: bool


class DriftParams(Section):
    """When new images count as unlike the champion's."""

    alpha: float = Field(gt=0, lt=1)
    min_effect: Share
    min_clusters: int = Field(ge=2)
    neighbours: Positive
    permutations: int = Field(ge=99)
    seed: Natural


@dataclass(frozen=True)
class Settings:
    """params.yaml: a field for each section."""

    phantom: PhantomParams
    validate: ValidateParams
    split: SplitParams
    preprocess: PreprocessParams
    augment: AugmentParams
    backbone: BackboneParams
    tune: TuneParams
    train: TrainSection
    calibrate: CalibrateParams
    evaluate: EvaluateParams
    export: ExportParams
    register: RegisterParams
    drift: DriftParams


SectionT = TypeVar("SectionT", bound=Section)
SettingsT = TypeVar("SettingsT")


def read(path: Path = PARAMS) -> Settings:
    """Read the whole of params.yaml, as `read_sections` does."""
    return read_sections(path, Settings)


def read_sections(path: Path, kind: type[SettingsT]) -> SettingsT:
    """Read the whole of a params file; the dataclass `kind` has a field for each section.

    Raises:
        UserError: a section or value is missing, unknown or does not fit; the message names
            the file, each such key and the value received.
    """
    document = _document(path)
    classes: dict[str, type[Section]] = {field.name: field.type for field in fields(kind)}  # type: ignore[misc,arg-type]
    sections = _parsed(path, document, classes)
    unknown = [str(name) for name in document if name not in classes]
    if unknown:
        raise UserError(f"{path}: unknown section '{unknown[0]}'")
    return kind(**sections)


def load(path: Path, name: str, section: type[SectionT]) -> SectionT:
    """Read one section of a params file.

    Raises:
        UserError: as `read_sections` does.
    """
    parsed: SectionT = _parsed(path, _document(path), {name: section})[name]
    return parsed


def idle(values: Mapping[str, object]) -> dict[str, str]:
    """Fields of section `train` (some may still say `tuned`) that act on nothing, and why."""
    reasons: dict[str, str] = {}
    solved = values["head_penalty"] is not None
    if solved:
        why = "the head is solved with train.head_penalty, and no AdamW trains it"
        of_adam = ["dropout", "head_epochs", "patience", "fine_tune_rate_fraction"]
        reasons |= dict.fromkeys(of_adam, why)
    if values["fine_tune_blocks"] == 0 or values["fine_tune_epochs"] == 0:
        why = "no block trains (train.fine_tune_blocks, train.fine_tune_epochs)"
        of_blocks = ["fine_tune_epochs", "fine_tune_rate_fraction", "precision"]
        if solved:
            of_blocks += ["learning_rate", "weight_decay", "batch_size"]
        reasons |= dict.fromkeys(of_blocks, why)
    return reasons


def refuse_without_effect(section: TrainSection, given: Mapping[str, object]) -> None:
    """Refuse what was given for this run if it acts on nothing.

    `section` holds what was given. Values that say `tuned` only say that no value is given.

    Raises:
        UserError: one acts on nothing; the message says why.
    """
    reasons = idle(section.model_dump())
    for name, value in given.items():
        if name in reasons and value not in (TUNED, None):
            raise UserError(f"train.{name} is {value}, but acts on nothing: {reasons[name]}")


def changed_since_commit(name: str, path: Path = PARAMS) -> dict[str, object]:
    """Values of a section that the commit checked out does not have: what was given for this run.

    `dvc exp run -S` writes what it is given into the params file.

    Returns:
        Key, with dots where sections are nested, to its new value; nothing where the file is not
        under git.
    """
    show = ["git", "-C", str(path.absolute().parent), "show", f"HEAD:./{path.name}"]
    try:
        committed = subprocess.run(show, capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return {}
    yaml = YAML(typ="safe", pure=True)
    try:
        before = _flat(yaml.load(committed).get(name, {}))
    except (YAMLError, AttributeError, LookupError, ValueError):  # the commit's file was broken
        return {}
    now = _flat(yaml.load(path.read_text(encoding="utf-8")).get(name, {}))
    return {key: value for key, value in now.items() if key not in before or before[key] != value}


def _flat(section: object, prefix: str = "") -> dict[str, object]:
    if not isinstance(section, dict):
        return {prefix: section}
    parts = (_flat(value, f"{prefix}.{key}" if prefix else key) for key, value in section.items())
    return {key: value for part in parts for key, value in part.items()}


def _describe(name: str, section: type[Section], problems: list[ErrorDetails]) -> Iterable[str]:
    """What is wrong, a phrase a key; a misspelt key is not reported as missing besides."""
    unknown = [problem for problem in problems if problem["type"] == "extra_forbidden"]
    meant = {(*problem["loc"][:-1], _closest_field(section, problem["loc"])) for problem in unknown}
    for problem in problems:
        location = problem["loc"]
        key = ".".join([name, *map(str, location)])
        match problem["type"]:
            case "extra_forbidden":
                closest = _closest_field(section, location)
                yield f"{terminal(key)}: unknown key" + (
                    f", did you mean '{closest}'?" if closest else ""
                )
            case "missing":
                if location not in meant:
                    yield f"{key}: missing"
            case "value_error":  # by a rule of ours, whose text names what was received
                yield f"{key}: {problem['ctx']['error']}"
            case _:
                yield f"{key}: {problem['msg']} (received {problem['input']!r})"


def _closest_field(section: type[Section], location: tuple[int | str, ...]) -> str | None:
    """The field whose name is most like the last part of a location, if one is like it."""
    *parents, wrong = location
    for parent in parents:
        if isinstance(parent, str):  # else the place in a list, whose class was found by its name
            nested = _section_in(section.model_fields[parent].annotation)
            if nested is None:
                return None
            section = nested
    return next(iter(get_close_matches(str(wrong), section.model_fields, n=1)), None)


def _section_in(annotation: object) -> type[Section] | None:
    """The class of a nested section, also as `X | None` or `tuple[X, ...]`."""
    for part in (annotation, *get_args(annotation)):
        if isinstance(part, type) and issubclass(part, Section):
            return part
    return None


def _document(path: Path) -> dict[str, Any]:
    """The file as DVC reads it: by YAML 1.2 `1e-4` is a number and `no` a string."""
    try:
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(f"{path}: no such file; {_where_it_is(path)}") from error
    except OSError as error:
        raise UserError(sentence(error)) from error
    except (YAMLError, ValueError, LookupError, RecursionError) as error:
        reason = terminal(" ".join(str(error).split()))
        raise UserError(f"{path}: cannot be read as YAML: {reason}") from error
    if not isinstance(document, dict):
        raise UserError(f"{path}: holds no sections such as `phantom:` with values below them")
    _require_plain(path, document)
    return document


def _where_it_is(path: Path) -> str:
    """What to do where a params file is missing: mostly the command runs in a wrong folder."""
    for folder in path.absolute().parent.parents:
        if (folder / path.name).is_file():
            return f"the project is {folder}: `cd {shlex.quote(str(folder))}` first"
    return f"run this at the top of a project, the folder that holds {path.name} and dvc.yaml"


_MOST_VALUES = 10_000
_LARGEST = 2**32 - 1  # of any number: counts and seeds reach this far, and no bound is meant beyond
_KINDS = {
    "date": "a date",
    "datetime": "a date",
    "bytes": "binary data (!!binary)",
    "set": "a set",
    "tuple": "a pair (!!pairs)",
}


def _require_plain(path: Path, document: dict[str, Any]) -> None:
    """Refuse what no parameter can be, before the sections are looked at.

    That is what YAML knows and JSON does not, numbers without end, and aliases that multiply what
    is written.
    """
    waiting: list[tuple[str, object]] = [("", document)]
    problems: list[str] = []
    for _ in range(_MOST_VALUES):
        if not waiting:
            break
        key, value = waiting.pop()
        if isinstance(value, dict):
            waiting += [(f"{key}.{name}".removeprefix("."), value[name]) for name in value]
            names = [name for name in value if type(name) is not str]
            problems += [f"{key or 'at the top'}: key {name!r}: quote it" for name in names]
        elif isinstance(value, list):
            waiting += [(f"{key}.{number}", inner) for number, inner in enumerate(value)]
        elif reason := _no_parameter(value):
            problems.append(f"{key}: {reason}")
    else:
        problems.append(
            f"more than {_MOST_VALUES} values once aliases (*name) are filled in: write out what "
            "is meant"
        )
    if problems:
        raise UserError(f"{path}: {terminal('; '.join(sorted(problems)))}")


def _no_parameter(value: object) -> str:
    """Why a value is none that a parameter can have; "" if it may be."""
    if isinstance(value, int | float):
        if isinstance(value, float) and not math.isfinite(value):
            return f"Input should be a finite number (received {value})"
        is_small = -_LARGEST <= value <= _LARGEST
        return "" if is_small else f"Input should be at most {_LARGEST} (received {value})"
    if value is None or isinstance(value, str):
        return ""
    kind = _KINDS.get(type(value).__name__, type(value).__name__)
    return f"{kind} is no value here: for text put it in quotes"


def _parsed(
    path: Path, document: Mapping[str, object], classes: Mapping[str, type[Section]]
) -> dict[str, Any]:
    """Sections of a params file by name."""
    for name in classes.keys() - document.keys():
        closest = get_close_matches(name, [str(key) for key in document], n=1)
        hint = f"; it has '{closest[0]}', is that a misspelling?" if closest else ""
        raise UserError(f"{path}: section '{name}' is missing{hint}")
    sections: dict[str, Section] = {}
    problems: list[str] = []
    for name, section in classes.items():
        try:
            sections[name] = section.model_validate_json(json.dumps(document[name]))
        except ValidationError as error:
            problems += _describe(name, section, error.errors())
    if problems:
        raise UserError(f"{path}: {'; '.join(problems)}")
    return sections
