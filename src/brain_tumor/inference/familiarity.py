"""How unlike what it was trained on an image is.

The network's pooled features z of the training images and of the phantoms that train beside them
(each channel centred and divided by its standard deviation) are taken for one Gaussian cloud, and a
picture lies as far from them as its Mahalanobis distance says (Lee et al. 2018, arXiv:1807.03888;
here one cloud, not one a class: the flag is not to depend on the answer):

    d^2 = z' C^-1 z,   C = (1 - s) S + s v I

S is the covariance of all that trained, v its mean variance, and s how far it is shrunk towards a
round cloud, as it must be with more channels than images (Ledoit & Wolf 2004, J. Multivariate
Analysis 88:365). The phantoms are of all planes and many contrasts: without them a coronal slice is
unlike the training images where these are axial. There is a second measure: how far the confidence
of the alignment falls short of the training images' median. A picture without a brain, or with
little of it, is unlike them too.

Each measure is divided by its limit, and the larger quotient is the score: above 1 a picture is
flagged. Limits are to hold for images the cloud was not made from, so the training images are
parted into folds of whole clusters (copies, slices of one patient), and each fold is measured
against the cloud of the others and the phantoms; `false_alarm_fraction` of the images lie above one
limit or the other. The network itself was trained on all of them: it may have drawn them closer
together than new ones, and ordinary new images are then flagged more often than that.
"""

import io
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.errors import UserError
from brain_tumor.files import reading, replacing
from brain_tumor.settings import ExportParams

Floats = NDArray[np.float64]

MIN_CLUSTERS = 4


@dataclass(frozen=True)
class Cloud:
    """A Gaussian of shrunk covariance (1 - s) S + s v I, by the principal axes of S.

    Attributes:
        centre: mean of each channel, float64 (channels,).
        scale: what each channel is divided by, float64 (channels,).
        axes: orthonormal rows, float32 (rank, channels).
        variances: along the axes, shrunk, float64 (rank,).
        rest: variance in all other directions, float64 ().
    """

    centre: Floats
    scale: Floats
    axes: NDArray[np.float32]
    variances: Floats
    rest: Floats

    def distance(self, points: NDArray[np.float32]) -> Floats:
        """Mahalanobis distance of points (N, channels), over the root of the channels' number.

        Raises:
            UserError: another number of channels.
        """
        if points.shape[1] != len(self.centre):
            raise UserError(
                f"{points.shape[1]} features an image, {len(self.centre)} at the fit: "
                "they come from another network"
            )
        distances = [self._distance(part) for part in _in_blocks(points)]
        return np.concatenate(distances)

    def _distance(self, points: NDArray[np.float32]) -> Floats:
        z = (points.astype(np.float64) - self.centre) / self.scale
        along = z @ self.axes.T.astype(np.float64)
        off = np.maximum((z**2).sum(axis=1) - (along**2).sum(axis=1), 0.0)
        squared = (along**2 / self.variances).sum(axis=1) + off / float(self.rest)
        return np.asarray(np.sqrt(squared / points.shape[1]))


def fit_cloud(points: NDArray[np.float32]) -> Cloud:
    """The cloud of points, float (N, channels), N at least 2.

    A channel that hardly varies keeps a tenth of the median standard deviation as its scale, so
    that it does not decide alone.
    """
    from sklearn.covariance import ledoit_wolf_shrinkage

    z = points.astype(np.float64)
    centre, variance = z.mean(axis=0), z.var(axis=0)
    scale = np.sqrt(np.maximum(variance, max(float(np.median(variance)) / 100, 1e-24)))
    z -= centre  # in place: of 60,000 images a copy takes 400 MB to 1 GB
    z /= scale
    shrunk = float(ledoit_wolf_shrinkage(z, assume_centered=True))
    lengths, axes = _principal_axes(z)
    round_ = shrunk * float((z**2).sum()) / z.size
    variances = (1 - shrunk) * lengths**2 / len(z) + round_
    floor = max(round_, 1e-12)
    return Cloud(
        centre, scale, axes.astype(np.float32), np.maximum(variances, floor), np.asarray(floor)
    )


_AT_ONCE = 4096  # rows


def _in_blocks(rows: NDArray[Any]) -> list[NDArray[Any]]:
    """Views of so many rows that intermediate results are small; one at least."""
    return np.array_split(rows, range(_AT_ONCE, len(rows), _AT_ONCE))


def _principal_axes(z: Floats) -> tuple[Floats, Floats]:
    """Singular values (rank,) and right singular vectors (rank, channels) of z (N, channels).

    Blocks of rows are replaced by the triangle of their QR decomposition, which has the same.
    """
    first, *others = _in_blocks(z)
    for block in others:
        first = np.concatenate([np.linalg.qr(first, mode="r"), block])
    _, lengths, axes = np.linalg.svd(first, full_matrices=False)
    return lengths, axes


def held_out_distance(
    points: NDArray[np.float32],
    clusters: NDArray[np.str_],
    folds: int,
    others: NDArray[np.float32] | None = None,
) -> Floats:
    """Distance of each point from the cloud of those it has nothing to do with, float64 (N,).

    Points (N, channels) are parted into folds; a cluster, named for each point, is never divided.
    `others` (M, channels) belong to the cloud of every fold.

    Raises:
        UserError: `clusters` has another length, or names too few.
    """
    names, cluster = np.unique(clusters, return_inverse=True)
    if len(clusters) != len(points) or len(names) < MIN_CLUSTERS:
        raise UserError(
            f"{len(points)} training images, clusters named for {len(clusters)}, {len(names)} "
            f"different clusters: at least {MIN_CLUSTERS} are needed to tell what is unlike them"
        )
    fold = cluster % min(folds, len(names))
    distance = np.zeros(len(points))
    for number in np.unique(fold):
        cloud = fit_cloud(_with(others, points[fold != number]))
        distance[fold == number] = cloud.distance(points[fold == number])
    return distance


