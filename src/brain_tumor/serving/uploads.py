"""Uploaded files, held in memory and never on disk."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from brain_tumor.serving import schema
from brain_tumor.serving.schema import MEGABYTE, ApiError, Limits


class MemoryBudget:
    """Bytes of all requests that are being answered, kept under a limit."""

    def __init__(self, limit: int) -> None:
        """Hold nothing."""
        self._limit, self._bytes = limit, 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], int]]:
        """A request's share, given back at the end.

        Yields a function that holds so many bytes more and returns how many the request holds; it
        raises an `ApiError` where all requests together would be over the limit.
        """
        share = 0

        def hold(count: int) -> int:
            nonlocal share
            if self._bytes + count > self._limit:
                raise schema.busy(5)
            self._bytes += count
            share += count
            return share

        try:
            yield hold
        finally:
            self._bytes -= share


FIELD = "files"
_NAME_LENGTH = 255


@dataclass
class Upload:
    """A file as it was sent.

    Attributes:
        name: the client's, not to be trusted.
        data: of the file; empty if it is over the limit.
        over: whether it is.
    """

    name: str
    data: bytearray = field(default_factory=bytearray)
    over: bool = False


async def read_uploads(
    request: Request, limits: Limits, hold: Callable[[int], int]
) -> list[Upload]:
    """Read the files of a request; `hold` counts bytes (see `MemoryBudget.share`).

    Raises:
        ApiError: it is no multipart request with files, or too large, or stops arriving.
    """
    too_large = ApiError(
        413, f"the request is larger than {limits.request_bytes / MEGABYTE:g} MB; send fewer files"
    )
    parts = _Parts(_boundary(request), limits)
    if int(request.headers.get("content-length", "0")) > limits.request_bytes:
        raise too_large
    stream = request.stream()
    try:
        while True:
            async with asyncio.timeout(limits.stall_s):
                chunk = await anext(stream, None)
            if chunk is None:
                break
            if hold(len(chunk)) > limits.request_bytes:
                raise too_large
            parts.write(chunk)
    except TimeoutError:
        raise ApiError(408, "the request stopped arriving") from None
    except FormParserError as error:
        raise ApiError(400, "the multipart body is damaged") from error
    return parts.finished()


def _boundary(request: Request) -> bytes:
    kind, options = parse_options_header(request.headers.get("content-type", ""))
    if kind != b"multipart/form-data":
        raise ApiError(415, f"send multipart/form-data with files in the field `{FIELD}`")
    boundary = options.get(b"boundary", b"")
    if not boundary:
        raise ApiError(400, "the multipart content type names no boundary")
    return boundary


class _Parts:
    """Takes a multipart body piece by piece."""

    def __init__(self, boundary: bytes, limits: Limits) -> None:
        self._limits = limits
        self._uploads: list[Upload] = []
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._ended = False
        self._parser = MultipartParser(
            boundary,
            {
                "on_part_begin": self._begin,
                "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
                "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
                "on_header_end": self._header_end,
                "on_headers_finished": self._headers_finished,
                "on_part_data": self._data,
                "on_end": self._end,
            },
        )

    def write(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def finished(self) -> list[Upload]:
        if not self._ended:
            raise ApiError(400, "the multipart body ends too early")
        if not self._uploads:
            raise ApiError(400, f"no file came; send files in the field `{FIELD}`")
        return self._uploads

    def _begin(self) -> None:
        self._disposition = b""

    def _header_end(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._disposition = bytes(self._value)
        self._header.clear()
        self._value.clear()

    def _headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if options.get(b"name") != FIELD.encode() or b"filename" not in options:
            raise ApiError(400, f"send nothing but files, in the field `{FIELD}`")
        if len(self._uploads) == self._limits.files:
            raise ApiError(413, f"more than {self._limits.files} files; send fewer at a time")
        name = options[b"filename"].decode("utf-8", "replace")
        self._uploads.append(Upload(name[:_NAME_LENGTH]))

    def _data(self, data: bytes, start: int, end: int) -> None:
        upload = self._uploads[-1]
        upload.over |= len(upload.data) + end - start > self._limits.file_bytes
        if upload.over:
            upload.data.clear()
        else:
            upload.data += data[start:end]

    def _end(self) -> None:
        self._ended = True
