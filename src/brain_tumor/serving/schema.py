"""What the HTTP API takes and gives, and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
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


TAKEN = "JPEG, PNG, BMP, TIFF, DICOM and NIfTI (.nii, .nii.gz)"


class ApiError(Exception):
    """A request, or one file of it, that cannot be answered.

    Attributes:
        status: of HTTP.
        code: one word for machines.
        message: what is wrong and what to do; names nothing of the server's inside.
        headers: to send along.
    """

    def __init__(
        self, status: int, code: str, message: str, headers: Mapping[str, str] | None = None
    ) -> None:
        """Take what to answer."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = dict(headers or {})


def bad_request(message: str) -> ApiError:
    """The request is not what `POST /predict` takes."""
    return ApiError(400, "bad_request", message)


def too_large(message: str) -> ApiError:
    """More bytes or files than the limits allow."""
    return ApiError(413, "too_large", message)


def busy(retry_after_s: int) -> ApiError:
    """More work waits than the server promises to do."""
    return ApiError(
        503,
        "busy",
        f"too many files are waiting; try again in {retry_after_s} s",
        {"Retry-After": str(retry_after_s)},
    )


def stopping() -> ApiError:
    """The server ends."""
    return ApiError(503, "stopping", "the server is stopping", {"Retry-After": "10"})


def too_slow(timeout_s: float) -> ApiError:
    """A file kept a worker too long."""
    return ApiError(504, "too_slow", f"the file took longer than {timeout_s:g} s and was given up")


def broken(what: str) -> ApiError:
    """The server's fault."""
    return ApiError(500, "internal", f"{what}; this is the server's fault, not the file's format")


def unsupported() -> ApiError:
    """Not a kind of file that is read."""
    return ApiError(415, "unsupported_type", f"not a kind of file that is taken; send {TAKEN}")


def undecodable(message: str) -> ApiError:
    """A kind that is read, but damaged, too large inside, or without a picture."""
    return ApiError(422, "undecodable", message)


MEGABYTE = 1_000_000
MAX_SLICES = 16  # of a volume, in one answer


@dataclass(frozen=True)
class Limits:
    """Bounds of a server.

    Attributes:
        file_bytes: of one file.
        timeout_s: that one file may keep a worker; it is killed and replaced then.
        files: in one request.
        queue: files that wait for a worker.
        stall_s: that a client may pause while it sends.
    """

    file_bytes: int = 64 * MEGABYTE
    timeout_s: float = 30.0
    files: int = 32
    queue: int = 128
    stall_s: float = 30.0

    @property
    def request_bytes(self) -> int:
        """Of one request, all its files together."""
        return 4 * self.file_bytes

    @property
    def held_bytes(self) -> int:
        """Of all requests that are being answered, together."""
        return 2 * self.request_bytes
