"""Measure a new model and the champion on the same images and apply the rule."""

import tempfile
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from brain_tumor.dataset.training_images import TRAINING_IMAGES
from brain_tumor.outputs import OutputsError, StageOutputs
from brain_tumor.registry.baselines import against_guesses
from brain_tumor.registry.images import (
    Image,
    read_images,
    read_probabilities,
    read_training_hashes,
    unseen,
)
from brain_tumor.registry.promote import (
    Candidate,
    Decision,
    Guesses,
    decide,
    decide_first,
    figures,
    settled,
)
from brain_tumor.registry.versions import is_whole, trusted_versions
from brain_tumor.settings import RegisterParams
from brain_tumor.tracking import artifacts
from brain_tumor.tracking.models import Version

CHAMPION, CHALLENGER = "champion", "challenger"


@dataclass(frozen=True)
class Outcome:
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
) -> Outcome:
    """Decide whether `version`, the model of `outputs`, becomes the champion.

    Both are measured on the present val and test images without any that one of them was
    trained on, or that share a group with such an image. The new model's probabilities are those
    of stage evaluate; the champion predicts the raw files, with its own code, in a process of its
    own. Where there is no champion, or its files are gone, the model is measured against guesses
    that look at no picture (see `baselines`).

    Raises:
        ModelUnusableError: the champion cannot be run.
        OutputsError: raw images are needed and missing.
    """
    champion = champion_of(client, params.name)
    lost = None
    same = champion is not None and champion.digest == version.digest
    if champion is not None and not same and not is_whole(client, champion):
        lost, champion = champion.number, None
    challenger = _candidate(version)
    early = settled(challenger, _candidate(champion) if champion else None, params)
    if early:
        return Outcome(early, challenger)
    if champion is None:
        return _first(challenger, outputs, params, lost)
    return _measured(version, champion, outputs, params)


def _first(
    challenger: Candidate, outputs: StageOutputs, params: RegisterParams, lost: str | None
) -> Outcome:
    """`lost`: number of the champion whose files are gone, if there is one."""
    guesses = against_guesses(outputs)
    decision = decide_first(guesses, params)
    if lost is not None:
        gone = f"the files of champion {lost} are gone: {decision.reason}"
        decision = replace(decision, reason=gone)
    return Outcome(decision, challenger, champion_version=lost, guesses=guesses)


def _measured(
    version: Version, champion: Version, outputs: StageOutputs, params: RegisterParams
) -> Outcome:
    images = unseen(
        read_images(outputs.manifest, outputs.split), _trained(version) | _trained(champion)
    )
    known = read_probabilities(outputs.predictions)
    ours = {image.path: known[image.path] for image in images if image.path in known}
    images = [image for image in images if image.path in ours]
    theirs = _predict(champion, images, outputs.data)
    first = _scored(_candidate(version), version, images, ours, params)
    second = _scored(_candidate(champion), champion, images, theirs, params)
    return Outcome(decide(first, second, params), first, second, champion.number)


def _candidate(version: Version) -> Candidate:
    return Candidate(version.digest or "", version.tags.get("initial_weights", "unknown"))


def _trained(version: Version) -> set[str]:
    with tempfile.TemporaryDirectory() as folder:
        return read_training_hashes(artifacts.fetch(version, TRAINING_IMAGES, Path(folder)))


def _predict(version: Version, images: list[Image], data: Path) -> dict[str, float]:
    missing = next((image.path for image in images if not (data / image.path).is_file()), None)
    if missing:
        raise OutputsError(
            f"{data / missing}: missing, and the champion is measured on it; run `dvc pull`"
        )
    if not images:
        return {}
    predicted = artifacts.predict(version, [data / image.path for image in images])
    return {image.path: value for image, value in zip(images, predicted, strict=True)}


def _scored(
    candidate: Candidate,
    version: Version,
    images: list[Image],
    probability: dict[str, float],
    params: RegisterParams,
) -> Candidate:
    threshold = float(version.tags["threshold"])
    parts = {}
    for split in ("val", "test"):
        chosen = [image for image in images if image.split == split]
        truth = [image.is_yes for image in chosen]
        scores = [probability[image.path] for image in chosen]
        parts[split] = figures(truth, scores, threshold, params)
    return replace(candidate, val=parts["val"], test=parts["test"])


def _pair(outcome: Outcome, split: str) -> dict[str, Any] | None:
    ours = getattr(outcome.challenger, split)
    theirs = getattr(outcome.champion, split) if outcome.champion else None
    if ours is None or theirs is None:
        return None
    return {"this": asdict(ours), "champion": asdict(theirs)}
