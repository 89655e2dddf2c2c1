"""The contest of two models for champion, and of the first with guesses."""

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from brain_tumor.data.copies import grouped
from brain_tumor.data.metadata import metadata_classifier, metadata_features
from brain_tumor.data.training_images import TRAINING_IMAGES
from brain_tumor.errors import UserError
from brain_tumor.inference.bundle import DamagedError
from brain_tumor.model import metrics
from brain_tumor.model.metrics import CONFIDENCE, FIGURES, OutOfFold, Sample
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.versions import (
    Image,
    is_whole,
    open_model,
    read_images,
    read_probabilities,
    read_training_hashes,
    trusted_versions,
    unseen,
)
from brain_tumor.settings import EvaluateParams, RegisterParams
from brain_tumor.tracking import models
from brain_tumor.tracking.models import Version
from brain_tumor.tracking.signature import SignatureError

Alias = Literal["champion", "challenger"]
RANDOM = "random"  # initial weights that know nothing
FORCE = "`brain-tumor registry promote --force` makes it the champion all the same"
_ROUNDING = 1e-9  # figures are ratios of small counts: a difference of exactly `margin` is within


@dataclass(frozen=True)
class Figures:
    """A model on one set of images."""

    images_per_class: int  # of the rarer class
    metric: float  # `register.metric`, 0 to 1, higher is better
    log_loss: float  # mean binary cross-entropy in nats, lower is better


@dataclass(frozen=True)
class Candidate:
    """A model as the rule sees it; figures are None where they were not needed or had."""

    digest: str
    initial_weights: str
    val: Figures | None = None
    test: Figures | None = None


@dataclass(frozen=True)
class Gain:
    """What a model gains over a guess that looks at no picture."""

    log_loss: float  # of the guess, in nats
    value: float  # the guess's log loss minus the model's
    at_least: float  # that gain's lower bound, one-sided, with 95 % confidence

    @property
    def is_sure(self) -> bool:
        """Whether the model is better by more than chance."""
        return self.at_least > 0


@dataclass(frozen=True)
class Guesses:
    """A model on the validation images, beside guesses that look at no picture."""

    images_per_class: int  # of the rarer class
    log_loss: float  # of the model, in nats
    gains: Mapping[str, Gain]  # guess to what the model gains over it


@dataclass(frozen=True)
class Decision:
    """The alias a model gets and why."""

    alias: Alias
    reason: str


def figures(
    y_true: list[int], probability: list[float], threshold: float, params: RegisterParams
) -> Figures | None:
    """Figures of a model at its own threshold; None unless both classes (0 and 1) occur."""
    rarer = min(y_true.count(0), y_true.count(1))
    if rarer == 0:
        return None
    truth, scores = np.asarray(y_true, dtype=np.int64), np.asarray(probability, dtype=np.float64)
    if params.metric == "balanced_accuracy":
        value = metrics.balanced_accuracy(truth, scores, threshold)
    else:
        value = float(np.mean((scores >= threshold) == truth))
    return Figures(rarer, value, metrics.log_loss(truth, scores))


def settled(
    challenger: Candidate, champion: Candidate | None, params: RegisterParams
) -> Decision | None:
    """The decision where it needs no figures; None where it does."""
    if champion is not None and champion.digest == challenger.digest:
        return Decision("champion", "it is the champion already")
    if params.force:
        return Decision("champion", "register.force is set")
    if champion is None:
        return None
    if challenger.initial_weights == RANDOM != champion.initial_weights:
        return Decision(
            "challenger",
            "its initial weights are random, the champion's are "
            f"{champion.initial_weights} (register.force overrides)",
        )
    return None


def decide_first(guesses: Guesses | None, params: RegisterParams) -> Decision:
    """Whether a model becomes the champion where there is none.

    It does when, on validation, its log loss is lower than that of every guess that looks at no
    picture, each by more than chance. `guesses` is None where there are too few groups to measure.
    """
    if guesses is None:
        return Decision(
            "challenger",
            "there is no champion yet, and a class has fewer than two groups of training or "
            f"validation images to judge it by; {FORCE}",
        )
    if guesses.images_per_class < params.min_images_per_class:
        return Decision(
            "challenger",
            f"there is no champion yet, and only {guesses.images_per_class} validation images of "
            f"a class to judge it by, register.min_images_per_class is "
            f"{params.min_images_per_class}; {FORCE}",
        )
    unsure = {name: gain for name, gain in guesses.gains.items() if not gain.is_sure}
    beaten = " and ".join(_guess(name, gain) for name, gain in (unsure or guesses.gains).items())
    ours = f"its validation log loss {guesses.log_loss:.4f}"
    if unsure:
        return Decision(
            "challenger",
            f"there is no champion yet, but {ours} is not lower by more than chance than that of "
            f"{beaten}; {FORCE}",
        )
    return Decision(
        "champion",
        f"the first one, and {ours} is lower by more than chance than that of {beaten}",
    )


