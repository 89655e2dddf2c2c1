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
    precision: Literal["auto", "float32", "bfloat16", "float16"]
    fine_tune_rate_fraction: float = Field(gt=0.0)
    batch_size: int = Field(ge=1)
    head_epochs: int = Field(ge=1)
    fine_tune_epochs: int = Field(ge=0)
    patience: int = Field(ge=1)
    class_weight: Literal["balanced", "none"]


class TrainParams(_Training):
    """Everything a training needs; every field is explained in params.yaml."""

    head_block: HeadBlock
    fine_tune_blocks: Depth
    dropout: Fraction
    head_penalty: Rate | None
    learning_rate: Rate
    weight_decay: Decay

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
    """The section as written: six fields may say `tuned`, and then the study chooses them."""

    head_block: OrTuned[HeadBlock]
    fine_tune_blocks: OrTuned[Depth]
    dropout: OrTuned[Fraction]
    head_penalty: OrTuned[Rate] | None
    learning_rate: OrTuned[Rate]
    weight_decay: OrTuned[Decay]

    def tuned(self) -> tuple[str, ...]:
        """Names of the fields that say `tuned`."""
        return tuple(name for name, value in self if value == TUNED)

    def resolve(self, values: Values) -> TrainParams:
        """Fill in the tuned fields; a value written in params.yaml wins.

        Args:
            values: field name to value; others than the tuned fields are ignored.

        Raises:
            ValueError: a tuned field has no value, or a value does not fit.
        """
        missing = [name for name in self.tuned() if name not in values]
        if missing:
            raise ValueError(
                f"train.{', train.'.join(missing)}: tuned, but the study chose no value; "
                "run `dvc repro tune`, or give a value"
            )
        chosen = {name: values[name] for name in self.tuned()}
        try:
            return TrainParams.model_validate(self.model_dump() | chosen)
        except ValidationError as error:
            problems = (
                f"{'.'.join(['train', *map(str, problem['loc'])])}: {problem['msg']}"
                for problem in error.errors()
            )
            raise ValueError("; ".join(problems)) from error


def filled(flat: Mapping[str, str], values: Values) -> dict[str, str]:
    """Run parameters (`train.learning_rate` to text) with `tuned` replaced by the tuned value."""
    chosen = {f"train.{name}": str(value) for name, value in values.items()}
    return {key: chosen.get(key, text) if text == TUNED else text for key, text in flat.items()}
