"""Section `robustness` of evidence/params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from brain_tumor.evidence.degrade import Kind
from brain_tumor.settings import Section

Level = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Levels = Annotated[tuple[Level, ...], Field(strict=False, min_length=1)]  # YAML has lists
Quality = Annotated[int, Field(ge=1, le=95)]
Qualities = Annotated[tuple[Quality, ...], Field(strict=False, min_length=1)]


class RobustnessParams(Section):
    """How pictures are degraded, mild to strong; what the levels mean stands in `degrade`."""

    seed: int = Field(ge=0)
    noise: Levels
    blur: Levels
    contrast: Levels
    rotation: Levels
    jpeg: Qualities

    @model_validator(mode="after")
    def _levels_once(self) -> Self:
        for kind, levels in self.by_kind().items():
            if len(set(levels)) < len(levels):
                raise ValueError(f"{kind} names a level twice: {list(levels)}")
        return self

    def by_kind(self) -> dict[Kind, tuple[float, ...]]:
        """The levels of each kind of degradation."""
        return {
            "noise": self.noise,
            "blur": self.blur,
            "contrast": self.contrast,
            "rotation": self.rotation,
            "jpeg": self.jpeg,
        }
