"""A multipart body in any pieces gives its files, and never more than the limits allow."""

import asyncio
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from brain_tumor.serving.schema import ApiError, Limits
from brain_tumor.serving.uploads import MemoryBudget, Upload, read_uploads

LIMITS = Limits(file_bytes=500, files=4, stall_s=0.05)
FILES = [("a.png", b"\r\n--b\r-" * 9), ("", b""), ("b", bytes(range(256))), ("c", b"--b--")]


def body(files: Sequence[tuple[str, bytes]], end: bytes = b"--b--\r\n") -> bytes:
    parts = [
        b"--b\r\nContent-Type: x/y\r\nContent-Disposition: form-data;"
        b' name="files"; filename="%b"\r\n\r\n%b\r\n' % (name.encode(), data)
        for name, data in files
    ]
    return b"".join([*parts, end])


def read(pieces: Sequence[bytes], memory: MemoryBudget, *, whole: bool = True) -> list[Upload]:
    """Read a body that comes in pieces and then, unless whole, no further."""
    waiting = list(pieces)

    async def receive() -> Message:
        if not waiting and not whole:
            await asyncio.sleep(60)
        piece = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": piece, "more_body": bool(waiting) or not whole}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "headers": headers}, receive)

    async def reading() -> list[Upload]:
        with memory.share() as hold:
            return await read_uploads(request, LIMITS, hold)

    return asyncio.run(reading())


@given(st.lists(st.integers(0, len(body(FILES))), max_size=30))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    whole = body(FILES)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    memory = MemoryBudget(LIMITS.held_bytes)
    uploads = read(pieces, memory)
    assert [(upload.name, bytes(upload.data)) for upload in uploads] == FILES
    with memory.share() as hold:  # all was given back
        hold(LIMITS.held_bytes)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    with pytest.raises(ApiError) as refused:
        read([b"--b\r\n" + data], MemoryBudget(LIMITS.held_bytes))
    assert refused.value.status == 400


@pytest.mark.parametrize("size", [500, 501, 1200])
def test_a_file_over_the_limit_is_marked_and_not_kept(size: int) -> None:
    whole = body([("a", bytes(size)), ("b", b"x")])
    pieces = [whole[start : start + 100] for start in range(0, len(whole), 100)]
    large, small = read(pieces, MemoryBudget(LIMITS.held_bytes))
    assert (large.over, len(large.data)) == ((False, 500) if size == 500 else (True, 0))
    assert (small.over, bytes(small.data)) == (False, b"x")


def test_one_file_too_many_is_refused() -> None:
    with pytest.raises(ApiError, match="more than 4 files") as refused:
        read([body([*FILES, ("e", b"")])], MemoryBudget(LIMITS.held_bytes))
    assert refused.value.status == 413


def test_a_request_that_stops_arriving_is_given_up() -> None:
    with pytest.raises(ApiError) as refused:
        read([body(FILES)[:200]], MemoryBudget(LIMITS.held_bytes), whole=False)
    assert (refused.value.status, refused.value.code) == (408, "stalled")


def test_all_requests_together_hold_no_more_than_they_may() -> None:
    memory = MemoryBudget(len(body(FILES)) + 10)
    with memory.share() as hold:
        hold(11)
        with pytest.raises(ApiError) as refused:
            read([body(FILES)], memory)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    assert len(read([body(FILES)], memory)) == 4
