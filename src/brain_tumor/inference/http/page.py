"""The page: files of this package, and nothing from elsewhere."""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import PurePath

from fastapi import FastAPI, Response

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
