"""A served model from start to graceful end."""

import logging
import signal
import socket
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi.middleware.trustedhost import TrustedHostMiddleware

from brain_tumor.serving.app import create_app
from brain_tumor.serving.schema import Limits
from brain_tumor.serving.workers import WorkerPool
from brain_tumor.tracking.models import ModelFolder

_GRACE_S = 5.0
_LOCAL = ("127.0.0.1", "localhost")


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
        OSError: the address is taken or not this machine's; the message names it.
        UserError: the model cannot be loaded.
    """
    # One line a request to standard error; of uvicorn only what goes wrong.
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level="WARNING")
    logging.getLogger("brain_tumor.serve").setLevel("INFO")
    with _bound(*address) as listening:
        pool = WorkerPool(model, workers, limits)
        try:
            started(_url(listening))
            app = create_app(model, pool, limits)
            if address[0] in _LOCAL:  # else a web page could reach it by a name of its own
                app.add_middleware(TrustedHostMiddleware, allowed_hosts=[*_LOCAL])
            _run(app, pool, limits, listening)
        finally:
            pool.close()


def _run(app: object, pool: WorkerPool, limits: Limits, listening: socket.socket) -> None:
    config = uvicorn.Config(
        app,  # type: ignore[arg-type]
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
    """Tells the workers when the end begins."""

    def __init__(self, config: uvicorn.Config, pool: WorkerPool) -> None:
        super().__init__(config)
        self._pool = pool

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._pool.wind_down()
        super().handle_exit(sig, frame)


def _bound(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        return socket.create_server((host, port), family=family)
    except OSError as error:
        reason = (error.strerror or str(error)).partition(" (")[0]
        raise OSError(f"{host}:{port}: {reason}; give another --host or --port") from error


def _url(listening: socket.socket) -> str:
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
