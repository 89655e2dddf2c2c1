"""Section `localisation` of evidence/params.yaml."""

from pydantic import Field

from brain_tumor.settings import Section


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
