"""Section `split` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brain_tumor.params import Section

Fraction = Annotated[float, Field(gt=0.0, lt=1.0)]
Count = Annotated[int, Field(ge=1)]
Kinship = Literal["duplicate", "patient"]
GroupBy = Annotated[tuple[Kinship, ...], Field(strict=False, min_length=1)]


class ClassCounts(Section):
    """Images of each class in one split."""

    no: Count
    yes: Count


class SplitCounts(Section):
    """Exact sizes; what is left goes to train and must be `train` where that is given."""

    val: ClassCounts = ClassCounts(no=18, yes=32)
    test: ClassCounts = ClassCounts(no=20, yes=20)
    train: ClassCounts | None = None


class SplitFractions(Section):
    """Approximate sizes as fractions of all groups; what is left goes to train."""

    val: Fraction = 0.2
    test: Fraction = 0.2


class SplitParams(Section):
    """How images are divided; meanings and units stand in params.yaml."""

    seed: int = 0
    group_by: Literal["none"] | GroupBy = ("duplicate", "patient")
    mode: Literal["fractions", "counts"] = "fractions"
    fractions: SplitFractions = SplitFractions()
    counts: SplitCounts = SplitCounts()

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
