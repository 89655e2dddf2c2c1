"""A server from start to end: workers that die or are stuck, signals, a taken port."""

import os
import resource
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.inference.toy import disc
from tests.serving.serving import (
    COMMAND,
    Server,
    files,
    limited,
    running,
    runs,
    serving,
    wait_until,
)

pytestmark = pytest.mark.slow
GOOD = disc(120)
# A worker that a test stops must not be given up on a busy machine before the test is done with it.
_PATIENT = ("--timeout-s", "600")


def predict(server: Server) -> httpx.Response:
    return httpx.post(f"{server.url}/predict", files=files(("a", GOOD)), timeout=60)


def fresh(server: Server, dead: set[int]) -> set[int]:
    """Its workers, if all are ready again and none is one of those."""
    health = httpx.get(f"{server.url}/health")
    workers = server.workers()
    whole = health.status_code == 200 and health.json()["workers"] == len(workers) == 2
    return workers if whole and not workers & dead else set()


def test_killed_workers_are_replaced_and_nothing_is_lost(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "2") as server:
        expected = predict(server).json()
        for number in (signal.SIGKILL, signal.SIGSEGV):
            dead = server.workers()
            for pid in dead:
                os.kill(pid, number)
            assert predict(server).json() == expected
            wait_until(partial(fresh, server, dead))
        assert predict(server).json() == expected


def test_a_worker_killed_at_work_costs_no_answer(toy: Path, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with serving(toy, tmp_path, "--workers", "2") as server:
        senders = [
            threading.Thread(target=lambda: answers.append(predict(server))) for _ in range(40)
        ]
        for number, sender in enumerate(senders):
            sender.start()
            if number == 20:
                os.kill(server.workers().pop(), signal.SIGKILL)
        for sender in senders:
            sender.join()
        assert [answer.status_code for answer in answers] == [200] * 40


def test_a_stuck_worker_is_given_up_and_replaced(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1", "--timeout-s", "1.5") as server:
        assert predict(server).status_code == 200
        [stuck] = server.workers()
        os.kill(stuck, signal.SIGSTOP)
        answer = predict(server)
        assert answer.status_code == 504
        assert answer.json()["error"]["code"] == "too_slow"
        assert not runs(stuck)
        assert predict(server).status_code == 200


def test_more_than_may_wait_is_refused_and_what_waits_is_answered(
    toy: Path, tmp_path: Path
) -> None:
    answers: list[httpx.Response] = []
    with serving(toy, tmp_path, "--workers", "1", *_PATIENT) as server:
        [worker] = server.workers()
        os.kill(worker, signal.SIGSTOP)
        url, many = f"{server.url}/predict", files(*[("a", GOOD)] * 32)
        senders = [
            threading.Thread(target=lambda: answers.append(httpx.post(url, files=many, timeout=60)))
            for _ in range(4)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 4 * 32 - 1)
        refused = httpx.post(url, files=many)
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "busy"
        assert 1 <= int(refused.headers["Retry-After"]) < 600
        os.kill(worker, signal.SIGCONT)
        for sender in senders:
            sender.join()
    assert [answer.status_code for answer in answers] == [200] * 4


def test_what_takes_too_long_is_504_every_time(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1", "--timeout-s", "0.001") as server:
        assert [predict(server).status_code for _ in range(2)] == [504, 504]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_requests_in_flight_be_answered(
    toy: Path, tmp_path: Path, number: signal.Signals
) -> None:
    answers: list[httpx.Response] = []
    with serving(toy, tmp_path, "--workers", "1", *_PATIENT) as server:
        [worker] = server.workers()
        os.kill(worker, signal.SIGSTOP)  # so that all wait before the signal comes
        many = files(*[("a", GOOD)] * 4)
        url = f"{server.url}/predict?heatmap=true"
        senders = [
            threading.Thread(target=lambda: answers.append(httpx.post(url, files=many, timeout=60)))
            for _ in range(8)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 8 * 4 - 1)
        server.process.send_signal(number)
        os.kill(worker, signal.SIGCONT)
        for sender in senders:
            sender.join()
        assert server.process.wait(30) == 0
        assert len(answers) == len(senders)
        for answer in answers:
            assert answer.status_code == 200
            assert all(len(file["slices"]) == 1 for file in answer.json()["files"])
        with pytest.raises(httpx.ConnectError):
            predict(server)
        wait_until(lambda: not runs(worker))


def test_no_worker_outlives_a_server_that_was_killed(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "2") as server:
        workers = server.workers()
        assert len(workers) == 2
        os.kill(workers.copy().pop(), signal.SIGTERM)  # of its group: not theirs to follow
        assert predict(server).status_code == 200
        assert server.workers() == workers
        server.process.kill()
        wait_until(lambda: not any(map(runs, workers)))


def test_work_for_a_client_that_left_is_dropped(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1") as server:
        many = files(*[("a", GOOD)] * 30)
        with httpx.Client(base_url=server.url) as client:
            for _ in range(3):
                with pytest.raises(httpx.ReadTimeout):
                    client.post("/predict?heatmap=true", files=many, timeout=0.3)
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 0)
        assert predict(server).status_code == 200
        assert "POST /predict -" in server.log.read_text(encoding="utf-8")


def post(server: Server, count: int, answers: list[httpx.Response]) -> threading.Thread:
    """Send so many files in one request, without waiting for the answer."""
    url, many = f"{server.url}/predict", files(*[("a", GOOD)] * count)
    sender = threading.Thread(
        target=lambda: answers.append(httpx.post(url, files=many, timeout=60))
    )
    sender.start()
    return sender


@contextmanager
def short_of_files(server: Server) -> Iterator[None]:
    """For the time of the block the server can open no file more than the client's connection."""
    pid, before = server.process.pid, resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE)
    wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
    descriptors = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    free = next(number for number in range(len(descriptors) + 1) if number not in descriptors)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (free + 1, before[1]))
    try:
        yield
    finally:
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)


