"""What every answer has in common: its headers, the form of errors, a line in the log."""

import asyncio
import logging
import time
from collections.abc import Sequence
from typing import Any

from fastapi import Response
from fastapi.responses import JSONResponse
from starlette.datastructures import MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from brain_tumor.serving import schema
from brain_tumor.serving.schema import ERRORS, ApiError, ErrorAnswer, Problem
from brain_tumor.serving.uploads import HeldBytes
from brain_tumor.serving.workers import where

_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'self'; "
    "frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def secure(headers: MutableHeaders) -> None:
    """Add what keeps a browser from doing more with an answer than is meant."""
    headers.update(_HEADERS)
    headers.setdefault("Cache-Control", "no-store")


def response(error: ApiError) -> JSONResponse:
    """The answer to a request that failed."""
    answer = ErrorAnswer(error=error.problem)
    return JSONResponse(answer.model_dump(), error.status, dict(error.headers))


def described(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The errors of an operation, with an example each, for OpenAPI."""
    errors: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        code, meaning = ERRORS[status]
        example = ErrorAnswer(error=Problem(code=code, message=meaning)).model_dump()
        content = {"application/json": {"example": example}}
        errors[status] = {"model": ErrorAnswer, "description": meaning, "content": content}
    return errors


_PIECE_BYTES = 1 << 18


class PiecesResponse(Response):
    """JSON that is sent piece by piece as the client fetches it, so that it is held only once."""

    def __init__(self, pieces: Sequence[bytes | HeldBytes]) -> None:
        """Send these, one behind the other."""
        self._pieces = [piece if isinstance(piece, bytes) else piece.data for piece in pieces]
        self._held = pieces  # counts against its budget until all is sent
        length = sum(map(len, self._pieces))
        super().__init__(media_type="application/json", headers={"Content-Length": str(length)})

    async def __call__(self, _scope: Scope, _receive: Receive, send: Send) -> None:
        """Send the answer."""
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        for piece in self._pieces:
            for place in range(0, len(piece), _PIECE_BYTES):
                part = bytes(piece[place : place + _PIECE_BYTES])
                await send({"type": "http.response.body", "body": part, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


_log = logging.getLogger("brain_tumor.serve")


class _Sent:
    """What is sent in answer to a request; status 0 before anything is."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope, self._receive, self._send = scope, receive, send
        self.status = 0

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            secure(MutableHeaders(scope=message))
        await self._send(message)

    async def refuse(self, error: ApiError) -> None:
        """Send an error, unless an answer has begun."""
        if not self.status:
            await response(error)(self._scope, self._receive, self.send)


class HeadersAndLog:
    """ASGI middleware; the log names routes, never what a client made up."""

    def __init__(self, app: ASGIApp, header_bytes: int) -> None:
        """Wrap an application; `header_bytes` bounds address and headers of a request."""
        self._app, self._header_bytes = app, header_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        started, sent = time.monotonic(), _Sent(scope, receive, send)
        try:
            if _header_bytes(scope) > self._header_bytes:
                await sent.refuse(ApiError(431, ERRORS[431][1]))
            else:
                await self._app(scope, receive, sent.send)
        except ClientDisconnect:
            pass
        except asyncio.CancelledError:  # the time for a graceful end is over
            await sent.refuse(schema.stopping())
        except Exception as error:
            _log.error("%s", where(error))
            await sent.refuse(schema.broken("the request could not be answered"))
        finally:
            route = getattr(scope.get("route"), "path", "-")
            log(scope["method"][:8], route, sent.status, started)


def _header_bytes(scope: Scope) -> int:
    headers = sum(len(name) + len(value) for name, value in scope["headers"])
    return headers + len(scope["raw_path"]) + len(scope["query_string"])


def log(method: str, route: str, status: int, started: float) -> None:
    """Log an answer; `started` is by `time.monotonic`, status 0 where nothing was answered."""
    took_ms = 1000 * (time.monotonic() - started)
    _log.info("%s %s %s %.0f ms", method, route, status or "-", took_ms)
