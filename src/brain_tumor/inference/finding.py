"""What the model says of a slice, and what it says it from."""

from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from brain_tumor.inference.prepare import Prepared

Label = Literal["yes", "no"]


@dataclass(frozen=True)
class Prediction:
    """What the model says of a slice.

    Attributes:
        slice: which of a volume or a file of several pictures; empty where there is one.
        probability: of a tumour, 0 to 1.
        label: `yes` from the threshold up, else `no`.
        threshold: the one stored with the model.
        calibrated: whether a stored temperature went into the probability.
        out_of_distribution: the slice is unlike the training images; the rest means little then.
        ood_score: how unlike, from 0; flagged above 1.
        warnings: what a reader should know of this slice, in plain words; often empty.
        engine: what ran the network: `keras` or `onnxruntime`.
        model: name and version, as `brain-tumor-inceptionv3 version 3`.
    """

    slice: str
    probability: float
    label: Label
    threshold: float
    calibrated: bool
    out_of_distribution: bool
    ood_score: float
    warnings: tuple[str, ...]
    engine: str
    model: str

    def row(self) -> dict[str, Any]:
        """The fields as a row of a table; warnings in one text."""
        return asdict(self) | {"warnings": "; ".join(self.warnings)}


@dataclass(frozen=True)
class Finding:
    """A prediction with the pictures it can be shown on.

    Attributes:
        prediction: what the model says.
        prepared: the slice as read and as the network sees it.
        contributions: float32 (h, w): what each place and its neighbours add to the logit, before
            calibration, beside what they add in an empty picture (see `explanation.Seen`).
        stride_px: pixels of the network's input between neighbouring places, which are centred on
            it.
    """

    prediction: Prediction
    prepared: Prepared
    contributions: NDArray[np.float32]
    stride_px: int
