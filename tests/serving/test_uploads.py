"""A multipart body in any pieces gives its files, and never more than the limits allow."""

import asyncio
import contextlib
import gc
import threading
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from sys import getsizeof

import pytest
from hypothesis import given
from hypothesis import strategies as st
from starlette.requests import Request
from starlette.types import Message

from brain_tumor.serving.schema import ApiError, Limits
from brain_tumor.serving.uploads import HeldBytes, MemoryBudget, Upload, read_uploads

LIMITS = Limits(file_bytes=500, files=4, stall_s=0.05)
FILES = [("a.png", b"\r\n--b\r-" * 9), ("", b""), ("b", bytes(range(256))), ("c", b"--b--")]


def body(files: Sequence[tuple[str, bytes]], end: bytes = b"--b--\r\n") -> bytes:
    parts = [
        b"--b\r\nContent-Type: x/y\r\nContent-Disposition: form-data;"
        b' name="files"; filename="%b"\r\n\r\n%b\r\n' % (name.encode(), data)
        for name, data in files
    ]
    return b"".join([*parts, end])


def read(
    pieces: Sequence[bytes], memory: MemoryBudget, *, whole: bool = True, limits: Limits = LIMITS
) -> list[Upload]:
    """Read a body that comes in pieces and then, unless whole, no further."""
    waiting = list(pieces)

    async def receive() -> Message:
        if not waiting and not whole:
            await asyncio.sleep(60)
        piece = waiting.pop(0) if waiting else b""
        return {"type": "http.request", "body": piece, "more_body": bool(waiting) or not whole}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "headers": headers}, receive)

    return asyncio.run(read_uploads(request, limits, memory))


@given(st.lists(st.integers(0, len(body(FILES))), max_size=30))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    whole = body(FILES)
    edges = [0, *sorted(cuts), len(whole)]
    pieces = [whole[start:end] for start, end in pairwise(edges)]
    memory = MemoryBudget(LIMITS.held_bytes)
    uploads = read(pieces, memory)
    assert [(upload.name, bytes(upload.held.data)) for upload in uploads] == FILES
    assert memory.held >= sum(len(data) for _, data in FILES)
    del uploads
    assert memory.held == 0


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    memory = MemoryBudget(LIMITS.held_bytes)
    with pytest.raises(ApiError) as refused:
        read([b"--b\r\n" + data], memory)
    assert refused.value.status == 400
    assert memory.held == 0


@pytest.mark.parametrize("size", [500, 501, 1200])
def test_a_file_over_the_limit_is_marked_and_not_kept(size: int) -> None:
    whole = body([("a", bytes(size)), ("b", b"x")])
    pieces = [whole[start : start + 100] for start in range(0, len(whole), 100)]
    large, small = read(pieces, MemoryBudget(LIMITS.held_bytes))
    assert (large.over, len(large.held.data)) == ((False, 500) if size == 500 else (True, 0))
    assert (small.over, bytes(small.held.data)) == (False, b"x")


def test_one_file_too_many_is_refused() -> None:
    with pytest.raises(ApiError, match="more than 4 files") as refused:
        read([body([*FILES, ("e", b"")])], MemoryBudget(LIMITS.held_bytes))
    assert refused.value.status == 413


def test_a_request_that_stops_arriving_is_given_up() -> None:
    with pytest.raises(ApiError) as refused:
        read([body(FILES)[:200]], MemoryBudget(LIMITS.held_bytes), whole=False)
    assert (refused.value.status, refused.value.code) == (408, "stalled")


@pytest.mark.parametrize("pause_s", [0.0, 0.01])
def test_a_request_that_never_stops_arriving_is_given_up(pause_s: float) -> None:
    async def receive() -> Message:
        await asyncio.sleep(pause_s)
        return {"type": "http.request", "body": b"\r\n", "more_body": True}

    headers = [(b"content-type", b"multipart/form-data; boundary=b")]
    request = Request({"type": "http", "headers": headers}, receive)
    limits = replace(LIMITS, transfer_s=0.2, file_bytes=10**9)
    with pytest.raises(ApiError) as refused:
        asyncio.run(read_uploads(request, limits, MemoryBudget(limits.held_bytes)))
    assert (refused.value.status, refused.value.code) == (408, "stalled")
    assert refused.value.headers == {"Connection": "close"}


@pytest.mark.parametrize("length", [257, 50_000])
def test_a_long_boundary_is_refused(length: int) -> None:
    headers = [(b"content-type", b"multipart/form-data; boundary=" + b"b" * length)]
    request = Request({"type": "http", "headers": headers})
    with pytest.raises(ApiError) as refused:
        asyncio.run(read_uploads(request, LIMITS, MemoryBudget(1000)))
    assert refused.value.status == 400


@pytest.mark.parametrize("part", ["field", "value", "name"])
def test_a_long_header_of_a_part_is_refused_however_it_comes(part: str) -> None:
    long = b"a" * 10_000
    header = {"field": long + b": b\r\n", "value": b"X: " + long + b"\r\n"}.get(part, b"")
    name = long if part == "name" else b"a"
    whole = b'--b\r\n%bContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n' % (
        header, name,
    )  # fmt: skip
    pieces = [whole[start : start + 100] for start in range(0, len(whole), 100)]
    for sent in ([whole], pieces):
        with pytest.raises(ApiError) as refused:
            read(sent, MemoryBudget(10**6), limits=replace(LIMITS, file_bytes=10**5))
        assert refused.value.status == 400


def test_all_requests_together_hold_no_more_than_they_may() -> None:
    room = sum(getsizeof(bytearray(data)) for _, data in FILES if data) + 100
    memory = MemoryBudget(room)
    other = HeldBytes(memory, bytes(101))
    with pytest.raises(ApiError) as refused:
        read([body(FILES)], memory)
    assert (refused.value.status, refused.value.headers) == (503, {"Retry-After": "5"})
    assert memory.held == getsizeof(other.data)
    del other
    assert len(read([body(FILES)], memory)) == 4


@given(st.lists(st.binary(max_size=3000)))
def test_what_is_counted_is_what_memory_is_taken(pieces: list[bytes]) -> None:
    memory = MemoryBudget(10**9)
    held = HeldBytes(memory)
    for piece in pieces:
        held.extend(piece)
    assert bytes(held.data) == b"".join(pieces)
    assert memory.held == (getsizeof(held.data) if held.data else 0)
    held.clear()
    assert memory.held == 0


def test_what_is_over_the_budget_is_given_back() -> None:
    memory = MemoryBudget(1000)
    held = HeldBytes(memory, b"a" * 100)
    with pytest.raises(ApiError):
        held.extend(bytes(1000))
    assert memory.held == 0
    with pytest.raises(ApiError):
        HeldBytes(memory, bytes(1001))
    assert memory.held == 0


def test_what_is_freed_while_more_is_taken_stops_nobody() -> None:
    memory = MemoryBudget(10**6)

    def take() -> None:
        for threshold in range(1, 20):  # so that the collector comes at any step of it
            gc.collect()
            gc.set_threshold(threshold)
            cycle: list[object] = [HeldBytes(memory, bytes(100))]
            cycle.append(cycle)
            del cycle
            with contextlib.suppress(ApiError):
                memory.take(10**7)

    before = gc.get_threshold()
    gc.freeze()  # what other tests left is not gone through each time
    taker = threading.Thread(target=take, daemon=True)
    try:
        taker.start()
        taker.join(20)
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()
    assert not taker.is_alive()
    gc.collect()
    assert memory.held == 0
