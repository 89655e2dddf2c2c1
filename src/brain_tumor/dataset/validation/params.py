"""Section `validate` of params.yaml."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from brain_tumor.dataset.labels import NEGATIVE, POSITIVE
from brain_tumor.params import Section

MASKS_FOLDER = "masks"
FolderName = Annotated[str, Field(pattern=r"^[^./\\][^/\\]*$")]


class Exclusion(Section):
    """A file that is left out, and why."""

    path: str = Field(min_length=1)
    reason: str = Field(min_length=1)


class ValidateParams(Section):
    """Where the classes lie and what an image must be; meanings and units stand in params.yaml."""

    negative_folder: FolderName = "no"
    positive_folder: FolderName = "yes"
    min_side_px: int = Field(default=64, ge=1)
    max_megapixels: float = Field(default=25.0, gt=0.0)
    near_duplicate_max_hamming: int = Field(default=6, ge=0, le=64)
    near_duplicate_min_correlation: float = Field(default=0.97, ge=0.0, le=1.0)
    exclude: tuple[Exclusion, ...] = Field(default=(), strict=False)

    @property
    def folders(self) -> dict[str, str]:
        """The label of each class folder: by default `{"no": "no", "yes": "yes"}`."""
        return {self.negative_folder: NEGATIVE, self.positive_folder: POSITIVE}

    def label_of(self, name: str) -> str:
        """The label by the name of its class folder, or by itself.

        Raises:
            ValueError: it is neither.
        """
        label = self.folders.get(name, name)
        if label not in (NEGATIVE, POSITIVE):
            own = {*self.folders} - {NEGATIVE, POSITIVE}
            alike = f" ({NEGATIVE} and {POSITIVE} mean the same)" if own else ""
            raise ValueError(f"{name!r} is no class: give {' or '.join(self.folders)}{alike}")
        return label

    @model_validator(mode="after")
    def _two_class_folders(self) -> Self:
        if len(self.folders) < 2 or MASKS_FOLDER in self.folders:
            raise ValueError(
                f"negative_folder and positive_folder must be two folders other than "
                f"'{MASKS_FOLDER}', received {self.negative_folder!r} and {self.positive_folder!r}"
            )
        return self
