"""A server from start to end: workers that die or are stuck, signals, a taken port."""

import os
import signal
import socket
import subprocess
import threading
from functools import partial
from pathlib import Path

import httpx
import pytest

from tests.inference.toy import disc
from tests.serving.serving import COMMAND, Server, files, runs, serving, wait_until

pytestmark = pytest.mark.slow
GOOD = disc(120)


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
    with serving(toy, tmp_path, "--workers", "1") as server:
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
    with serving(toy, tmp_path, "--workers", "1") as server:
        many = files(*[("a", GOOD)] * 12)
        url = f"{server.url}/predict?heatmap=true"
        senders = [
            threading.Thread(target=lambda: answers.append(httpx.post(url, files=many, timeout=60)))
            for _ in range(8)
        ]
        for sender in senders:
            sender.start()
        wait_until(lambda: httpx.get(f"{server.url}/health").json()["queue"] > 7 * 12)
        workers = server.workers()
        server.process.send_signal(number)
        for sender in senders:
            sender.join()
        assert server.process.wait(30) == 0
        assert len(answers) == len(senders)
        for answer in answers:
            assert answer.status_code == 200
            assert all(len(file["slices"]) == 1 for file in answer.json()["files"])
        with pytest.raises(httpx.ConnectError):
            predict(server)
        wait_until(lambda: not any(map(runs, workers)))


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


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--port", "TAKEN"], "127.0.0.1:TAKEN: Address already in use; give another"),
        (["--host", "192.0.2.1"], "192.0.2.1:8000: "),
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
        free = [] if "--port" in arguments or "192.0.2.1" in arguments else ["--port", "0"]
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
