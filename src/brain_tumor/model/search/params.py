"""Section `tune` of params.yaml: what is searched, how long and how."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brain_tumor.model.shapes import LAST_BLOCK
from brain_tumor.params import Section

TUNABLE = (
    "head_block", "fine_tune_blocks", "head_penalty", "learning_rate", "weight_decay", "dropout",
)  # fmt: skip

Finite = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Natural = Annotated[int, Field(ge=0)]
Positive = Annotated[int, Field(ge=1)]


class FloatRange(Section):
    """An interval with both ends; with `log` its logarithm is searched evenly."""

    low: Finite
    high: Finite
    log: bool

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high)
        if self.log and self.low <= 0:
            raise ValueError(f"log needs low > 0, received low {self.low:g}")
        return self


class IntRange(Section):
    """Whole numbers from low to high, both included."""

    low: Natural
    high: Natural

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        _require_order(self.low, self.high)
        return self


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
        if self.learning_rate.low <= 0:
            raise ValueError(
                f"learning_rate.low must exceed 0, received {self.learning_rate.low:g}"
            )
        if self.head_penalty.low <= 0:
            raise ValueError(f"head_penalty.low must exceed 0, received {self.head_penalty.low:g}")
        if self.dropout.high >= 1:
            raise ValueError(f"dropout.high must be below 1, received {self.dropout.high:g}")
        if self.head_block.high > LAST_BLOCK:
            raise ValueError(
                f"head_block.high must be within 0..{LAST_BLOCK}, received {self.head_block.high}"
            )
        return self


class TuneParams(Section):
    """How the search is done; meanings and units stand in params.yaml."""

    seed: Natural
    n_trials: Positive
    timeout_s: Annotated[float, Field(gt=0.0, allow_inf_nan=False)] | None
    objective: Literal["log_loss", "auroc"]
    folds: Positive
    pruner: Literal["median", "none"]
    startup_trials: Positive
    space: Space


def _require_order(low: float, high: float) -> None:
    if low > high:
        raise ValueError(f"low must not exceed high, received low {low:g} and high {high:g}")
