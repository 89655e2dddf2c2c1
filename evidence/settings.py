"""evidence/params.yaml, typed."""

from pydantic import Field

from brain_tumor.settings import Section, SplitCounts, SplitFractions, SplitParams, TrainParams


class HeadlineParams(Section):
    """Repeated, nested, group-disjoint cross-validation of the whole recipe.

    Attributes:
        repeats: how many times the images are assigned to outer folds; a repeat's number is the
            seed of the assignment and is added to the recipe's own seeds.
        folds: outer folds of a repeat.
    """

    repeats: int = Field(ge=1)
    folds: int = Field(ge=2)


class PaperParams(Section):
    """The protocol of Kim & Ye 2019 over several seeds.

    Attributes:
        seeds: how many; seed s draws the division and starts the training.
        paper_step_px: side of the intermediate picture in preprocessing, pixels.
        counts: images of each class in val and test; the rest trains.
        train: the training; its seed is added to that of the division.
    """

    seeds: int = Field(ge=1)
    paper_step_px: int = Field(ge=16)
    counts: SplitCounts
    train: TrainParams

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
    """How explanations are tested.

    Attributes:
        seed: of phantoms (apart from those that train), random networks, noise and bootstrap.
        pairs: patients; each gives a slice with its tumour and the same slice without.
        random_networks: of each kind of randomised network; their scores are averaged.
        chance_draws: noise maps per phantom; their scores are averaged.
        bootstrap_resamples: how many times patients are resampled for an interval.
    """

    seed: int = Field(ge=0)
    pairs: int = Field(ge=3)
    random_networks: int = Field(ge=1)
    chance_draws: int = Field(ge=1)
    bootstrap_resamples: int = Field(ge=20)
