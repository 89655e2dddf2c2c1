"""The HTTP API: its routes, its errors, its description."""

import asyncio
import json
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path, PurePath
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brain_tumor.model.saved import load_meta
from brain_tumor.serving import docs, schema
from brain_tumor.serving.schema import (
    MAX_SLICES,
    NOTICE,
    TAKEN,
    ApiError,
    Bounds,
    ErrorAnswer,
    Health,
    Limits,
    ModelAnswer,
    Predictions,
    Problem,
    bad_request,
)
from brain_tumor.serving.uploads import FIELD, Held, Upload, read_uploads
from brain_tumor.serving.workers import Answer, Fault, Task, WorkerPool, where

_ERRORS = {
    400: ("bad_request", "A parameter or the multipart body is not as described."),
    408: ("stalled", "The request stopped arriving."),
    413: ("too_large", "A file, the request or the number of files is over the limit."),
    415: ("unsupported_type", f"Not one of the kinds that are taken: {TAKEN}."),
    422: ("undecodable", "The only file is damaged, or holds no picture."),
    500: ("internal", "The server's fault."),
    503: ("busy", "Too much is waiting, or the server is stopping; `Retry-After` says how long."),
    504: ("too_slow", "The only file took longer than the time limit."),
}
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": [FIELD],
                    "properties": {
                        FIELD: {
                            "type": "array",
                            "minItems": 1,
                            "items": {
                                "type": "string",
                                "contentMediaType": "application/octet-stream",
                            },
                            "description": f"One or more files: {TAKEN}.",
                        }
                    },
                }
            }
        },
    }
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, with an example each."""
    return {status: _error(*_ERRORS[status]) for status in statuses}


def _error(code: str, description: str) -> dict[str, Any]:
    example = {"error": {"code": code, "message": description}}
    return {
        "model": ErrorAnswer,
        "description": description,
        "content": {"application/json": {"example": example}},
    }


_KINDS = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_START = "index.html"


def add_page(app: FastAPI) -> None:
    """Serve the page at `/`, and what it loads beside it."""
    for file in (files(__package__) / "page").iterdir():
        path = "/" if file.name == _START else f"/{file.name}"
        endpoint = _sending(file.read_bytes(), _KINDS[PurePath(file.name).suffix])
        app.add_api_route(path, endpoint, methods=["GET", "HEAD"], include_in_schema=False)


def _sending(content: bytes, kind: str) -> Callable[[], Awaitable[Response]]:
    async def send() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response(content, media_type=f"{kind}; charset=utf-8", headers=headers)

    return send


_CODES = {404: "not_found", 405: "method_not_allowed"}
_MESSAGES = {
    404: "there is nothing here; see /openapi.json",
    405: "this path does not take that method; see /openapi.json",
}


def add_error_handlers(app: FastAPI) -> None:
    """Answer what an application raises."""
    app.add_exception_handler(ApiError, _problem)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)


async def _problem(_: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ApiError)
    told = ErrorAnswer(error=Problem(code=error.code, message=error.message))
    return JSONResponse(told.model_dump(), error.status, error.headers)


async def _invalid(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return await _problem(request, bad_request(f"{first['loc'][-1]}: {first['msg']}"))


async def _http(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, HTTPException)
    code = _CODES.get(error.status_code, "http_error")
    message = _MESSAGES.get(error.status_code, error.detail)
    problem = ApiError(error.status_code, code, message, dict(error.headers or {}))
    return await _problem(request, problem)


_log = logging.getLogger("brain_tumor.serve")
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Around:
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
                await _answer(sent, schema.broken("the request could not be answered"))
        finally:
            route = getattr(scope.get("route"), "path", "-")
            took_ms = 1000 * (time.monotonic() - started)
            _log.info("%s %s %s %.0f ms", scope["method"][:8], route, status or "-", took_ms)


async def _answer(send: Send, problem: schema.ApiError) -> None:
    body = json.dumps({"error": {"code": problem.code, "message": problem.message}}).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": problem.status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


_OVER = "the file is larger than the limit; GET /model says how large a file may be"


async def predictions(
    request: Request, pool: WorkerPool, uploads: Sequence[Upload], *, slices: int, heatmap: bool
) -> schema.Predictions:
    """Let the workers look at files.

    Args:
        request: whose body is read.
        pool: the workers.
        uploads: one or more.
        slices: of a volume, at most.
        heatmap: whether pictures are wanted.

    Raises:
        ApiError: nothing can be queued, or the only file has this problem.
        ClientDisconnect: nobody waits for the answer.
    """
    tasks = [Task(bytes(upload.data), slices, heatmap) for upload in uploads if not upload.over]
    waiting = [asyncio.wrap_future(future) for future in pool.submit(tasks)]
    answers = asyncio.gather(*waiting, return_exceptions=True)
    gone = asyncio.ensure_future(_gone(request))
    try:
        waited: set[asyncio.Future[Any]] = {answers, gone}
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        if not answers.done():
            raise ClientDisconnect
    finally:
        gone.cancel()
        answers.cancel()  # what still waits in the queue is not worked on
    told = iter(answers.result())
    each = [schema.too_large(_OVER) if upload.over else _checked(next(told)) for upload in uploads]
    if len(each) == 1 and isinstance(each[0], ApiError):
        raise each[0]
    return schema.Predictions(
        files=[_file(upload.name, one) for upload, one in zip(uploads, each, strict=True)]
    )


async def _gone(request: Request) -> None:
    """Return when the client has gone."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _file(name: str, answer: Answer | BaseException) -> schema.FileAnswer:
    if isinstance(answer, ApiError):
        problem = schema.Problem(code=answer.code, message=answer.message)
        return schema.FileAnswer(name=name, error=problem)
    if isinstance(answer, list):
        slices = [schema.SliceAnswer.model_validate(one) for one in answer]
        return schema.FileAnswer(name=name, slices=slices)
    raise TypeError(f"a worker answered with {type(answer).__name__}")