def _guess(name: str, gain: Gain) -> str:
    return (
        f"the {name.replace('_', ' ')} ({gain.log_loss:.4f}; gain {gain.value:.4f}, with 95 % "
        f"confidence at least {gain.at_least:.4f})"
    )


def decide(challenger: Candidate, champion: Candidate, params: RegisterParams) -> Decision:
    """Whether the challenger takes the champion's place.

    It does when, on images that neither was trained on, it is not worse by more than
    `register.margin` on test and has the lower log loss on validation. A model from random
    initial weights never displaces one from others. `register.force` overrides all that.
    """
    early = settled(challenger, champion, params)
    if early:
        return early
    if not (challenger.val and challenger.test and champion.val and champion.test):
        return Decision("challenger", "no images of both classes are left to compare on")
    fewest = min(challenger.val.images_per_class, challenger.test.images_per_class)
    if fewest < params.min_images_per_class:
        return Decision(
            "challenger",
            f"only {fewest} images of a class are left to compare on, "
            f"register.min_images_per_class is {params.min_images_per_class}",
        )
    ours, theirs = challenger.test.metric, champion.test.metric
    on_test = f"test {params.metric} {ours:.4f} against {theirs:.4f}"
    val, champion_val = challenger.val.log_loss, champion.val.log_loss
    on_val = f"validation log loss {val:.4f} against {champion_val:.4f}"
    if theirs - ours > params.margin + _ROUNDING:
        return Decision("challenger", f"worse by more than {params.margin:g}: {on_test}")
    if not val < champion_val:
        return Decision("challenger", f"no better on validation: {on_val}")
    return Decision("champion", f"better on validation ({on_val}), within the margin ({on_test})")


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
        UserError: a raw file is missing, or a probability.
    """
    images = read_images(outputs.manifest, outputs.split)
    cluster = dict(zip((image.path for image in images), _clusters(images), strict=True))
    train = [image for image in images if image.split == "train"]
    val = [image for image in images if image.split == "val"]
    fewest = [_fewest_groups(part, cluster) for part in (train, val)]
    if min(fewest) < 2:
        return None
    predicted = read_probabilities(outputs.predictions)
    share = float(np.mean([image.is_yes for image in train]))
    guesses = {
        "class_frequencies": np.full(len(val), share),
        "file_metadata": _from_metadata(
            train, [cluster[image.path] for image in train], val, outputs.data, fewest[0]
        ),
    }
    lacking = [image.path for image in val if image.path not in predicted]
    if lacking:
        raise UserError(
            f"{outputs.predictions}: has no row for {lacking[0]}; run `dvc repro evaluate`"
        )
    ours = _predicted(val, cluster, np.array([predicted[image.path] for image in val]))
    theirs = {name: _predicted(val, cluster, guess) for name, guess in guesses.items()}
    truth = ours.samples[0].y_true
    return Guesses(
        images_per_class=int(np.bincount(truth, minlength=2).min()),
        log_loss=_log_loss(ours),
        gains={name: _gain(ours, guess) for name, guess in theirs.items()},
    )


def _gain(ours: OutOfFold, guess: OutOfFold) -> Gain:
    log_loss = FIGURES["log_loss"]
    gains = np.concatenate(
        [
            guess.mean(log_loss, weights) - ours.mean(log_loss, weights)
            for weights in ours.draw(_BOOTSTRAP)
        ]
    )
    value = _log_loss(guess) - _log_loss(ours)
    return Gain(_log_loss(guess), value, float(np.quantile(gains, 1 - CONFIDENCE)))


def _log_loss(predicted: OutOfFold) -> float:
    return float(predicted.mean(FIGURES["log_loss"], np.ones((1, len(predicted.member))))[0])


def _predicted(
    images: Sequence[Image], cluster: Mapping[str, str], probability: NDArray[np.float64]
) -> OutOfFold:
    truth = np.array([image.is_yes for image in images], dtype=np.int64)
    names = np.array([cluster[image.path] for image in images])
    return OutOfFold.single(Sample(truth, probability, probability >= 0.5), names)


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
    reason = "a model without a champion to beat is measured against what such files give away"
    return pd.DataFrame([metadata_features(path) for path in _raw_files(images, data, reason)])


def _clusters(images: Sequence[Image]) -> list[str]:
    """Name of the cluster of each image: all that a shared group joins."""
    first: dict[str, int] = {}
    pairs = [
        (first.setdefault(group, index), index)
        for index, image in enumerate(images)
        for group in sorted(image.groups)
    ]
    return grouped([image.path for image in images], pairs)


def _fewest_groups(images: Sequence[Image], cluster: Mapping[str, str]) -> int:
    """Number of groups of the class that has fewer."""
    return min(
        len({cluster[image.path] for image in images if image.is_yes == is_yes})
        for is_yes in (0, 1)
    )


CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class ContestResult:
    """The decision and what it rests on; `as_dict` is what registered.json holds."""

    decision: Decision
    challenger: Candidate
    champion: Candidate | None = None
    champion_version: str | None = None
    guesses: Guesses | None = None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "alias": self.decision.alias,
            "reason": self.decision.reason,
            "champion_version": self.champion_version,
            "val": _pair(self, "val"),
            "test": _pair(self, "test"),
            "guesses": asdict(self.guesses) if self.guesses else None,
        }


def champion_of(client: Any, name: str) -> Version | None:
    """The version that holds the alias, if it is trusted."""
    listed = trusted_versions(client, name)
    return next((version for version in listed if CHAMPION in version.aliases), None)


def contest(
    client: Any, version: Version, outputs: StageOutputs, params: RegisterParams
) -> ContestResult:
    """Decide whether `version`, the model of `outputs`, becomes the champion.

    Both are measured on the present val and test images without any that one of them was
    trained on, or that share a group with such an image. The new model's probabilities are those
    of stage evaluate; the champion predicts the raw files, with its own code, in a process of its
    own. Where there is no champion, or its files are gone, the model is measured against guesses
    that look at no picture (see `against_guesses`).

    Raises:
        ModelUnusableError: the champion cannot be run.
        UserError: raw images are needed and missing.
    """
    champion = champion_of(client, params.name)
    lost = None
    same = champion is not None and champion.digest == version.digest
    if champion is not None and not same and not is_whole(client, champion):
        lost, champion = champion.number, None
    challenger = _candidate(version)
    early = settled(challenger, _candidate(champion) if champion else None, params)
    if early:
        return ContestResult(early, challenger)
    if champion is None:
        guesses = against_guesses(outputs)
        decision = decide_first(guesses, params)
        if lost is not None:
            reason = f"the files of champion {lost} are gone: {decision.reason}"
            decision = replace(decision, reason=reason)
        return ContestResult(decision, challenger, champion_version=lost, guesses=guesses)
    return _measured(version, champion, outputs, params)


def _measured(
    version: Version, champion: Version, outputs: StageOutputs, params: RegisterParams
) -> ContestResult:
    try:
        open_model(champion.uri)
    except (DamagedError, SignatureError) as error:
        raise models.ModelUnusableError(str(error)) from error
    images = unseen(
        read_images(outputs.manifest, outputs.split), _trained(version) | _trained(champion)
    )
    predicted = read_probabilities(outputs.predictions)
    ours = {image.path: predicted[image.path] for image in images if image.path in predicted}
    images = [image for image in images if image.path in ours]
    theirs = _predict(champion, images, outputs.data)
    first = _scored(version, images, ours, params)
    second = _scored(champion, images, theirs, params)
    return ContestResult(decide(first, second, params), first, second, champion.number)


def _candidate(version: Version) -> Candidate:
    return Candidate(version.digest or "", version.tags.get("initial_weights", "unknown"))


def _trained(version: Version) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        return read_training_hashes(models.fetch(version, TRAINING_IMAGES, Path(folder)))


def _predict(version: Version, images: list[Image], data: Path) -> dict[str, float]:
    files = _raw_files(images, data, "the champion is measured on it")
    predicted = models.predict(version, files) if files else []
    return {image.path: value for image, value in zip(images, predicted, strict=True)}


def _raw_files(images: Sequence[Image], data: Path, reason: str) -> list[Path]:
    """The files of images; raises `UserError` if one is missing, with the reason it is needed."""
    files = [data / image.path for image in images]
    for path in files:
        if not path.is_file():
            raise UserError(f"{path}: missing, and {reason}; run `dvc pull`")
    return files


def _scored(
    version: Version, images: list[Image], probability: dict[str, float], params: RegisterParams
) -> Candidate:
    threshold = float(version.tags["threshold"])
    parts = {}
    for split in ("val", "test"):
        chosen = [image for image in images if image.split == split]
        truth = [image.is_yes for image in chosen]
        scores = [probability[image.path] for image in chosen]
        parts[split] = figures(truth, scores, threshold, params)
    return replace(_candidate(version), val=parts["val"], test=parts["test"])


def _pair(result: ContestResult, split: str) -> dict[str, Any] | None:
    ours = getattr(result.challenger, split)
    theirs = getattr(result.champion, split) if result.champion else None
    if ours is None or theirs is None:
        return None
    return {"this": asdict(ours), "champion": asdict(theirs)}
