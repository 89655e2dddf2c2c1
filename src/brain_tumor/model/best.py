"""best.json: what a study chose, as stage train reads it."""

from pathlib import Path
from typing import Self

from pydantic import Field

from brain_tumor.atomic import read_artefact
from brain_tumor.params import Section


class Best(Section):
    """The best trial of a study; empty where there was nothing to tune.

    Attributes:
        study: the study's name.
        trial: the trial's number.
        objective: what `value` is: `log_loss` or `auroc`, on validation.
        value: of that trial.
        params: its hyperparameters.
        complete: trials that ran to their end.
        pruned: trials that were stopped early.
    """

    study: str | None = None
    trial: int | None = None
    objective: str | None = None
    value: float | None = None
    params: dict[str, float | int] = Field(default_factory=dict)
    complete: int = 0
    pruned: int = 0

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read best.json.

        Raises:
            ValueError: it is missing or not such a file.
        """
        return read_artefact(path, cls, "run `dvc repro tune`")

    def tags(self) -> dict[str, str]:
        """What the run of the training says of the study; nothing without one."""
        if self.study is None:
            return {}
        return {"study": self.study, "study.trial": str(self.trial)}
