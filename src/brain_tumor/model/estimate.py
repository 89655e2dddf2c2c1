"""A figure with its interval, and how the interval is found."""

from dataclasses import dataclass

from pydantic import Field

from brain_tumor.params import Section

CONFIDENCE = 0.95


class EvaluateParams(Section):
    """Section `evaluate` of params.yaml.

    Attributes:
        seed: seed of the bootstrap.
        bootstrap_resamples: how many times the groups are resampled.
    """

    seed: int = Field(ge=0)
    bootstrap_resamples: int = Field(ge=20)


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95 % interval; no interval (None) on training figures."""

    value: float
    low: float | None = None
    high: float | None = None

    def as_dict(self) -> dict[str, float]:
        """`value`, `low` and `high`, without those that are missing."""
        fields = {"value": self.value, "low": self.low, "high": self.high}
        return {name: value for name, value in fields.items() if value is not None}
