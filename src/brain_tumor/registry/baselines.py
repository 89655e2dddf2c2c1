"""What the first champion must beat on validation: two guesses that look at no picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.dataset.groups import grouped
from brain_tumor.dataset.metadata import metadata_classifier, metadata_features
from brain_tumor.model.metrics import CONFIDENCE, FIGURES, OutOfFold, Sample
from brain_tumor.outputs import OutputsError, StageOutputs
from brain_tumor.registry.images import Image, read_images, read_probabilities
from brain_tumor.registry.promote import Gain, Guesses
from brain_tumor.settings import EvaluateParams

SEED = 0
_BOOTSTRAP = EvaluateParams(seed=SEED, bootstrap_resamples=2000)
_FOLDS = 5  # of the training images, to calibrate the guess from file metadata


def against_guesses(outputs: StageOutputs) -> Guesses | None:
    """Compare the model of the outputs with guesses from what is known without a picture.

    Both guesses are fitted on the training split. `class_frequencies` gives every image the
    share of `yes` among them. `file_metadata` is a random forest on size, bytes, mode, format and
    EXIF, its probabilities calibrated out of fold (Platt 1999), so that it is not beaten merely
    for being too sure. All are measured on the validation images; a gain is the guess's log loss
    minus the model's, and `at_least` its one-sided 95 % bound from a paired bootstrap over
    groups. It repeats: the seed is fixed.

    Returns:
        The comparison; None where a class has fewer than two groups of training or validation
        images.

    Raises:
        OutputsError: a raw file is missing.
    """
    images = read_images(outputs.manifest, outputs.split)
    cluster = dict(zip((image.path for image in images), _clusters(images), strict=True))
    train = [image for image in images if image.split == "train"]
    val = [image for image in images if image.split == "val"]
    fewest = [_fewest_groups(part, [cluster[one.path] for one in part]) for part in (train, val)]
    if min(fewest) < 2:
        return None
    known = read_probabilities(outputs.predictions)
    share = float(np.mean([image.is_yes for image in train]))
    guesses = {
        "class_frequencies": np.full(len(val), share),
        "file_metadata": _from_metadata(
            train, [cluster[image.path] for image in train], val, outputs.data, fewest[0]
        ),
    }
    ours = _predicted(val, cluster, np.array([known[image.path] for image in val]))
    theirs = {name: _predicted(val, cluster, guess) for name, guess in guesses.items()}
    truth = ours.samples[0].y_true
    return Guesses(
        images_per_class=int(np.bincount(truth, minlength=2).min()),
        log_loss=_log_loss(ours),
        gains={name: _gain(ours, guess) for name, guess in theirs.items()},
    )


def _gain(ours: OutOfFold, guess: OutOfFold) -> Gain:
    weights = ours.draw(_BOOTSTRAP)
    log_loss = FIGURES["log_loss"]
    gains = guess.mean(log_loss, weights) - ours.mean(log_loss, weights)
    value = _log_loss(guess) - _log_loss(ours)
    return Gain(_log_loss(guess), value, float(np.quantile(gains, 1 - CONFIDENCE)))


def _log_loss(predicted: OutOfFold) -> float:
    return float(predicted.mean(FIGURES["log_loss"], np.ones((1, len(predicted.member))))[0])


def _predicted(
    images: Sequence[Image], cluster: Mapping[str, str], probability: NDArray[np.float64]
) -> OutOfFold:
    truth = np.array([image.is_yes for image in images], dtype=np.int64)
    names = np.array([cluster[image.path] for image in images])
    return OutOfFold.of_one(Sample(truth, probability, probability >= 0.5), names)


def _from_metadata(
    train: Sequence[Image], groups: Sequence[str], val: Sequence[Image], data: Path, fewest: int
) -> NDArray[np.float64]:
    """Probability of `yes` of the validation images by their files alone."""
    from sklearn.calibration import CalibratedClassifierCV
    from sklearn.model_selection import StratifiedGroupKFold

    truth = np.array([image.is_yes for image in train], dtype=np.int64)
    features = _features(train, data)
    folds = StratifiedGroupKFold(min(_FOLDS, fewest), shuffle=True, random_state=SEED)
    calibrated = CalibratedClassifierCV(
        metadata_classifier(SEED),
        method="sigmoid",
        cv=list(folds.split(features, truth, groups)),
        ensemble=False,
    )
    probability = calibrated.fit(features, truth).predict_proba(_features(val, data))
    return np.asarray(probability[:, 1], dtype=np.float64)


def _features(images: Sequence[Image], data: Path) -> pd.DataFrame:
    missing = next((image.path for image in images if not (data / image.path).is_file()), None)
    if missing:
        raise OutputsError(
            f"{data / missing}: missing, and a model without a champion to beat is measured "
            "against what such files give away; run `dvc pull`"
        )
    return pd.DataFrame([metadata_features(data / image.path) for image in images])


def _clusters(images: Sequence[Image]) -> list[str]:
    """Name of the cluster of each image: all that a shared group joins."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(group, index), index)
        for index, image in enumerate(images)
        for group in sorted(image.groups)
    ]
    return grouped([image.path for image in images], pairs)


def _fewest_groups(images: Sequence[Image], groups: Sequence[str]) -> int:
    """Number of groups of the class that has fewer."""
    of_class: tuple[set[str], set[str]] = (set(), set())
    for image, group in zip(images, groups, strict=True):
        of_class[image.is_yes].add(group)
    return min(len(names) for names in of_class)
