"""Bytes of an image to the result of each slice: probability, label, heat map, doubts."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import read_artefact
from brain_tumor.imaging.grey import DecodeError
from brain_tumor.imaging.preprocess import TURNED_DEG, Record, preprocess_grey
from brain_tumor.imaging.read import read_slices
from brain_tumor.imaging.statistics import image_statistics
from brain_tumor.inference.bundle import FAMILIARITY_FILE, PREPROCESS_FILE, check, is_aligned_alike
from brain_tumor.inference.engine import NETWORKS, Engine, EngineName, load_engine
from brain_tumor.inference.familiarity import Familiarity, reasons
from brain_tumor.machine import spread
from brain_tumor.model.calibration import calibrate
from brain_tumor.model.saved import META_FILE, ModelMeta, load_meta
from brain_tumor.settings import PreprocessParams

SLICES = 3  # of a volume, by default


@dataclass(frozen=True)
class Prepared:
    """A slice, ready for the network.

    Attributes:
        slice: its name in a file of several; empty where there is one.
        grey: as read, uint8 (H, W).
        image: the network's input, uint8 (size, size).
        record: how `grey` became `image`.
        statistics: see `imaging.statistics.ImageStatistics`.
        notes: what its file says against it.
    """

    slice: str
    grey: NDArray[np.uint8]
    image: NDArray[np.uint8]
    record: Record
    statistics: dict[str, float]
    notes: tuple[str, ...]


def prepare(data: bytes, params: PreprocessParams, slices: int = SLICES) -> list[Prepared]:
    """Read a whole file (see `read_slices`) and preprocess its slices as the pipeline does.

    `slices` is how many middle slices of a volume, or pages of a file, are taken at most.

    Raises:
        DecodeError: the bytes are no image that can be read.
    """
    prepared = []
    for part in read_slices(data, slices):
        normal = preprocess_grey(part.grey, params)
        row = image_statistics(normal.image, normal.record, len(data)).row()
        prepared.append(
            Prepared(part.name, part.grey, normal.image, normal.record, row, part.notes)
        )
    return prepared


def _prepare_numbered(
    params: PreprocessParams, slices: int, file: tuple[int, bytes]
) -> list[Prepared]:
    """`prepare` a file of several.

    Raises:
        UserError: it cannot be read; the message holds its index.
    """
    index, data = file
    try:
        return prepare(data, params, slices)
    except DecodeError as error:
        raise UserError(f"image {index}: {error}") from error


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
        plane: axial, coronal or sagittal, as the alignment takes it; empty where there is no brain.
        aligned: the alignment is trusted; if not, the whole head was shown to the network.
        alignment: probability that the alignment is right, 0 to 1; see `Record.confidence`.
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
    plane: str
    aligned: bool
    alignment: float
    warnings: tuple[str, ...]
    engine: str
    model: str

    def row(self) -> dict[str, Any]:
        """The fields as a row of a table; warnings in one text."""
        return asdict(self) | {"warnings": "; ".join(self.warnings)}


@dataclass(frozen=True)
class SliceResult:
    """The prediction of a slice with the pictures it can be shown on.

    Attributes:
        prediction: what the model says.
        prepared: the slice as read and as the network sees it.
        contributions: float32 (h, w): what each place and its neighbours add to the logit, before
            calibration, beside what they add in an empty picture (see `Explanation`).
        stride_px: pixels of the network's input between neighbouring places, which are centred on
            it.
    """

    prediction: Prediction
    prepared: Prepared
    contributions: NDArray[np.float32]
    stride_px: int


_BATCH = 32  # images preprocessed and held at a time


@dataclass(frozen=True)
class Classifier:
    """A trained network with the preprocessing it was trained behind.

    Attributes:
        engine: runs the network.
        meta: what the network is; holds threshold and temperature.
        preprocess: section `preprocess` of the training.
        familiarity: tells images unlike the training images.
        model: name and version, for its answers.
    """

    engine: Engine
    meta: ModelMeta
    preprocess: PreprocessParams
    familiarity: Familiarity
    model: str

    @classmethod
    def load(
        cls,
        folder: Path,
        engine: EngineName = "keras",
        model: str = "unregistered",
        threads: int | None = None,
    ) -> "Classifier":
        """Load from a bundle folder (see `inference.bundle`).

        `engine` and `threads` are those of `load_engine`; answers name `model`.

        Raises:
            UserError: a file is missing, unreadable or not the one that was registered, or the
                model was trained with another network that finds the brain.
        """
        check(folder, (NETWORKS[engine], META_FILE, PREPROCESS_FILE, FAMILIARITY_FILE))
        if not is_aligned_alike(folder):
            raise UserError(
                f"{folder}: the model was trained with another network that finds the brain than "
                "this version of brain-tumor has; the code that fits is the model's folder `code`"
            )
        return cls(
            engine=load_engine(folder, engine, threads),
            meta=load_meta(folder),
            preprocess=read_artefact(folder / PREPROCESS_FILE, PreprocessParams),
            familiarity=Familiarity.load(folder / FAMILIARITY_FILE),
            model=model,
        )

    def predict(self, images: Sequence[bytes], slices: int = SLICES) -> list[list[Prediction]]:
        """Predict files (JPEG, PNG, DICOM, NIfTI, … as `prepare` takes them).

        Returns:
            For each file a prediction for each of its slices; a picture has one.

        Raises:
            UserError: one cannot be read; the message holds its index.
        """
        predictions = []
        for start in range(0, len(images), _BATCH):
            batch = enumerate(images[start : start + _BATCH], start)
            files = [_prepare_numbered(self.preprocess, slices, file) for file in batch]
            results = iter(self.judge([part for file in files for part in file]))
            predictions += [[next(results).prediction for _ in file] for file in files]
        return predictions

    def examine(self, data: bytes, slices: int = SLICES) -> list[SliceResult]:
        """All there is to say of one file, a result per slice.

        Raises:
            DecodeError: it cannot be read.
        """
        return self.judge(prepare(data, self.preprocess, slices))

    def judge(self, prepared: Sequence[Prepared]) -> list[SliceResult]:
        """What the model says of slices that are prepared, in their order."""
        if not prepared:
            return []
        seen = self.engine.see(np.stack([part.image for part in prepared]))
        statistics = pd.DataFrame([part.statistics for part in prepared])
        unlike = self.familiarity.parts(seen.features, statistics)
        stride = self.meta.stride_px
        values = calibrate(seen.probability, self.meta.temperature)
        return [
            SliceResult(self._prediction(part, float(value), scores), part, contributions, stride)
            for part, value, scores, contributions in zip(
                prepared, values, unlike, seen.contributions, strict=True
            )
        ]

    def describe(self, images: Sequence[bytes]) -> tuple[list[dict[str, float]], np.ndarray]:
        """See `describe`; `tracking/alone.py` calls it by this name in models of any age."""
        return describe(self.engine, self.preprocess, images)

    def _prediction(
        self, part: Prepared, probability: float, unlike: NDArray[np.float64]
    ) -> Prediction:
        threshold, score = self.meta.threshold, float(unlike.max())
        record = part.record
        unaligned = (
            [f"its brain could not be aligned ({record.fallback}): the whole head was judged"]
            if record.fallback
            else []
        )
        turned = (
            [f"turned by {abs(record.rotation_deg):.0f} degrees: it was judged upright"]
            if abs(record.rotation_deg) > TURNED_DEG
            else []
        )
        return Prediction(
            slice=part.slice,
            probability=probability,
            label="yes" if probability >= threshold else "no",
            threshold=threshold,
            calibrated=self.meta.temperature is not None,
            out_of_distribution=score > 1,
            ood_score=score,
            plane=record.plane,
            aligned=bool(record.plane) and not record.fallback,
            alignment=record.confidence,
            warnings=(*reasons(unlike), *unaligned, *turned, *part.notes),
            engine=self.engine.name,
            model=self.model,
        )


def describe(
    engine: Engine, params: PreprocessParams, images: Sequence[bytes]
) -> tuple[list[dict[str, float]], np.ndarray]:
    """What encoded pictures look like to a network, as a model's profile has it (`Profile`).

    Returns:
        A row of statistics per picture, `probability` (not calibrated) among them, and the
        features, float32 (pictures, channels).

    Raises:
        UserError: one cannot be read; the message holds its index.
    """
    read = partial(_prepare_numbered, params, 1)
    parts = [file[0] for file in spread(read, list(enumerate(images)), "describe")]
    pixels = np.array([part.image for part in parts], np.uint8)
    seen = engine.see(pixels.reshape(-1, params.size_px, params.size_px))
    rows = [
        part.statistics | {"probability": float(value)}
        for part, value in zip(parts, seen.probability, strict=True)
    ]
    return rows, seen.features
