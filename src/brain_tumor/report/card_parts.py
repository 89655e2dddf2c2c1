"""What a model card is made of."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from brain_tumor.settings import Section

Split = Literal["train", "val", "test"]
Texts = tuple[str, ...]
Count = Annotated[int, Field(ge=0)]
Probability = Annotated[float, Field(ge=0.0, le=1.0)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


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
        files: how many.
        distinct: of them, copies and near-copies counted once.
        patients: known ones; 0: nothing is known of patients.
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
    """How probabilities and calls come about; see `model.calibration_params`.

    Attributes:
        temperature: the logit is divided by it.
        threshold: probability from which an image is called a tumour.
        target_sensitivity: what the threshold was chosen for, on out-of-fold predictions; None: a
            threshold of one half.
        images: how many out-of-fold predictions both rest on.
    """

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
