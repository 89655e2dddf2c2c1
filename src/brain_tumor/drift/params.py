"""Section `drift` of params.yaml."""

from pydantic import Field

from brain_tumor.params import Section


class DriftParams(Section):
    """When new images count as unlike the champion's; meanings stand in params.yaml."""

    alpha: float = Field(default=0.01, gt=0, lt=1)
    min_effect: float = Field(default=0.2, ge=0, le=1)
    min_clusters: int = Field(default=10, ge=2)
    neighbours: int = Field(default=5, ge=1)
    permutations: int = Field(default=9999, ge=99)
    seed: int = Field(default=0, ge=0)
