"""Section `export` of params.yaml."""

from pydantic import Field

from brain_tumor.params import Section


class ExportParams(Section):
    """When an image counts as unlike the training images; meanings stand in params.yaml."""

    false_alarm_fraction: float = Field(default=0.05, gt=0, lt=0.5)
    folds: int = Field(default=10, ge=2)
