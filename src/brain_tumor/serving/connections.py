"""HTTP connections that wait for no client without an end, and answer every one in one form."""

import asyncio
import contextlib
import math
import sys
import time
from asyncio import TimerHandle, Transport
from typing import Any, cast

import h11
from starlette.datastructures import MutableHeaders
from starlette.types import Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import STATUS_PHRASES, H11Protocol

from brain_tumor.serving import schema
from brain_tumor.serving.answers import log, response, secure
from brain_tumor.serving.schema import ERRORS, ApiError, Limits

IDLE_S = 5.0  # after which a connection without a request makes room for another
_FILES_PER_WORKER = 8  # descriptors: its pipes, and those that are open while another starts
ACCEPTED_AT_ONCE = 8  # connections, before those that are too many are cut
_FILES = 48 + 2 * ACCEPTED_AT_ONCE  # of the server itself


def allowed_connections(limits: Limits, workers: int) -> int:
    """How many connections there may be, so that descriptors are left for the server itself."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows
        return limits.connections
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY:
        return limits.connections
    free = soft - _FILES - _FILES_PER_WORKER * workers
    return max(1, min(limits.connections, free // 2))  # as many more are told to come again


class BoundedConnection(H11Protocol):
    """A connection with time limits for headers, body and answer; too many are refused.

    Time is counted from when a client could have begun, and however little it sends does not put
    the end off.
    """

    def __init__(self, limits: Limits, **uvicorn: Any) -> None:
        """Take the limits, and what uvicorn gives."""
        super().__init__(**uvicorn)
        self._limits, self._started = limits, time.monotonic()
        self._phase: tuple[object, object] | None = None
        self._sending: TimerHandle | None = None
        self._fetching: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        """Wait for the headers of a request, if there are not too many connections."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # so that it is known whether all is fetched
        self._watch()
        if len(self.connections) > self._limits.connections:
            self._make_room()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait for nothing any more."""
        super().connection_lost(exc)
        for timer in filter(None, (self._sending, self._fetching)):
            timer.cancel()

    def data_received(self, data: bytes) -> None:
        """Take what the client sends."""
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        super().on_response_complete()
        self._all_fetched()
        self._watch()

    def pause_writing(self) -> None:
        """Wait until the client fetches its answer."""
        super().pause_writing()
        if self._fetching is None:
            self._fetching = self.loop.call_later(self._limits.transfer_s, self.transport.abort)

    def resume_writing(self) -> None:
        """Go on: the client has fetched what was sent."""
        super().resume_writing()
        self._all_fetched()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """Answer what is no HTTP; uvicorn's own answer to it is plain text."""
        error = sys.exc_info()[1]
        status = getattr(error, "error_status_hint", 400)
        code, meaning = ERRORS.get(status, ERRORS[400])
        message = "this is no HTTP/1.1 request" if code == ERRORS[400][0] else meaning
        self._refuse(ApiError(status if status in ERRORS else 400, message))

    @property
    def idle_since(self) -> float:
        """Since when a request is waited for, by `time.monotonic`; infinite where none is."""
        waits = self.conn.their_state is h11.IDLE and not self.transport.is_closing()
        return self._started if waits else math.inf

    def _make_room(self) -> None:
        """Cut the connection that has asked nothing for longest, else refuse this one."""
        others = cast("set[BoundedConnection]", self.connections)
        idlest = min(others, key=lambda other: other.idle_since)
        if time.monotonic() - idlest.idle_since > IDLE_S:
            idlest.transport.abort()
        elif len(others) > 2 * self._limits.connections:
            self.transport.abort()
        else:
            self.app = _too_many

    def _watch(self) -> None:
        """Set the time limit of what the client has to do next."""
        phase = (self.conn.their_state, self.cycle)
        if phase == self._phase:
            return
        self._phase = phase
        if self._sending:
            self._sending.cancel()
            self._sending = None
        if self.conn.their_state is h11.IDLE:
            self._started = time.monotonic()
            self._sending = self.loop.call_later(self._limits.headers_s, self._no_headers)
        elif self.conn.their_state is h11.SEND_BODY:
            self._sending = self.loop.call_later(self._limits.transfer_s, self._no_body)

    def _no_headers(self) -> None:
        if self.conn.trailing_data[0]:
            self._refuse(schema.stalled())
        else:
            self.transport.close()

    def _no_body(self) -> None:
        """End what is received for nothing; a body that is read has a time limit of its own."""
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self.cycle.keep_alive = False

    def _all_fetched(self) -> None:
        complete = self.cycle is None or self.cycle.response_complete
        if self._fetching and complete and not self.transport.get_write_buffer_size():
            self._fetching.cancel()
            self._fetching = None

    def _refuse(self, error: ApiError) -> None:
        """Answer, as far as that is still possible, and end the connection."""
        answer = response(error)
        headers = MutableHeaders(raw=answer.raw_headers)
        secure(headers)
        headers["Connection"] = "close"
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True  # its application is to send nothing more
            self.cycle.message_event.set()
        with contextlib.suppress(h11.LocalProtocolError):  # another answer has begun
            start = h11.Response(
                status_code=error.status,
                headers=self.server_state.default_headers + headers.raw,
                reason=STATUS_PHRASES[error.status],
            )
            for event in (start, h11.Data(data=bytes(answer.body)), h11.EndOfMessage()):
                self.transport.write(self.conn.send(event))
            log("-", "-", error.status, self._started)
        self.transport.close()


async def _too_many(scope: Scope, receive: Receive, send: Send) -> None:
    """The application for connections that are too many: the next request needs another one.

    The connection stays until the client has sent its request, or a while: a client that is cut
    while it sends may not see its answer.
    """
    started = time.monotonic()
    error = schema.busy(5, "connections are open")
    answer = response(error)
    secure(answer.headers)
    answer.headers["Connection"] = "close"

    async def send_slowly(message: Message) -> None:
        if message["type"] == "http.response.body":
            await send({**message, "more_body": True})
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(IDLE_S):
                    while (await receive()).get("more_body"):
                        pass
            message = {"type": "http.response.body"}
        await send(message)

    await answer(scope, receive, send_slowly)
    log("-", "-", error.status, started)
