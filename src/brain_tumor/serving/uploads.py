"""Uploaded files, held in memory and never on disk."""

import asyncio
import threading
from dataclasses import dataclass
from functools import partial
from sys import getsizeof

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from brain_tumor.serving import schema
from brain_tumor.serving.schema import MEGABYTE, ApiError, Limits


class MemoryBudget:
    """Bytes that are held at once, kept under a limit."""

    def __init__(self, limit: int) -> None:
        """Hold nothing."""
        self._limit, self._bytes = limit, 0
        self._lock = threading.RLock()  # whoever takes may be interrupted to free others

    @property
    def held(self) -> int:
        """How many bytes are held now."""
        return self._bytes

    def take(self, count: int) -> None:
        """Hold so many bytes more.

        Raises:
            ApiError: that would be over the limit; nothing more is held.
        """
        with self._lock:
            fits = self._bytes + count <= self._limit
            if fits:
                self._bytes += count
        if not fits:
            raise schema.busy(5)

    def give_back(self, count: int) -> None:
        """Hold so many bytes less."""
        with self._lock:
            self._bytes -= count


class HeldBytes:
    """Bytes that count against a budget for as long as they exist, whoever holds them.

    Attributes:
        data: the bytes; add to them by `extend`.
    """

    def __init__(self, budget: MemoryBudget, data: bytes | bytearray = b"") -> None:
        """Hold these bytes.

        Raises:
            ApiError: the budget is spent.
        """
        self._budget, self._counted = budget, 0
        self.data = data
        self._count()

    def extend(self, more: bytes) -> None:
        """Hold more bytes behind the others.

        Raises:
            ApiError: the budget is spent; nothing is held any more.
        """
        self.data = bytearray() if not self.data else self.data
        self.data += more
        try:
            self._count()
        except ApiError:
            self.clear()
            raise

    def clear(self) -> None:
        """Hold nothing."""
        self.data = b""
        self._budget.give_back(self._counted)
        self._counted = 0

    def _count(self) -> None:
        """Count what is taken of memory: an array has room to grow."""
        size = getsizeof(self.data) if self.data else 0
        if size > self._counted:
            self._budget.take(size - self._counted)
            self._counted = size

    def __del__(self) -> None:
        """Give back what was counted."""
        self._budget.give_back(self._counted)


FIELD = "files"
_NAME_LENGTH = 255
_PART_HEADER_BYTES = 4096  # of a name or a value


@dataclass
class Upload:
    """A file as it was sent.

    Attributes:
        name: the client's, not to be trusted.
        held: its bytes; none if it is over the limit.
        over: whether it is.
    """

    name: str
    held: HeldBytes
    over: bool = False


async def read_uploads(request: Request, limits: Limits, budget: MemoryBudget) -> list[Upload]:
    """Read the files of a request.

    Raises:
        ApiError: it is no multipart request with files, or too large, or arrives too slowly, or
            the budget is spent.
    """
    too_large = ApiError(
        413, f"the request is larger than {limits.request_bytes / MEGABYTE:g} MB; send fewer files"
    )
    if int(request.headers.get("content-length", "0")) > limits.request_bytes:
        raise too_large
    parts = _Parts(_boundary(request), limits, budget)
    stream, received = request.stream(), 0
    try:
        async with asyncio.timeout(limits.transfer_s):
            while True:
                async with asyncio.timeout(limits.stall_s):
                    chunk = await anext(stream, None)
                if chunk is None:
                    break
                received += len(chunk)
                if received > limits.request_bytes:
                    raise too_large
                parts.write(chunk)
    except TimeoutError:
        raise schema.stalled() from None
    except FormParserError as error:
        raise ApiError(400, "the multipart body is damaged") from error
    else:
        return parts.finished()
    finally:
        parts.release()


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

    def __init__(self, boundary: bytes, limits: Limits, budget: MemoryBudget) -> None:
        self._limits, self._budget = limits, budget
        self._uploads: list[Upload] = []
        self._header, self._value, self._disposition = bytearray(), bytearray(), b""
        self._ended = False
        try:
            self._parser = MultipartParser(
                boundary,
                {
                    "on_part_begin": self._begin,
                    "on_header_field": partial(self._header_piece, self._header),
                    "on_header_value": partial(self._header_piece, self._value),
                    "on_header_end": self._header_end,
                    "on_headers_finished": self._headers_finished,
                    "on_part_data": self._data,
                    "on_end": self._end,
                },
            )
        except FormParserError as error:
            raise ApiError(400, "the multipart boundary is too long") from error

    def write(self, chunk: bytes) -> None:
        self._parser.write(chunk)

    def finished(self) -> list[Upload]:
        if not self._ended:
            raise ApiError(400, "the multipart body ends too early")
        if not self._uploads:
            raise ApiError(400, f"no file came; send files in the field `{FIELD}`")
        return self._uploads

    def release(self) -> None:
        """Hold no file any more (the parser and this object hold each other)."""
        self._uploads = []

    def _header_piece(self, header: bytearray, data: bytes, start: int, end: int) -> None:
        if len(header) + end - start > _PART_HEADER_BYTES:
            raise ApiError(400, "the name or another header of a file is too long")
        header += data[start:end]

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
        self._uploads.append(Upload(name[:_NAME_LENGTH], HeldBytes(self._budget)))

    def _data(self, data: bytes, start: int, end: int) -> None:
        upload = self._uploads[-1]
        upload.over |= len(upload.held.data) + end - start > self._limits.file_bytes
        if upload.over:
            upload.held.clear()
        else:
            upload.held.extend(data[start:end])

    def _end(self) -> None:
        self._ended = True
