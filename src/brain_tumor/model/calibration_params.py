"""What stage calibrate finds: calibration.json."""

from pathlib import Path
from typing import Self

from pydantic import Field

from brain_tumor.settings import Section

HALF = 0.5  # threshold without a target


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
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ValueError(f"{path}: not readable; run `dvc repro calibrate`: {error}") from error
