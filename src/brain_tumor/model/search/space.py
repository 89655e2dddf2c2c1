"""A trial's hyperparameters, drawn from the search space."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from brain_tumor.settings import FloatRange, Space

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Drawn = Mapping[str, float | int]


def suggest(
    trial: "BaseTrial", space: Space, tuned: Callable[[Drawn], Sequence[str]]
) -> dict[str, float | int]:
    """Draw hyperparameters one after the other, but for those that would not act.

    A trial of depth 0, for example, has no learning rate.

    Args:
        trial: of a study of this space.
        space: the range of each.
        tuned: from what is drawn already to the names of all that are to be drawn, in order (see
            `TrainSection.tuned`).
    """
    drawn: dict[str, float | int] = {}
    while left := [name for name in tuned(drawn) if name not in drawn]:
        drawn[left[0]] = _suggest_one(trial, left[0], space)
    return drawn


def _suggest_one(trial: "BaseTrial", name: str, space: Space) -> float | int:
    span = getattr(space, name)
    if isinstance(span, FloatRange):
        return trial.suggest_float(name, span.low, span.high, log=span.log)
    return trial.suggest_int(name, span.low, span.high)
