"""A served model from start to graceful end."""

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from types import FrameType
from typing import Any

import uvicorn

from brain_tumor.errors import UserError
from brain_tumor.serving.app import create_app
from brain_tumor.serving.connections import ACCEPTED_AT_ONCE, BoundedConnection, allowed_connections
from brain_tumor.serving.hosts import is_loopback
from brain_tumor.serving.pool import WorkerPool
from brain_tumor.serving.schema import Limits
from brain_tumor.tracking.models import ModelFolder

_log = logging.getLogger("brain_tumor.serve")
_GRACE_S = 5.0
_WAITING = 2048  # connections that are not accepted yet, at most


def serve(
    model: ModelFolder,
    address: tuple[str, int],
    workers: int,
    limits: Limits,
    started: Callable[[str], None],
) -> None:
    """Serve a model until SIGINT or SIGTERM; requests in flight are answered first.

    Port 0 is any free one; `started` is called with the URL when files are taken.

    Raises:
        UserError: the address is taken or not this machine's, or the model cannot be loaded.
    """
    # One line a request to standard error; of uvicorn only what goes wrong.
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level="WARNING")
    _log.setLevel("INFO")
    logging.getLogger("uvicorn.error").setLevel("ERROR")
    logging.getLogger("python_multipart").setLevel("CRITICAL")  # quotes what was sent
    limits = replace(limits, connections=allowed_connections(limits, workers))
    with _bound(*address) as listening:
        pool = WorkerPool(model, workers, limits)
        try:
            started(_url(listening))
            local = is_loopback(listening.getsockname()[0])
            app = create_app(model, pool, limits, address[0] if local else None)
            _run(app, pool, limits, listening)
        finally:
            pool.close()


def _run(app: object, pool: WorkerPool, limits: Limits, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=partial(BoundedConnection, limits=limits),  # type: ignore[arg-type]
        ws="none",
        workers=1,
        backlog=ACCEPTED_AT_ONCE,
        h11_max_incomplete_event_size=limits.header_bytes,
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,
        # What is queued is given up after one time limit, and the last file may take another.
        timeout_graceful_shutdown=int(2 * limits.timeout_s + _GRACE_S),
    )
    for number in (signal.SIGINT, signal.SIGTERM):  # uvicorn raises them again when it is done
        signal.signal(number, lambda *_: None)
    _Server(config, pool).run(sockets=[listening])


class _Server(uvicorn.Server):
    """Tells the workers when the end begins, and says in a line what the system refuses."""

    def __init__(self, config: uvicorn.Config, pool: WorkerPool) -> None:
        super().__init__(config)
        self._pool = pool

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        asyncio.get_running_loop().set_exception_handler(_report)
        await super().startup(sockets)
        for listening in sockets or ():
            listening.listen(_WAITING)  # asyncio takes one figure for both

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._pool.wind_down()
        super().handle_exit(sig, frame)


def _report(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    if isinstance(error, OSError):  # no file descriptors are left, for example
        _log.error("%s: %s", context["message"], error)
    else:
        loop.default_exception_handler(context)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except (OSError, UnicodeError) as error:  # UnicodeError: no host is called so
        reason = (getattr(error, "strerror", "") or str(error)).partition(" (")[0]
        raise UserError(f"{host}:{port}: {reason}; give another --host or --port") from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
