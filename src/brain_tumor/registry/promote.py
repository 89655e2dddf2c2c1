"""Who is the champion: a rule on figures, nothing else."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np

from brain_tumor.model import metrics
from brain_tumor.settings import RegisterParams

Alias = Literal["champion", "challenger"]
RANDOM = "random"  # initial weights that know nothing
FORCE = "`brain-tumor registry promote --force` makes it the champion all the same"
_ROUNDING = 1e-9  # figures are ratios of small counts: a difference of exactly `margin` is within


@dataclass(frozen=True)
class Figures:
    """A model on one set of images.

    Attributes:
        images_per_class: the number of images of the rarer class.
        metric: `register.metric`, 0 to 1, higher is better.
        log_loss: mean binary cross-entropy in nats, lower is better.
    """

    images_per_class: int
    metric: float
    log_loss: float


@dataclass(frozen=True)
class Candidate:
    """A model as the rule sees it; figures are None where they were not needed or had."""

    digest: str
    initial_weights: str
    val: Figures | None = None
    test: Figures | None = None


@dataclass(frozen=True)
class Gain:
    """What a model gains over a guess that looks at no picture.

    Attributes:
        log_loss: of the guess, in nats.
        value: the guess's log loss minus the model's.
        at_least: that gain's lower bound, one-sided, with 95 % confidence.
    """

    log_loss: float
    value: float
    at_least: float

    @property
    def is_sure(self) -> bool:
        """Whether the model is better by more than chance."""
        return self.at_least > 0


@dataclass(frozen=True)
class Guesses:
    """A model on the validation images, beside guesses that look at no picture.

    Attributes:
        images_per_class: the number of images of the rarer class.
        log_loss: of the model, in nats.
        gains: guess to what the model gains over it.
    """

    images_per_class: int
    log_loss: float
    gains: Mapping[str, Gain]


@dataclass(frozen=True)
class Decision:
    """The alias a model gets and why."""

    alias: Alias
    reason: str


def figures(
    y_true: list[int], probability: list[float], threshold: float, params: RegisterParams
) -> Figures | None:
    """Figures of a model; None unless both classes occur.

    Args:
        y_true: 0 or 1 for each image.
        probability: of 1, for each image.
        threshold: the model's own.
        params: says which metric.
    """
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
    picture, each by more than chance.

    Args:
        guesses: the model beside these guesses; None where there are too few groups to measure.
        params: section `register`.
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

    Args:
        challenger: the new model.
        champion: the present champion, measured on the same images.
        params: section `register`.
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
    return _compare(challenger.val, challenger.test, champion.val, champion.test, params)


def _compare(
    val: Figures,
    test: Figures,
    champion_val: Figures,
    champion_test: Figures,
    params: RegisterParams,
) -> Decision:
    on_test = f"test {params.metric} {test.metric:.4f} against {champion_test.metric:.4f}"
    on_val = f"validation log loss {val.log_loss:.4f} against {champion_val.log_loss:.4f}"
    if champion_test.metric - test.metric > params.margin + _ROUNDING:
        return Decision("challenger", f"worse by more than {params.margin:g}: {on_test}")
    if not val.log_loss < champion_val.log_loss:
        return Decision("challenger", f"no better on validation: {on_val}")
    return Decision("champion", f"better on validation ({on_val}), within the margin ({on_test})")