def _checked(answer: Answer | BaseException) -> Answer | BaseException:
    """The answer; a worker's fault as what the client is told of it."""
    if not isinstance(answer, Fault):
        return answer
    if answer.kind == "unsupported":
        return schema.unsupported()
    if answer.kind == "undecodable":
        return schema.undecodable(answer.message)
    _log.error("a file could not be worked on: %s", answer.message)
    return schema.broken("the file could not be worked on")


_DESCRIPTION = f"""A classifier of brain MRI slices: how probable it is that a slice shows a tumour.

**{NOTICE}**"""


@dataclass(frozen=True)
class ServedModel:
    """A model to serve.

    Attributes:
        bundle: folder a classifier is loaded from.
        name: and version, as `brain-tumor-inceptionv3 version 3`.
        facts: of its card; may be empty.
        card: Markdown; may be empty.
    """

    bundle: Path
    name: str
    facts: Mapping[str, Any]
    card: str


def create_app(model: ServedModel, pool: WorkerPool, limits: Limits) -> FastAPI:
    """The application, for an ASGI server.

    Args:
        model: what is served.
        pool: its workers; who made it closes it.
        limits: of a request.
    """
    app = FastAPI(
        title="brain-tumor",
        version=version("brain-tumor"),
        description=_DESCRIPTION,
        docs_url=None,  # its pages load from a CDN; ours is `docs`
        redoc_url=None,
    )
    app.add_middleware(Around)
    add_error_handlers(app)
    add_page(app)
    docs.add_docs(app)
    about = _about(model, limits)
    held = Held(limits.held_bytes)

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
        with held.share() as share:
            uploads = await read_uploads(request, limits, share)
            return await predictions(request, pool, uploads, slices=slices, heatmap=heatmap)

    @app.get("/health", responses=errors(503))
    async def health() -> Health:
        """Whether files are taken; 503 if not."""
        workers = pool.ready
        if pool.stopping or not workers:
            raise ApiError(503, "not_ready", "no worker is ready", {"Retry-After": "5"})
        return Health(ready=True, workers=workers, queue=pool.waiting)

    @app.get("/model")
    async def about_model() -> ModelAnswer:
        """The model: its name, threshold, limits and card."""
        return about

    return app


def _about(model: ServedModel, limits: Limits) -> ModelAnswer:
    meta = load_meta(model.bundle)
    name, _, number = model.name.partition(" version ")
    return ModelAnswer(
        name=name,
        version=number or None,
        digest=model.facts.get("digest"),
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
        facts=dict(model.facts),
        card=model.card,
    )
