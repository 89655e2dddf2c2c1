"""Section `register` of params.yaml."""

from typing import Literal

from pydantic import Field

from brain_tumor.params import Section


class RegisterParams(Section):
    """How a model is registered and when it becomes the champion.

    Attributes:
        name: of the registered model.
        metric: what is compared on the test images.
        margin: by how much the champion may be better on the test images.
        min_images_per_class: with fewer images of a class to go by, there is no new champion.
        force: make the new model the champion whatever the rule says.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9_.-]+$")
    metric: Literal["balanced_accuracy", "accuracy"]
    margin: float = Field(ge=0, le=1)
    min_images_per_class: int = Field(ge=1)
    force: bool