def _with(others: NDArray[np.float32] | None, points: NDArray[np.float32]) -> NDArray[np.float32]:
    return points if others is None else np.concatenate([points, others])


CONFIDENCE = "confidence"  # column of the statistics
_LEAST_FALL = 1e-6  # of confidence that may be a limit, where all training images have the same
# What to say of a picture that is above each limit.
REASONS = (
    "it is unlike the images the model was trained on, so the probability means little",
    "its brain is aligned less surely than theirs: does it show a brain, and enough of it?",
)


@dataclass(frozen=True)
class Familiarity:
    """The training images as a measure of others.

    Attributes:
        cloud: their features, and those of the phantoms that trained beside them.
        distance_limit: distance from the cloud that scores 1.
        confidence_median: of the confidence of their alignment.
        fall_limit: how far below that median scores 1.
    """

    cloud: Cloud
    distance_limit: float
    confidence_median: float
    fall_limit: float

    @classmethod
    def fit(
        cls,
        features: NDArray[np.float32],
        statistics: pd.DataFrame,
        clusters: NDArray[np.str_],
        params: ExportParams,
        phantoms: NDArray[np.float32] | None = None,
    ) -> "Familiarity":
        """Learn what the training images look like, and nothing of others.

        Features are the network's, (images, channels); statistics have the fields of
        `ImageStatistics`, a row per image; a cluster is named for each image. Features of the
        `phantoms` that train, (phantoms, channels), belong to the cloud and set no limit.

        Raises:
            ValueError: tables that do not match, values that are not finite, or too few clusters.
        """
        confidence = _checked(features, statistics)
        median = float(np.median(confidence))
        measured = [
            held_out_distance(features, clusters, params.folds, phantoms),
            np.maximum(median - confidence, 0.0),
        ]
        limits = [max(_quantile(values, params), _LEAST_FALL) for values in measured]
        larger = np.max([values / limit for values, limit in zip(measured, limits, strict=True)], 0)
        # Above 1 where other images exceed the one limit than the other; 0 where all are the same.
        both = _quantile(larger, params) or 1.0
        cloud = fit_cloud(_with(phantoms, features))
        return cls(cloud, limits[0] * both, median, limits[1] * both)

    def parts(self, features: NDArray[np.float32], statistics: pd.DataFrame) -> Floats:
        """Both measures over their limits, float64 (N, 2): distance and lack of confidence.

        Raises:
            ValueError: tables that do not match each other or the training images, or values that
                are not finite.
        """
        fall = np.maximum(self.confidence_median - _checked(features, statistics), 0.0)
        distance = self.cloud.distance(features)
        return np.stack([distance / self.distance_limit, fall / self.fall_limit], axis=1)

    def score(self, features: NDArray[np.float32], statistics: pd.DataFrame) -> Floats:
        """The larger of `parts`, float64 (N,): pictures above 1 are flagged."""
        return np.asarray(self.parts(features, statistics).max(axis=1))

    def save(self, path: Path) -> None:
        """Write it; the same content gives the same bytes (numpy dates entries 1980)."""
        arrays = vars(self.cloud) | {name: getattr(self, name) for name in _NUMBERS}
        with replacing(path) as aside, aside.open("wb") as file:
            np.savez_compressed(file, **arrays)

    @classmethod
    def load(cls, path: Path) -> "Familiarity":
        """Read what `save` wrote.

        Raises:
            UserError: the file is missing or holds something else.
        """
        with reading(path, "run `dvc repro export`"):
            content = io.BytesIO(path.read_bytes())  # NumPy leaves a file open that is no archive
            with np.load(content, allow_pickle=False) as stored:
                cloud = Cloud(**{field.name: stored[field.name] for field in fields(Cloud)})
                return cls(cloud, **{name: float(stored[name]) for name in _NUMBERS})


_NUMBERS = tuple(field.name for field in fields(Familiarity) if field.name != "cloud")


def reasons(parts: Floats) -> tuple[str, ...]:
    """Why a picture with that row of `Familiarity.parts` is flagged; nothing where it is not."""
    return tuple(text for text, part in zip(REASONS, parts, strict=True) if part > 1)


def _quantile(values: Floats, params: ExportParams) -> float:
    """What a new value exceeds so often at most, if it is like these (conformal prediction's)."""
    rank = int(np.ceil((len(values) + 1) * (1 - params.false_alarm_fraction)))
    return float(np.sort(values)[min(rank, len(values)) - 1])


def _checked(features: NDArray[np.float32], statistics: pd.DataFrame) -> Floats:
    """The confidence of each alignment; all numbers are finite."""
    if features.ndim != 2 or len(statistics) != len(features) or CONFIDENCE not in statistics:
        raise ValueError(
            f"features {features.shape} and {len(statistics)} rows of statistics with columns "
            f"{list(statistics)}: (images, channels), a row each and '{CONFIDENCE}' are needed"
        )
    confidence = statistics[CONFIDENCE].to_numpy(np.float64)
    wrong = ~(np.isfinite(features).all(axis=1) & np.isfinite(confidence))
    if wrong.any():
        raise ValueError(
            f"image {int(np.argmax(wrong))}: features or '{CONFIDENCE}' are not finite"
        )
    return confidence
