"""The HTTP API: its routes, its errors, its description."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import PurePath
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brain_tumor.model.saved import load_meta
from brain_tumor.serving.schema import (
    ERRORS,
    MAX_SLICES,
    NOTICE,
    TAKEN,
    ApiError,
    Bounds,
    ErrorAnswer,
    FileAnswer,
    Health,
    Limits,
    ModelAnswer,
    Predictions,
    Problem,
    SliceAnswer,
    broken,
    docs_page,
)
from brain_tumor.serving.uploads import FIELD, MemoryBudget, Upload, read_uploads
from brain_tumor.serving.workers import Slices, Task, WorkerPool, where
from brain_tumor.tracking.models import ModelFolder

_FILES = {
    "type": "array",
    "minItems": 1,
    "items": {"type": "string", "contentMediaType": "application/octet-stream"},
    "description": f"One or more files: {TAKEN}.",
}
_FORM = {"type": "object", "required": [FIELD], "properties": {FIELD: _FILES}}
BODY = {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": _FORM}}}}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, with an example each."""
    described: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        code, meaning = ERRORS[status]
        example = ErrorAnswer(error=Problem(code=code, message=meaning)).model_dump()
        content = {"application/json": {"example": example}}
        described[status] = {"model": ErrorAnswer, "description": meaning, "content": content}
    return described


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


def _response(error: ApiError) -> JSONResponse:
    answer = ErrorAnswer(error=error.problem)
    return JSONResponse(answer.model_dump(), error.status, dict(error.headers))


async def _refused(_: Request, error: Exception) -> JSONResponse:
    """The answer to what an application raises."""
    if isinstance(error, RequestValidationError):
        first = error.errors()[0]
        error = ApiError(400, f"{first['loc'][-1]}: {first['msg']}")
    elif isinstance(error, HTTPException):
        code, message = ERRORS.get(error.status_code, ("http_error", error.detail))
        error = ApiError(error.status_code, message, code, error.headers or {})
    assert isinstance(error, ApiError)
    return _response(error)


_log = logging.getLogger("brain_tumor.serve")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class HeadersAndLog:
    """ASGI middleware; the log names routes, never what a client made up."""

    def __init__(self, app: ASGIApp) -> None:
        """Wrap an application."""
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started, status = time.monotonic(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        try:
            await self._app(scope, receive, sent)
        except ClientDisconnect:
            pass
        except Exception as error:
            _log.error("%s", where(error))
            if not status:
                await _response(broken("the request could not be answered"))(scope, receive, sent)
        finally:
            route = getattr(scope.get("route"), "path", "-")
            took_ms = 1000 * (time.monotonic() - started)
            _log.info("%s %s %s %.0f ms", scope["method"][:8], route, status or "-", took_ms)


_OVER = "the file is larger than the limit; GET /model says how large a file may be"


async def predictions(
    request: Request, pool: WorkerPool, uploads: Sequence[Upload], *, slices: int, heatmap: bool
) -> Predictions:
    """Let the workers look at one or more files.

    Raises:
        ApiError: nothing can be queued, or the only file has this problem.
        ClientDisconnect: nobody waits for the answer.
    """
    tasks = [Task(bytes(upload.data), slices, heatmap) for upload in uploads if not upload.over]
    futures = [asyncio.wrap_future(future) for future in pool.submit(tasks)]
    answers = asyncio.gather(*futures, return_exceptions=True)
    gone = asyncio.ensure_future(_gone(request))
    try:
        first: set[asyncio.Future[Any]] = {answers, gone}
        await asyncio.wait(first, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
    finally:
        gone.cancel()
        answers.cancel()  # what still waits in the queue is not worked on
    results = iter(answers.result())
    each = [ApiError(413, _OVER) if upload.over else next(results) for upload in uploads]
    if len(each) == 1 and isinstance(each[0], ApiError):
        raise each[0]
    return Predictions(
        files=[_file(upload.name, answer) for upload, answer in zip(uploads, each, strict=True)]
    )


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _file(name: str, answer: Slices | BaseException) -> FileAnswer:
    if isinstance(answer, ApiError):
        return FileAnswer(name=name, error=answer.problem)
    if isinstance(answer, BaseException):
        raise answer
    return FileAnswer(name=name, slices=[SliceAnswer.model_validate(item) for item in answer])


_DESCRIPTION = f"""A classifier of brain MRI slices: how probable it is that a slice shows a tumour.

**{NOTICE}**"""


def create_app(model: ModelFolder, pool: WorkerPool, limits: Limits) -> FastAPI:
    """The application, for an ASGI server; who made the pool of workers closes it."""
    app = FastAPI(
        title="brain-tumor",
        version=version("brain-tumor"),
        description=_DESCRIPTION,
        docs_url=None,  # its pages load from a CDN; ours is `docs_page`
        redoc_url=None,
    )
    app.add_middleware(HeadersAndLog)
    for kind in (ApiError, RequestValidationError, HTTPException):
        app.add_exception_handler(kind, _refused)
    add_pages(app)
    about = _about(model, limits)
    memory = MemoryBudget(limits.held_bytes)

    @app.post(
        "/predict",
        response_model_exclude_none=True,
        responses=errors(400, 408, 413, 415, 422, 500, 503, 504),
        openapi_extra=BODY,
    )
    async def predict(
        request: Request,
        heatmap: Annotated[bool, Query(description="Whether to draw the heat map.")] = False,
        slices: Annotated[
            int, Query(ge=1, le=MAX_SLICES, description="Middle slices of a volume, at most.")
        ] = 3,
    ) -> Predictions:
        """Say for each slice of each file how probable a tumour is.

        Of several files a bad one has its own `error` and the others their `slices`; if there is
        only one, its error is that of the request.
        """
        pool.check_room()  # before anything is read
        with memory.share() as hold:
            uploads = await read_uploads(request, limits, hold)
            return await predictions(request, pool, uploads, slices=slices, heatmap=heatmap)

    @app.get("/health", responses=errors(503))
    async def health() -> Health:
        """Whether files are taken; 503 if not."""
        workers = pool.ready
        if pool.stopping or not workers:
            raise ApiError(503, "no worker is ready", "not_ready", {"Retry-After": "5"})
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
