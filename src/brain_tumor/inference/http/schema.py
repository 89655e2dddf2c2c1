"""What is answered, as OpenAPI tells it."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NOTICE = "Research only. Not for diagnosis."


class Problem(BaseModel):
    """What went wrong."""

    code: str = Field(description="One word for machines.", examples=["undecodable"])
    message: str = Field(
        description="What is wrong and what to do.", examples=["cannot decode an image: …"]
    )


class ErrorAnswer(BaseModel):
    """The answer to a request that failed."""

    error: Problem


class SliceAnswer(BaseModel):
    """What the model says of a slice."""

    slice: str = Field(
        description="Which slice of a volume; empty for a single picture.",
        examples=["axial 77 of 155"],
    )
    probability: float = Field(
        ge=0, le=1, description="Of a tumour, by the model.", examples=[0.83]
    )
    label: Literal["yes", "no"] = Field(description="`yes` from the threshold up.")
    threshold: float = Field(description="The one stored with the model.", examples=[0.5])
    calibrated: bool = Field(description="Whether a stored temperature went into the probability.")
    out_of_distribution: bool = Field(
        description="The slice is unlike the training images: the probability means little."
    )
    ood_score: float = Field(description="How unlike, from 0; flagged above 1.", examples=[0.4])
    warnings: list[str] = Field(description="What a reader should know, in plain words.")
    engine: str = Field(description="What ran the network.", examples=["onnxruntime"])
    model: str = Field(
        description="Name and version.", examples=["brain-tumor-inceptionv3 version 3"]
    )
    picture: str | None = Field(
        None, description="With `heatmap=true`: the slice as read, a PNG as data URI."
    )
    heatmap: str | None = Field(
        None,
        description="With `heatmap=true`: the slice with what speaks for a tumour (orange) and "
        "against (blue) over it, a PNG as data URI.",
    )
    strongest_place: float | None = Field(
        None,
        description="With `heatmap=true`: what the most opaque place of the heat map adds to the "
        "logit, or takes from it, before calibration.",
    )


class FileAnswer(BaseModel):
    """What came of a file: slices, or an error."""

    name: str = Field(description="As it was sent.", examples=["slice.png"])
    slices: list[SliceAnswer] | None = Field(None, description="Absent if there is an error.")
    error: Problem | None = Field(None, description="Absent if the file could be read.")


class Predictions(BaseModel):
    """An answer for each file, in their order."""

    files: list[FileAnswer]
    notice: str = NOTICE


class Health(BaseModel):
    """Whether files are taken."""

    ready: Literal[True]
    workers: int = Field(description="Processes that have loaded the model.", examples=[2])
    queue: int = Field(description="Files that wait for a worker.", examples=[0])


class Bounds(BaseModel):
    """What a request may hold."""

    max_file_bytes: int
    max_request_bytes: int
    max_files: int
    max_slices: int
    timeout_s: float
    types: str = Field(description="Kinds of files that are taken.")


class ModelAnswer(BaseModel):
    """The model that answers."""

    model_config = ConfigDict(protected_namespaces=())

    name: str = Field(examples=["brain-tumor-inceptionv3"])
    version: str | None = Field(description="Its number in the registry.", examples=["3"])
    digest: str | None = Field(description="SHA-256 of weights and description.")
    threshold: float
    temperature: float | None = Field(description="Probabilities are calibrated with; or null.")
    calibrated: bool
    engine: str
    notice: str = NOTICE
    limits: Bounds
    facts: dict[str, Any] = Field(description="The facts of the model card; may be empty.")
    card: str = Field(description="The model card, Markdown; may be empty.")
