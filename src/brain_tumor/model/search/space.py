"""A trial's hyperparameters, drawn from the search space."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from brain_tumor.model.search.params import TUNABLE, FloatRange, Space

if TYPE_CHECKING:
    from optuna.trial import BaseTrial


def suggest(trial: "BaseTrial", space: Space, names: Collection[str]) -> dict[str, float | int]:
    """Draw the hyperparameters of those names, always in the order of `TUNABLE`.

    Args:
        trial: of a study of this space.
        space: what each may be.
        names: which ones the training does not fix.

    Raises:
        ValueError: a name is not tunable.
    """
    unknown = sorted(set(names) - set(TUNABLE))
    if unknown:
        raise ValueError(f"not tunable: {', '.join(unknown)}; tunable are {', '.join(TUNABLE)}")
    return {name: _suggest_one(trial, name, space) for name in TUNABLE if name in names}


def _suggest_one(trial: "BaseTrial", name: str, space: Space) -> float | int:
    span = getattr(space, name)
    if isinstance(span, FloatRange):
        return trial.suggest_float(name, span.low, span.high, log=span.log)
    return trial.suggest_int(name, span.low, span.high)
