"""Section `calibrate` of params.yaml, and what it leads to."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field

from brain_tumor.atomic import read_artefact
from brain_tumor.params import Section

HALF = 0.5  # threshold without a target


class CalibrateParams(Section):
    """How temperature and operating threshold are found.

    Attributes:
        sensitivity: the threshold is the highest with at least this sensitivity on out-of-fold
            predictions; None: the threshold is 0.5.
    """

    sensitivity: Annotated[float, Field(gt=0.0, lt=1.0)] | None


class OperatingPoint(Section):
    """How a network's probabilities become calibrated ones and calls.

    Attributes:
        temperature: the logit is divided by it.
        threshold: of calibrated probability, from which an image is called a tumour.
        sensitivity: the target it meets on out-of-fold predictions; None: no target.
        images: how many out-of-fold predictions it rests on.
        folds: in how many folds they were made; 1: they are of the validation split.
    """

    temperature: float = Field(gt=0.0, allow_inf_nan=False)
    threshold: float = Field(ge=0.0, le=1.0)
    sensitivity: float | None
    images: int
    folds: int

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read calibration.json.

        Raises:
            ValueError: it is missing or not such a file.
        """
        return read_artefact(path, cls, "run `dvc repro calibrate`")
