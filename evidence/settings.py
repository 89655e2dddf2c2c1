"""What the study is made with and where it leaves it: evidence/params.yaml, typed, and paths.

Paths are relative to the repository, where the stages of the study run, too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import Field, model_validator

from brain_tumor.outputs import EVIDENCE, OUTPUTS
from brain_tumor.settings import (
    EvaluateParams,
    Natural,
    Positive,
    Section,
    SplitCounts,
    SplitFractions,
    SplitParams,
    TrainParams,
    read_sections,
)

PARAMS: Final = Path("evidence/params.yaml")
PAPER_IMAGES: Final = OUTPUTS / "evidence/paper_images"
SEEDS: Final = EVIDENCE / "paper"
SEEDS_OF_BLOCKS: Final = EVIDENCE / "paper_blocks"
FOLDS: Final = EVIDENCE / "folds"
FORMER_FOLDS: Final = EVIDENCE / "former"  # of the recipe before; made by no stage
SUMMARY: Final = EVIDENCE / "summary.json"
HEADLINE_PAGE: Final = EVIDENCE / "headline.md"
PAPER_PAGE: Final = EVIDENCE / "paper.md"
ERRORS: Final = EVIDENCE / "confident_errors.csv"
ERRORS_SHEET: Final = OUTPUTS / "evidence/confident_errors.png"  # real images: never under git
RELIABILITY: Final = EVIDENCE / "figures/reliability.svg"
BASELINES: Final = EVIDENCE / "figures/baselines.svg"
ACCURACY_BY_SEED: Final = EVIDENCE / "figures/paper.svg"
LOCALISATION: Final = EVIDENCE / "localisation.json"
LOCALISATION_TABLE: Final = EVIDENCE / "localisation.csv"
LOCALISATION_PAGE: Final = EVIDENCE / "localisation.md"
LOCALISATION_FIGURE: Final = EVIDENCE / "figures/localisation.svg"
OVERLAYS: Final = EVIDENCE / "figures/localisation.png"
ROBUSTNESS: Final = EVIDENCE / "robustness.json"
ROBUSTNESS_TABLE: Final = EVIDENCE / "robustness.csv"
ROBUSTNESS_PAGE: Final = EVIDENCE / "robustness.md"
ROBUSTNESS_FIGURE: Final = EVIDENCE / "figures/robustness.svg"
DEGRADED_PREDICTIONS: Final = EVIDENCE / "robustness_predictions.csv"


class HeadlineParams(Section):
    """Repeated, nested, group-disjoint cross-validation of the whole recipe."""

    repeats: Positive
    folds: int = Field(ge=2)


class PaperParams(Section):
    """The protocol of Kim & Ye 2019 over several seeds, with and without blocks that train."""

    seeds: Positive
    paper_step_px: int = Field(ge=16)
    counts: SplitCounts
    train: TrainParams
    top_blocks: Positive

    def with_top_blocks(self) -> Self:
        """The same where the top blocks train, too."""
        return self.model_copy(
            update={"train": self.train.model_copy(update={"fine_tune_blocks": self.top_blocks})}
        )

    def division(self, seed: int) -> SplitParams:
        """As published: every image on its own, whatever it is a copy of."""
        return SplitParams(
            seed=seed,
            group_by="none",
            mode="counts",
            counts=self.counts,
            fractions=SplitFractions(val=0.2, test=0.2),  # not used in this mode
        )


class LocalisationParams(Section):
    """How explanations are tested."""

    seed: Natural
    pairs: int = Field(ge=3)
    random_networks: Positive
    chance_draws: Positive
    bootstrap_resamples: int = Field(ge=20)

    def bootstrap(self) -> EvaluateParams:
        """Of the intervals over patients."""
        return EvaluateParams(seed=self.seed, bootstrap_resamples=self.bootstrap_resamples)


Level = Annotated[float, Field(ge=0.0, allow_inf_nan=False)]
Levels = Annotated[tuple[Level, ...], Field(strict=False, min_length=1)]  # YAML has lists
Quality = Annotated[int, Field(ge=1, le=95)]
Qualities = Annotated[tuple[Quality, ...], Field(strict=False, min_length=1)]


class RobustnessParams(Section):
    """How pictures are degraded, mild to strong; `robustness.degrade` has what levels mean."""

    seed: Natural
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

    def by_kind(self) -> dict[str, tuple[float, ...]]:
        """The levels of each kind of degradation."""
        return self.model_dump(exclude={"seed"})


@dataclass(frozen=True)
class StudySettings:
    """evidence/params.yaml: a field for each section. Meanings and units stand in the file."""

    headline: HeadlineParams
    paper: PaperParams
    summary: EvaluateParams
    localisation: LocalisationParams
    robustness: RobustnessParams


def read(path: Path = PARAMS) -> StudySettings:
    """Read the whole of evidence/params.yaml, as `brain_tumor.settings.read` does."""
    return read_sections(path, StudySettings)
