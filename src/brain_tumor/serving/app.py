"""The HTTP API: its routes, its errors, its description."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial
from importlib.metadata import version
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from brain_tumor.model.saved import load_meta
from brain_tumor.serving import schema
from brain_tumor.serving.answers import HeadersAndLog, PiecesResponse, described, response
from brain_tumor.serving.hosts import OnlyLocalHosts
from brain_tumor.serving.pool import WorkerPool
from brain_tumor.serving.schema import (
    ERRORS,
    MAX_SLICES,
    NOTICE,
    TAKEN,
    ApiError,
    Bounds,
    Health,
    Limits,
    ModelAnswer,
    Predictions,
    docs_page,
)
from brain_tumor.serving.uploads import FIELD, HeldBytes, MemoryBudget, Upload, read_uploads
from brain_tumor.serving.workers import Task
from brain_tumor.tracking.models import ModelFolder

_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
    "description": f"One or more files: {TAKEN}.",
}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_START = "index.html"


def add_pages(app: FastAPI) -> None:
    """Serve the page at `/`, what it loads beside it, and a page about the API at `/docs`."""
    for file in (files(__package__) / "page").iterdir():
        path = "/" if file.name == _START else f"/{file.name}"
        endpoint = _sending(file.read_bytes(), _KINDS[PurePath(file.name).suffix])
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)

    async def docs(request: Request) -> Response:
        return HTMLResponse(docs_page(app.openapi(), str(request.base_url)))

    app.add_api_route("/docs", docs, methods=["GET", "HEAD"], include_in_schema=False)


def _sending(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)

    return send


async def _refused(_: Request, error: Exception) -> Response:
    """The answer to what an application raises."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        error = ApiError(400, f"{first['loc'][-1]}: {first['msg']}")
    elif isinstance(error, HTTPException):
        code, message = ERRORS.get(error.status_code, ("http_error", error.detail))
        error = ApiError(error.status_code, message, code, error.headers or {})
    assert isinstance(error, ApiError)
    return response(error)


_OVER = "the file is larger than the limit; GET /model says how large a file may be"


async def predictions(
    request: Request,
    pool: WorkerPool,
    uploads: list[Upload],
    task: Callable[[HeldBytes], Task],
) -> Response:
    """Let the workers look at one or more files; `uploads` is emptied.

    Raises:
        ApiError: nothing can be queued, or the only file has this problem.
        ClientDisconnect: nobody waits for the answer.
    """
    files = [(upload.name, upload.over) for upload in uploads]
    tasks = [task(upload.held) for upload in uploads if not upload.over]
    uploads.clear()  # a file is held no longer than its task
    futures = [asyncio.wrap_future(future) for future in pool.submit(tasks)]
    tasks.clear()
    await _all_answered(request, futures)
    results = iter(futures)
    each = [ApiError(413, _OVER) if over else _result(next(results)) for _, over in files]
    if len(each) == 1 and isinstance(each[0], ApiError):
        raise each[0]
    named = [(name, answer) for (name, _), answer in zip(files, each, strict=True)]
    return PiecesResponse(list(_pieces(named)))


async def _all_answered(request: Request, futures: Sequence[asyncio.Future[HeldBytes]]) -> None:
    """Wait for answers.

    Raises:
        ClientDisconnect: the client has gone; what still waits is not worked on.
    """
    gone = asyncio.ensure_future(_gone(request))
    answered = asyncio.ensure_future(asyncio.wait(futures)) if futures else None
    try:
        if answered:
            await asyncio.wait({answered, gone}, return_when=asyncio.FIRST_COMPLETED)
            if not answered.done():
                raise ClientDisconnect
    finally:
        gone.cancel()
        if answered:
            answered.cancel()
        for future in futures:
            if not (future.cancel() or future.cancelled()):
                future.exception()  # asyncio logs what nobody asks for


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _result(future: asyncio.Future[HeldBytes]) -> HeldBytes | ApiError:
    """What a worker answered."""
    error = future.exception()
    if isinstance(error, ApiError):
        return error
    if error:
        raise error
    return future.result()


def _pieces(files: Sequence[tuple[str, HeldBytes | ApiError]]) -> Iterator[bytes | HeldBytes]:
    """`Predictions` as JSON: names and errors, and between them what the workers wrote."""
    before = '{"files":['
    for name, answer in files:
        start = f'{before}{{"name":{json.dumps(name)},'
        if isinstance(answer, ApiError):
            yield f'{start}"error":{answer.problem.model_dump_json()}}}'.encode()
        else:
            yield f'{start}"slices":'.encode()
            yield answer
            yield b"}"
        before = ","
    yield f'],"notice":{json.dumps(NOTICE)}}}'.encode()


_DESCRIPTION = f"""A classifier of brain MRI slices: how probable it is that a slice shows a tumour.

**{NOTICE}**"""


def create_app(
    model: ModelFolder, pool: WorkerPool, limits: Limits, local_name: str | None
) -> FastAPI:
    """The application, for an ASGI server; who made the pool of workers closes it.

    Where it listens on loopback only, `local_name` is the name it was given for that: requests to
    a host of another name are refused.
    """
    app = FastAPI(
        title="brain-tumor",
        version=version("brain-tumor"),
        description=_DESCRIPTION,
        docs_url=None,  # its pages load from a CDN; ours is `docs_page`
        redoc_url=None,
        redirect_slashes=False,
    )
    if local_name is not None:
        app.add_middleware(OnlyLocalHosts, name=local_name)
    app.add_middleware(HeadersAndLog, header_bytes=limits.header_bytes)
    for kind in (ApiError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refused)
    add_pages(app)
    about = _about(model, limits)
    held = MemoryBudget(limits.held_bytes)

    @app.post(
        "/predict",
        response_model=Predictions,
        responses=described(400, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=BODY,
    )
    async def predict(
        request: Request,
        heatmap: Annotated[bool, Query(description="Whether to draw the heat map.")] = False,
        slices: Annotated[
            int, Query(ge=1, le=MAX_SLICES, description="Middle slices of a volume, at most.")
        ] = 3,
    ) -> Response:
        """Say for each slice of each file how probable a tumour is.

        Of several files a bad one has its own `error` and the others their `slices`; if there is
        only one, its error is that of the request.
        """
        pool.check_room()  # before anything is read
        uploads = await read_uploads(request, limits, held)
        task = partial(Task, slices=slices, heatmap=heatmap)
        return await predictions(request, pool, uploads, task)

    @app.get("/health", responses=described(503))
    async def health() -> Health:
        """Whether files are taken; 503 if not."""
        workers = pool.ready
        if pool.stopping or not workers:
            raise schema.not_ready()
        return Health(ready=True, workers=workers, queue=pool.waiting)

    @app.get("/model")
    async def about_model() -> ModelAnswer:
        """The model: its name, threshold, limits and card."""
        return about

    return app


def _about(model: ModelFolder, limits: Limits) -> ModelAnswer:
    meta = load_meta(model.bundle)
    name, _, number = model.name.partition(" version ")
    facts = model.facts
    return ModelAnswer(
        name=name,
        version=number or None,
        digest=facts.get("digest"),
        threshold=meta.threshold,
        temperature=meta.temperature,
        calibrated=meta.temperature is not None,
        engine="onnxruntime",
        limits=Bounds(
            max_file_bytes=limits.file_bytes,
            max_request_bytes=limits.request_bytes,
            max_files=limits.files,
            max_slices=MAX_SLICES,
            timeout_s=limits.timeout_s,
            types=TAKEN,
        ),
        facts=facts,
        card=model.card,
    )
