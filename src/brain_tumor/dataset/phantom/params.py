"""What a user varies about the phantom: section `phantom` of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from brain_tumor.params import Section

Range = tuple[float, float]


class PhantomParams(Section):
    """Size, structure and difficulty of the phantom; ranges are drawn from uniformly.

    Attributes:
        seed: the same seed gives the same bytes.
        no: images without tumour, copies included.
        yes: images with tumour, copies included.
        slices_per_patient: most slices of one patient (each has 1 to this many).
        exact_duplicates: byte-identical copies among all the images.
        near_duplicates: rescaled, brightened copies among all the images.
        canvas_px: shortest and longest possible image side, pixels.
        tumour_radius_mm: mean radius of the mass, millimetres.
        tumour_contrast: how much of the textbook difference between lesion and tissue is kept
            (0: invisible, 1: all of it).
        noise_fraction: standard deviation of the noise, as a fraction of full white.
        bias_fraction: standard deviation of the smooth shading, as a fraction of the signal.
    """

    seed: int = Field(default=2019, ge=0)
    no: int = Field(default=98, ge=1)
    yes: int = Field(default=155, ge=1)
    slices_per_patient: int = Field(default=3, ge=1, le=4)
    exact_duplicates: int = Field(default=25, ge=0)
    near_duplicates: int = Field(default=19, ge=0)
    canvas_px: tuple[Annotated[int, Field(ge=75)], int] = (180, 300)
    tumour_radius_mm: Range = (19.0, 33.0)
    tumour_contrast: Range = (0.9, 1.0)
    noise_fraction: Range = (0.01, 0.03)
    bias_fraction: float = Field(default=0.1, ge=0, le=0.5)

    @model_validator(mode="after")
    def _ranges_rise(self) -> Self:
        for name in ("canvas_px", "tumour_radius_mm", "tumour_contrast", "noise_fraction"):
            low, high = getattr(self, name)
            if not 0 <= low <= high:
                raise ValueError(f"{name} must be [low, high] with 0 <= low <= high: {low}, {high}")
        return self
