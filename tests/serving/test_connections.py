"""Connections as a hostile or broken client makes them: bounded, and answered in one form."""

import json
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import numpy as np
import pytest
from PIL import Image

from brain_tumor.serving.connections import IDLE_S
from tests.inference.toy import disc
from tests.serving.serving import Server, files, limited, wait_until

HEADERS_S, TRANSFER_S, CONNECTIONS = 1.0, 5.0, 6
BUSY_S = 5.0  # that a machine with much to do may be late
HEAD = b"Host: localhost\r\nConnection: close\r\n"
POST = b"POST /predict HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def server(toy: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with limited(
        toy,
        tmp_path_factory.mktemp("log"),
        headers_s=HEADERS_S,
        transfer_s=TRANSFER_S,
        connections=CONNECTIONS,
    ) as started:
        wait_until(lambda: httpx.get(f"{started.url}/health").status_code == 200)
        yield started
        log = started.log.read_text(encoding="utf-8")
        for word in ("Traceback", "never retrieved", "Error"):
            assert word not in log


def connect(server: Server) -> socket.socket:
    host, port = server.url.removeprefix("http://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=30)


def rest(connection: socket.socket) -> bytes:
    """What comes until the server ends the connection."""
    received = b""
    try:
        while piece := connection.recv(65536):
            received += piece
    except ConnectionResetError:
        pass  # it did not read all
    return received


def trickle(connection: socket.socket, piece: bytes) -> bytes:
    """Send a piece every now and then until the server has had enough; what it answers."""
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            connection.sendall(piece)
        except OSError:
            break
        connection.settimeout(0.1)
        try:
            if first := connection.recv(65536):
                connection.settimeout(30)
                return first + rest(connection)
            break
        except TimeoutError:
            continue
        except ConnectionResetError:
            break
    else:
        raise AssertionError("the server goes on")
    return b""


def parsed(answer: bytes) -> tuple[int, httpx.Headers, bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name: value for name, _, value in (line.partition(": ") for line in lines)}
    return int(first.split()[1]), httpx.Headers(headers), body


def refused(answer: bytes) -> tuple[int, str]:
    """Status and code of an error, which must be in the form of all errors."""
    status, headers, body = parsed(answer)
    assert headers["Content-Type"] == "application/json"
    assert "default-src 'none'" in headers["Content-Security-Policy"]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "server" not in headers
    error = json.loads(body)["error"]
    assert error.keys() == {"code", "message"}
    assert error["message"]
    return status, error["code"]


def form(boundary: bytes) -> bytes:
    return b"Content-Type: multipart/form-data; boundary=" + boundary + b"\r\n"


BAD = {
    "no HTTP": (b"nonsense\r\n\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\nHost: localhost\r\n\r\n", 404),
    "a path that is not ASCII": ("GET /ä HTTP/1.1\r\n".encode() + HEAD + b"\r\n", 400),
    "no host": (b"GET /model HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
    "no host, HTTP/1.0": (b"GET /model HTTP/1.0\r\n\r\n", 400),
    "two hosts": (b"GET / HTTP/1.1\r\nHost: localhost\r\n" + HEAD + b"\r\n", 400),
    "another host": (b"GET / HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n", 400),
    "an empty host": (b"GET / HTTP/1.1\r\nHost: \r\nConnection: close\r\n\r\n", 400),
    "a slash too many": (b"POST /predict/ HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
    "a tunnel": (b"CONNECT evil.example:443 HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
    "of no path": (b"OPTIONS * HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
    "a method made up": (b"LOOK /model HTTP/1.1\r\n" + HEAD + b"\r\n", 405),
    "a zero in the path": (b"GET /%00 HTTP/1.1\r\n" + HEAD + b"\r\n", 404),
    "a long path": (b"GET /" + b"a" * 50_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 431),
    "a long query": (b"GET /model?" + b"a" * 50_000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", 431),
    "a long header": (b"GET / HTTP/1.1\r\nX: " + b"a" * 50_000 + b"\r\n" + HEAD + b"\r\n", 431),
    "many headers": (b"GET /model HTTP/1.1\r\n" + b"X: a\r\n" * 10_000 + HEAD + b"\r\n", 431),
    "a length of 30 digits": (POST + b"Content-Length: " + b"9" * 30 + b"\r\n\r\n", 400),
    "a negative length": (POST + b"Content-Length: -1\r\n\r\n", 400),
    "two lengths": (POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
    "an encoding that is not known": (POST + b"Transfer-Encoding: gzip\r\n\r\n", 501),
    "a damaged chunk": (POST + form(b"b") + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    "a long boundary": (POST + form(b"b" * 50_000) + HEAD[17:] + b"Content-Length: 0\r\n\r\n", 431),
    "a boundary of 300": (POST + form(b"b" * 300) + HEAD[17:] + b"Content-Length: 0\r\n\r\n", 400),
    "quotes": (POST + form(b"b" + b';"' * 5000) + HEAD[17:] + b"Content-Length: 0\r\n\r\n", 400),
    "a boundary that is not ASCII": (
        POST + form("ä".encode()) + HEAD[17:] + b"Content-Length: 0\r\n\r\n", 400,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_every_bad_request_is_answered_in_the_same_form(server: Server, name: str) -> None:
    sent, status = BAD[name]
    with connect(server) as connection:
        connection.sendall(sent)
        assert refused(rest(connection))[0] == status


@pytest.mark.parametrize("place", ["field", "value", "name"])
def test_headers_of_a_part_are_bounded(server: Server, place: str) -> None:
    long = b"a" * 100_000
    name = long if place == "name" else b"a"
    header = {"field": long + b": b\r\n", "value": b"X: " + long + b"\r\n"}.get(place, b"")
    body = b'--b\r\n%bContent-Disposition: form-data; name="files"; filename="%b"\r\n\r\n\r\n--b--'
    answer = httpx.post(
        f"{server.url}/predict",
        content=body % (header, name),
        headers={"Content-Type": "multipart/form-data; boundary=b"},
    )
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")


def test_no_websocket_is_opened(server: Server) -> None:
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13"}
    assert httpx.get(f"{server.url}/nothing", headers=upgrade).status_code == 404


def test_a_damaged_chunk_behind_an_answer_ends_the_connection(server: Server) -> None:
    with connect(server) as connection:
        sent = b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n"
        connection.sendall(sent + b"1\r\na\r\n")
        first = connection.recv(65536)
        connection.sendall(b"zz\r\n")
        assert refused(first + rest(connection)) == (404, "not_found")


def test_headers_have_a_time_limit_however_they_trickle(server: Server) -> None:
    with connect(server) as connection:
        started = time.monotonic()
        answer = trickle(connection, b"G")
        assert refused(answer) == (408, "stalled")
        assert HEADERS_S <= time.monotonic() - started < HEADERS_S + BUSY_S


def test_headers_of_a_second_request_have_one_too(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert parsed(connection.recv(65536))[0] == 200
        assert refused(trickle(connection, b"G")) == (408, "stalled")


def test_a_connection_without_a_request_is_closed(server: Server) -> None:
    with connect(server) as connection:
        started = time.monotonic()
        assert rest(connection) == b""
        assert time.monotonic() - started < HEADERS_S + BUSY_S


@pytest.mark.parametrize("chunked", [True, False])
def test_a_whole_upload_has_a_time_limit_however_it_trickles(server: Server, chunked: bool) -> None:
    length = b"Transfer-Encoding: chunked\r\n" if chunked else b"Content-Length: 9999\r\n"
    with connect(server) as connection:
        connection.sendall(POST + form(b"b") + length + b"\r\n")
        started = time.monotonic()
        answer = trickle(connection, b"1\r\n\n\r\n" if chunked else b"\n")
        assert refused(answer) == (408, "stalled")
        assert TRANSFER_S <= time.monotonic() - started < TRANSFER_S + BUSY_S


def test_a_body_that_nobody_reads_has_a_time_limit(server: Server) -> None:
    with connect(server) as connection:
        connection.sendall(
            b"POST /nothing HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n\r\n"
        )
        assert parsed(connection.recv(65536))[0] == 404
        started = time.monotonic()
        trickle(connection, b"a")
        assert time.monotonic() - started < TRANSFER_S + BUSY_S


def noise(number: int) -> bytes:
    """A picture whose heat map packs badly."""
    import io

    pixels = np.random.default_rng(number).integers(0, 255, (512, 512), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def test_an_answer_that_is_not_fetched_has_a_time_limit(server: Server) -> None:
    parts = files(*[("a", noise(0))] * 12)
    request = httpx.Request("POST", f"{server.url}/predict?heatmap=true", files=parts)
    lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(60)
        connection.connect((request.url.host, request.url.port))
        head = f"POST {request.url.raw_path.decode()} HTTP/1.1\r\n{lines}\r\n"
        connection.sendall(head.encode() + request.read())
        first = connection.recv(1000)
        assert first.startswith(b"HTTP/1.1 200")
        length = int(parsed(first)[1]["Content-Length"])
        assert length > 8e6
        time.sleep(TRANSFER_S + 1)
        assert len(rest(connection)) < length
    assert httpx.get(f"{server.url}/health").status_code == 200


def test_more_connections_than_allowed_are_told_so_and_many_more_are_cut(server: Server) -> None:
    head = POST + form(b"b") + b"Content-Length: 9999\r\n\r\n--b\r\n"
    with ExitStack() as opened:
        started = time.monotonic()
        uploads = [opened.enter_context(connect(server)) for _ in range(CONNECTIONS)]
        for upload in uploads:
            upload.sendall(head)
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 503)
        answer = httpx.get(f"{server.url}/health")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "busy")
        assert int(answer.headers["Retry-After"]) >= 1
        assert "Content-Security-Policy" in answer.headers
        more = [opened.enter_context(connect(server)) for _ in range(CONNECTIONS)]
        with pytest.raises(httpx.TransportError):
            httpx.get(f"{server.url}/health")
        assert time.monotonic() - started < TRANSFER_S
        assert [refused(rest(upload)) for upload in uploads] == [(408, "stalled")] * CONNECTIONS
        assert b"".join(map(rest, more)) == b""
    assert httpx.post(f"{server.url}/predict", files=files(("a", disc(120)))).status_code == 200


def test_who_was_refused_is_served_when_there_is_room(toy: Path, tmp_path: Path) -> None:
    with limited(toy, tmp_path, connections=2) as server, httpx.Client(timeout=30) as client:
        with ExitStack() as opened:
            for _ in range(2):
                opened.enter_context(connect(server)).sendall(b"GET /")
            time.sleep(0.2)
            answer = client.get(f"{server.url}/model")
            assert (answer.status_code, answer.headers["Connection"]) == (503, "close")
            with connect(server) as refused_one:
                refused_one.sendall(b"GET /model HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert refused(rest(refused_one)) == (503, "busy")
            large = files(("a", bytes(30_000_000)))
            assert client.post(f"{server.url}/predict", files=large).status_code == 503
        wait_until(lambda: client.get(f"{server.url}/model").status_code == 200)


def test_who_is_refused_and_sends_without_an_end_is_cut(toy: Path, tmp_path: Path) -> None:
    with limited(toy, tmp_path, connections=1) as server, connect(server) as first:
        first.sendall(b"GET /")
        time.sleep(0.2)
        with connect(server) as connection:
            started = time.monotonic()
            connection.sendall(POST + form(b"b") + b"Content-Length: 9999\r\n\r\n")
            assert refused(trickle(connection, b"\n")) == (503, "busy")
            assert time.monotonic() - started < IDLE_S + BUSY_S


def test_idle_connections_make_room(toy: Path, tmp_path: Path) -> None:
    with limited(toy, tmp_path, connections=20, headers_s=60) as server, ExitStack() as opened:
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
        idle = [opened.enter_context(connect(server)) for _ in range(20)]
        for number, connection in enumerate(idle):
            connection.sendall(b"GET /"[:number])  # a part of a request is none
        time.sleep(IDLE_S + 0.5)
        answers = [httpx.get(f"{server.url}/health").status_code for _ in range(3)]
        assert answers == [200] * 3