def test_a_worker_lost_while_files_are_short_comes_back(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1", *_PATIENT) as server:
        [worker] = server.workers()
        answers: list[httpx.Response] = []
        os.kill(worker, signal.SIGSTOP)
        sender = post(server, 3, answers)
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 2)
        with short_of_files(server):
            os.kill(worker, signal.SIGKILL)
            sender.join()  # what waited is answered, since no worker can be started
            [files_of] = [answer.json()["files"] for answer in answers]
            assert {file["error"]["code"] for file in files_of} == {"not_ready"}
            refused = predict(server)
            assert (refused.status_code, refused.json()["error"]["code"]) == (503, "not_ready")
            assert httpx.get(f"{server.url}/health").status_code == 503
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
        assert predict(server).status_code == 200
        log = server.log.read_text(encoding="utf-8")
        assert "no worker: a process cannot be started: [Errno 24] Too many open files" in log
        assert "Traceback" not in log


def test_while_one_worker_cannot_be_started_the_other_does_all(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "2") as server:
        expected = predict(server).json()
        with short_of_files(server):
            dead = server.workers().pop()
            os.kill(dead, signal.SIGKILL)
            wait_until(lambda: "no worker" in server.log.read_text(encoding="utf-8"))
            for _ in range(5):
                assert predict(server).json() == expected
        wait_until(partial(fresh, server, {dead}))


def test_a_file_in_a_lost_workers_hands_goes_to_another(toy: Path, tmp_path: Path) -> None:
    answers: list[httpx.Response] = []
    with serving(toy, tmp_path, "--workers", "2", *_PATIENT) as server:
        workers = server.workers()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        sender = post(server, 3, answers)
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 1)
        with short_of_files(server):
            dead = workers.pop()
            os.kill(dead, signal.SIGKILL)
            os.kill(workers.pop(), signal.SIGCONT)
            sender.join()
        assert all("slices" in file for file in answers[0].json()["files"])


def test_a_file_from_a_lost_workers_hands_leaves_with_its_client(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "2", *_PATIENT) as server, ExitStack() as opened:

        def queue() -> int:
            return int(httpx.get(f"{server.url}/health").json()["queue"])

        workers = server.workers()
        for worker in workers:
            os.kill(worker, signal.SIGSTOP)
        host, port = server.url.removeprefix("http://").split(":")
        request = httpx.Request("POST", f"{server.url}/predict", files=files(*[("a", GOOD)] * 3))
        lines = "".join(f"{name}: {value}\r\n" for name, value in request.headers.items())
        client = opened.enter_context(socket.create_connection((host, int(port))))
        client.sendall(f"POST /predict HTTP/1.1\r\n{lines}\r\n".encode() + request.read())
        wait_until(lambda: queue() == 1)
        with short_of_files(server):
            os.kill(workers.pop(), signal.SIGKILL)
            wait_until(lambda: queue() == 2)  # the file that it had is back
            client.close()
            wait_until(lambda: queue() == 0)
        os.kill(workers.pop(), signal.SIGCONT)
        wait_until(lambda: predict(server).status_code == 200)


def test_connections_leave_files_for_another_worker(toy: Path, tmp_path: Path) -> None:
    command = f'ulimit -n 96; exec "{COMMAND}" serve --model "{toy}" --port 0 --workers 1'
    with running(["bash", "-c", command], tmp_path) as server, ExitStack() as opened:
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
        [worker] = server.workers()
        host, port = server.url.removeprefix("http://").split(":")
        for _ in range(100):
            opened.enter_context(socket.create_connection((host, int(port))))
        os.kill(worker, signal.SIGKILL)
        wait_until(lambda: server.workers() - {worker})
        opened.close()
        time.sleep(0.5)
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
        assert predict(server).status_code == 200
        log = server.log.read_text(encoding="utf-8")
        assert "Too many open files" not in log
        assert "Traceback" not in log


