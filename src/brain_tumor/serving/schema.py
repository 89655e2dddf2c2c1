"""What the HTTP API takes and gives, and its limits."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape
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
    plane: str = Field(
        description="Axial, coronal or sagittal, as the alignment takes it; empty where no brain "
        "was found or looked for.",
        examples=["axial"],
    )
    aligned: bool = Field(
        description="The alignment is trusted. If not, the whole head was shown to the network."
    )
    alignment: float = Field(
        ge=0, le=1, description="Probability that the alignment is right.", examples=[0.98]
    )
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


TAKEN = "JPEG, PNG, BMP, TIFF, GIF, WebP, JPEG 2000, PPM, DICOM and NIfTI (.nii, .nii.gz)"


# Status of HTTP: one word for machines, and what it means.
ERRORS = {
    400: ("bad_request", "A parameter or the multipart body is not as described."),
    404: ("not_found", "there is nothing here; see /openapi.json"),
    405: ("method_not_allowed", "this path does not take that method; see /openapi.json"),
    408: ("stalled", "The request stopped arriving, or arrived too slowly."),
    413: ("too_large", "A file, the request or the number of files is over the limit."),
    415: ("unsupported_type", f"Not one of the kinds that are taken: {TAKEN}."),
    422: ("undecodable", "The only file is damaged, or holds no picture."),
    431: ("headers_too_large", "The address or the headers are too long."),
    500: ("internal", "The server's fault."),
    501: ("not_implemented", "A transfer encoding other than `chunked`."),
    503: ("busy", "Too much is waiting, or the server is stopping; `Retry-After` says how long."),
    504: ("too_slow", "The only file took longer than the time limit."),
}


@dataclass(eq=False)
class ApiError(Exception):
    """A request, or one file of it, that cannot be answered.

    Attributes:
        status: of HTTP.
        message: what is wrong and what to do; names nothing of the server's inside.
        code: one word for machines; by default that of the status.
        headers: to send along.
        place: of a fault of the server: where it arose, for the log.
    """

    status: int
    message: str
    code: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)
    place: str = ""

    def __post_init__(self) -> None:
        """Take the code of the status."""
        self.code = self.code or ERRORS[self.status][0]

    @property
    def problem(self) -> Problem:
        """What a client gets."""
        return Problem(code=self.code, message=self.message)


def busy(retry_after_s: int, what: str = "files are waiting") -> ApiError:
    """More work waits than the server promises to do."""
    message = f"too many {what}; try again in {retry_after_s} s"
    return ApiError(503, message, headers={"Retry-After": str(retry_after_s)})


def stopping() -> ApiError:
    """The server ends."""
    return ApiError(503, "the server is stopping", "stopping", {"Retry-After": "10"})


def stalled() -> ApiError:
    """The client is too slow; what is still on its way is not waited for."""
    message = "the request stopped arriving, or arrived too slowly"
    return ApiError(408, message, headers={"Connection": "close"})


def not_ready() -> ApiError:
    """No worker can be started."""
    return ApiError(503, "no worker is ready", "not_ready", {"Retry-After": "5"})


def broken(what: str, place: str = "") -> ApiError:
    """The server's fault."""
    message = f"{what}; this is the server's fault, not the file's format"
    return ApiError(500, message, place=place)


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
        transfer_s: for a whole request to arrive, and for its answer to be fetched.
        headers_s: for the headers of a request to arrive.
        header_bytes: of address and headers.
        connections: at once; more take the place of idle ones, or are told that the server is
            busy; twice as many are cut.
        answer_bytes: of all answers that are not fetched yet, or wait for others of their request,
            together.
    """

    file_bytes: int = 64 * MEGABYTE
    timeout_s: float = 30.0
    files: int = 32
    queue: int = 128
    stall_s: float = 30.0
    transfer_s: float = 120.0
    headers_s: float = 20.0
    header_bytes: int = 16_384
    connections: int = 1000
    answer_bytes: int = 512 * MEGABYTE

    @property
    def request_bytes(self) -> int:
        """Of one request, all its files together."""
        return 4 * self.file_bytes

    @property
    def held_bytes(self) -> int:
        """Of the files of all requests that are being answered, together."""
        return 2 * self.request_bytes


OpenApi = Mapping[str, Any]  # OpenAPI 3.1, or a part of it
_VERBATIM = re.compile(r"`([^`]+)`")


def docs_page(schema: OpenApi, address: str) -> str:
    """A page about the API, HTML without script, and with nothing from elsewhere.

    `address` is the server's, ending in a slash, for the example.
    """
    loader = PackageLoader("brain_tumor.serving", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True
    )
    environment.filters |= {
        "verbatim": _verbatim, "parameters": _parameters, "answers": _answers, "fields": _fields,
    }  # fmt: skip
    return environment.get_template("docs.html.j2").render(schema, address=address)


def _verbatim(plain: str) -> Markup:
    """Plain text as HTML; what stands between backticks is shown as code."""
    return Markup(_VERBATIM.sub(r"<code>\1</code>", str(escape(plain))))


def _parameters(operation: OpenApi) -> list[tuple[str, ...]]:
    """Name, kind, default and meaning of all that an operation takes."""
    rows: list[tuple[str, ...]] = [
        (item["name"], _kind(item["schema"]), _default(item["schema"]), item["description"])
        for item in operation.get("parameters", ())
    ]
    for media, body in operation.get("requestBody", {}).get("content", {}).items():
        for name, item in body["schema"]["properties"].items():
            rows.append((name, f"{_kind(item)}, in {media}", "required", item["description"]))
    return rows


def _answers(operation: OpenApi) -> list[tuple[str, ...]]:
    """Status, kind and meaning of each answer of an operation."""
    return [
        (status, ", ".join(_kind(body["schema"]) for body in bodies.values()), meaning)
        for status, answer in operation["responses"].items()
        for bodies, meaning in [(answer["content"], answer["description"])]
    ]


def _fields(schema: OpenApi) -> list[tuple[str, ...]]:
    """Name, kind and meaning of each field of an answer."""
    return [
        (name, _kind(item), item.get("description", ""))
        for name, item in schema["properties"].items()
    ]


def _kind(schema: OpenApi) -> str:
    """A type in words: `string`, `list of Slice`, `number or null`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    if "anyOf" in schema:
        return " or ".join(_kind(choice) for choice in schema["anyOf"])
    kind = str(schema.get("type", "anything"))
    if kind == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    bounds = [
        f"{words} {schema[key]}"
        for key, words in (("minimum", "from"), ("maximum", "to"))
        if key in schema
    ]
    return " ".join([kind, *bounds])


def _default(schema: OpenApi) -> str:
    default = schema.get("default", "required")
    return str(default).lower() if isinstance(default, bool) else str(default)
