"""Section `train` of params.yaml: as it is written there, and with the tuned values filled in."""

from collections.abc import Mapping
from typing import Annotated, Literal, Self, TypeVar

from pydantic import Discriminator, Field, Tag, ValidationError, model_validator

from brain_tumor.params import Section

TUNED = "tuned"
Tuned = Literal["tuned"]
Values = Mapping[str, float | int]

HeadBlock = Annotated[int, Field(ge=0, le=10)]
Depth = Annotated[int, Field(ge=0)]
Fraction = Annotated[float, Field(ge=0.0, lt=1.0)]
Rate = Annotated[float, Field(gt=0.0, allow_inf_nan=False)]
Decay = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]


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
    seed: int = Field(ge=0)
    head: Literal["gap", "paper"]
    precision: Literal["auto", "float32", "bfloat16"]
    fine_tune_rate_fraction: float = Field(gt=0.0)
    batch_size: int = Field(ge=1)
    head_epochs: int = Field(ge=1)
    fine_tune_epochs: int = Field(ge=0)
    patience: int = Field(ge=1)
    class_weight: Literal["balanced", "none"]


class TrainParams(_Training):
    """Everything a training needs; every field is explained in params.yaml.

    A field that was left to the study and acts on nothing (see `idle`) is None.
    """

    head_block: HeadBlock
    fine_tune_blocks: Depth
    head_penalty: Rate | None
    learning_rate: Rate | None
    weight_decay: Decay | None
    dropout: Fraction | None

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
    fine_tune_blocks: OrTuned[Depth]
    head_penalty: OrTuned[Rate] | None
    learning_rate: OrTuned[Rate]
    weight_decay: OrTuned[Decay]
    dropout: OrTuned[Fraction]

    def tuned(self, drawn: Values | None = None) -> tuple[str, ...]:
        """Names of the fields that say `tuned` and act.

        Args:
            drawn: values that a trial has drawn already; they may leave others without effect.
        """
        values = self.model_dump() | dict(drawn or {})
        without_effect = idle(values)
        return tuple(name for name, value in self if value == TUNED and name not in without_effect)

    def resolve(self, values: Values) -> TrainParams:
        """Fill in the tuned fields; a value written in params.yaml wins.

        Args:
            values: field name to value; others than the tuned fields are ignored.

        Raises:
            ValueError: a tuned field that acts has no value, or a value does not fit.
        """
        every = [name for name, value in self if value == TUNED]
        chosen = {name: values.get(name) for name in every}
        given = {name: value for name, value in chosen.items() if value is not None}
        missing = [name for name in self.tuned(given) if name not in given]
        if missing:
            raise ValueError(
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
            raise ValueError("; ".join(problems)) from error


def idle(values: Mapping[str, object]) -> dict[str, str]:
    """Fields of section `train` that act on nothing, and why.

    Args:
        values: all fields; those that matter here may still say `tuned`.
    """
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

    Args:
        section: section `train`, what was given included.
        given: fields that were given, with their values; those that say `tuned` only say that no
            value is given.

    Raises:
        ValueError: one acts on nothing; the message says why.
    """
    reasons = idle(section.model_dump())
    for name, value in given.items():
        if name in reasons and value not in (TUNED, None):
            raise ValueError(f"train.{name} is {value}, but acts on nothing: {reasons[name]}")