def test_the_end_does_not_wait_for_what_nobody_waits_for(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1", "--timeout-s", "15") as server:
        [worker] = server.workers()
        os.kill(worker, signal.SIGSTOP)
        many = files(*[("a", GOOD)] * 32)
        for _ in range(6):  # more than may wait, were they not to leave
            with pytest.raises(httpx.ReadTimeout):
                httpx.post(f"{server.url}/predict", files=many, timeout=0.5)
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] == 0)
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(f"{server.url}/predict", files=many, timeout=0.5)
        answers: list[httpx.Response] = []
        sender = post(server, 4, answers)
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] > 0)
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(60) == 0
        sender.join()
        assert answers[0].status_code in (200, 503)
        log = server.log.read_text(encoding="utf-8")
        for word in ("Traceback", "never retrieved", "Invalid", "exception"):
            assert word not in log


def test_an_upload_that_goes_on_is_told_that_the_server_ends(toy: Path, tmp_path: Path) -> None:
    with serving(toy, tmp_path, "--workers", "1", "--timeout-s", "0.5") as server:
        wait_until(lambda: httpx.get(f"{server.url}/health").status_code == 200)
        host, port = server.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=30) as connection:
            connection.sendall(
                b"POST /predict HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999\r\n"
                b"Content-Type: multipart/form-data; boundary=b\r\n\r\n--b\r\n"
            )
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(30) == 0
            answer = connection.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503")
        assert b'"code":"stopping"' in answer
        assert b"content-security-policy" in answer.lower()
        assert "Traceback" not in server.log.read_text(encoding="utf-8")


def test_files_are_held_once(toy: Path, tmp_path: Path) -> None:
    size, count = 18_000_000, 4
    sent = files(*[("a", b"\x89PNG\r\n\x1a\n" + os.urandom(size))] * count)
    with limited(toy, tmp_path, file_bytes=20_000_000, timeout_s=60) as server:
        assert predict(server).status_code == 200
        [worker] = server.workers()
        before = server.peak_mb()
        os.kill(worker, signal.SIGSTOP)  # so that all wait, one of them half on its way
        url = f"{server.url}/predict"
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, files=sent, timeout=3)
        grown = server.peak_mb() - before
        os.kill(worker, signal.SIGCONT)
        assert httpx.post(url, files=sent, timeout=60).status_code == 200
        assert server.peak_mb() - before < grown + 40
    assert grown < 1.25 * count * size / 1e6 + 10  # arrays have room to grow


@pytest.mark.parametrize(
    ("host", "named"),
    [("::1", "[::1]"), ("127.0.0.2", "127.0.0.2"), ("localhost", "localhost"), ("127.1", "127.1")],
)
def test_on_loopback_only_names_of_this_machine_are_taken(
    toy: Path, tmp_path: Path, host: str, named: str
) -> None:
    with limited(toy, tmp_path, host=host) as server:
        port = server.url.rpartition(":")[2]
        for name, status in ((named, 200), ("[::1]", 200), ("evil.example", 400)):
            answer = httpx.get(f"{server.url}/model", headers={"Host": f"{name}:{port}"})
            assert answer.status_code == status
            assert "Content-Security-Policy" in answer.headers
            assert answer.headers["Content-Type"] == "application/json"


def test_where_others_are_let_in_any_name_is_taken(toy: Path, tmp_path: Path) -> None:
    with limited(toy, tmp_path, host="0.0.0.0") as server:
        headers = {"Host": "hospital.example"}
        assert httpx.get(f"{server.url}/model", headers=headers).status_code == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "TAKEN"], "127.0.0.1:TAKEN: Address already in use; give another"),
        (["--host", "192.0.2.1"], "192.0.2.1:8000: "),
        (["--host", "a..b"], "a..b:8000: "),
        (["--host", "nowhere.invalid"], "nowhere.invalid:8000: "),
        (["--model", "nowhere"], "nowhere: no registered model"),
        (["--model", "BROKEN"], "network.onnx"),
    ],
)
def test_what_cannot_work_is_said_in_a_line(
    toy: Path, tmp_path: Path, options: list[str], words: str
) -> None:
    broken = tmp_path / "broken"
    (broken / "artifacts" / "bundle").mkdir(parents=True)
    for path in (toy / "artifacts" / "bundle").iterdir():
        if path.name != "network.onnx":
            (broken / "artifacts" / "bundle" / path.name).write_bytes(path.read_bytes())
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        replaced = {"TAKEN": port, "BROKEN": str(broken)}
        arguments = [replaced.get(option, option) for option in options]
        free = [] if {"--port", "--host"} & {*arguments} else ["--port", "0"]
        process = subprocess.run(
            [COMMAND, "serve", "--model", toy, *free, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
    assert process.returncode == 1
    assert process.stdout == ""
    assert process.stderr.startswith("error: ")
    assert process.stderr.count("\n") == 1
    assert words.replace("TAKEN", port) in process.stderr
