"""Section `preprocess` of params.yaml."""

from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from brain_tumor.params import Section

PositionsMm = Annotated[tuple[float, ...], Field(strict=False)]  # YAML has lists, not tuples
Fraction = Annotated[float, Field(ge=0.0, le=1.0)]


class PreprocessParams(Section):
    """How a raw image becomes the network's input; meanings and units stand in params.yaml."""

    size_px: int = Field(default=299, ge=75)
    paper_step_px: int | None = Field(default=None, ge=16)
    normalisation: Literal["similarity", "none"] = "similarity"
    axial_mm: PositionsMm = (-24, -16, -8, 0, 8, 16, 24, 32, 40, 48, 56)
    coronal_mm: PositionsMm = (-60, -40, -20, 0, 20)
    sagittal_mm: PositionsMm = (4, 20, 40)
    overlap_weight: float = Field(default=0.3, ge=0.0)
    rotation_weight: float = Field(default=0.05, ge=0.0)
    refined_slices: int = Field(default=3, ge=1)
    search_rotation_deg: float = Field(default=30.0, ge=0.0, le=90.0)
    max_rotation_deg: float = Field(default=40.0, gt=0.0, le=180.0)
    min_scale: float = Field(default=0.7, gt=0.0, le=1.0)
    max_scale: float = Field(default=1.5, ge=1.0)
    min_overlap: Fraction = 0.75
    min_information: float = Field(default=0.15, ge=0.0)
    sampling_fraction: float = Field(default=0.5, gt=0.0, le=1.0)
    sampling_seed: int = Field(default=20190828, ge=1)
    crop_margin_fraction: float = Field(default=0.03, ge=0.0, le=0.5)
    blank_outside_head: bool = True
    clip_low_percent: float = Field(default=1.0, ge=0.0, lt=50.0)
    clip_high_percent: float = Field(default=99.5, gt=50.0, le=100.0)

    @field_validator("normalisation", mode="before")
    @classmethod
    def _not_affine(cls, value: object) -> object:
        if value == "affine":
            raise ValueError(
                "affine is no longer offered; set preprocess.normalisation to similarity (or none) "
                "in params.yaml and run `dvc repro`, which trains and registers the model anew"
            )
        return value

    @model_validator(mode="after")
    def _some_slice(self) -> Self:
        if not (self.axial_mm or self.coronal_mm or self.sagittal_mm):
            raise ValueError("axial_mm, coronal_mm and sagittal_mm are all empty")
        return self
