"""A figure with its interval, and how the interval is found."""

from dataclasses import dataclass

CONFIDENCE = 0.95


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
