"""A store behind HTTP that is not there, or lets nobody in: one line, soon, without secrets."""

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest

from brain_tumor.machine import repository_root
from brain_tumor.outputs import Registered
from brain_tumor.tracking import connection, runs
from brain_tumor.tracking.connection import relocate

Answer = tuple[int, str, str]
Serve = Callable[[Answer], str]
SECONDS = 20


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start an HTTP server that says the same to everybody; its address."""
    started: list[ThreadingHTTPServer] = []

    def start(answer: Answer) -> str:
        status, kind, text = answer

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *_: object) -> None: ...

        started.append(ThreadingHTTPServer(("127.0.0.1", 0), Handler))
        Thread(target=started[-1].serve_forever, daemon=True).start()
        return f"127.0.0.1:{started[-1].server_port}"

    yield start
    for server in started:
        server.shutdown()
        server.server_close()


def nobody() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{free.getsockname()[1]}"


def refused(monkeypatch: pytest.MonkeyPatch, uri: str) -> str:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    waits: list[float] = []  # between two looks at the server
    with monkeypatch.context() as patch:
        patch.setattr(time, "sleep", waits.append)
        with pytest.raises(connection.StoreError) as caught:
            connection.connect()
    assert sum(waits) < SECONDS
    message = str(caught.value)
    assert "MLFLOW_TRACKING_URI" in message
    assert "\n" not in message
    assert "hush" not in message
    return message


def test_server_that_is_not_there_is_named_within_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    address = nobody()
    message = refused(monkeypatch, f"http://me:hush@{address}/team/")
    assert f"http://{address}/team " in message
    assert "Connection refused" in message


def test_host_without_address_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    message = refused(monkeypatch, "http://me:hush@mlflow.invalid:5000")
    assert "mlflow.invalid" in message


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((503, "text/plain", "starting"), "503"),
        ((401, "text/plain", "You are not authenticated"), "You are not authenticated"),
        ((403, "text/plain", "Invalid Host header"), "Invalid Host header"),
        ((200, "text/html", "<html>a shop</html>"), "no MLflow server"),
        ((404, "text/html", "<html>nothing</html>"), "no MLflow server"),
    ],
)
def test_answer_of_something_else_is_explained(
    answer: Answer, words: str, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert words in refused(monkeypatch, f"http://me:hush@{serve(answer)}")


def test_stage_says_it_in_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "params.yaml").write_bytes((Path(__file__).parents[2] / "params.yaml").read_bytes())
    registered = Registered(
        name="n", version="1", alias=None, run_id="r", digest="d", decision={"reason": "first"}
    )
    registered.write(tmp_path / "outputs" / "registered.json")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hush@{nobody()}")
    command = [str(Path(sys.executable).with_name("brain-tumor")), "registry", "sync"]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith("error: http://127.0.0.1:")
    assert "MLFLOW_TRACKING_URI" in line
    assert "hush" not in result.stderr + result.stdout


@pytest.mark.parametrize("variable", ["localhost:5000", "mlflow.example.org:80/"])
def test_address_without_scheme_is_refused(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    with pytest.raises(ValueError, match=f"write http://{variable}"):
        connection.tracking_uri()


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("http://me:hush@host:5000/mlflow", "http://host:5000/mlflow"),
        ("https://hush@host", "https://host"),
        ("https://host/a@b", "https://host/a@b"),
        ("http://me:hu@sh@host", "http://host"),
        ("http://me:hu/sh@host/mlflow", "http://host/mlflow"),
        ("postgresql://me@host/db?password=hush&x=1", "postgresql://host/db?password=***&x=1"),
    ],
)
def test_login_is_not_shown(uri: str, text: str) -> None:
    assert connection.shown(uri) == text


def test_password_with_a_space_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hu sh@host/db")
    text = "cannot reach postgresql://me:hu sh@host/db (refused)"
    assert connection.shown(text) == "cannot reach postgresql://host/db (refused)"


_HOLD_A_RUN_OPEN = """
import sys, time
from brain_tumor.command import reporting_errors
from brain_tumor.tracking import runs
with reporting_errors(), runs.start_run("held", {}, {}) as run:
    print(run.run_id, flush=True)
    sys.stdin.readline()
    run.log_metrics({"loss": 1.0})
"""


@pytest.mark.slow
def test_server_that_goes_away_ends_the_run_with_one_line_and_the_next_run_closes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.team.servers import served

    address = nobody()
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1"]
    command += ["--port", address.partition(":")[2]]
    command += ["--backend-store-uri", f"sqlite:///{tmp_path / 'server.db'}"]
    environment = dict(os.environ) | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:hush@{address}")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    log, health = tmp_path / "server.log", f"http://{address}/health"
    with served(command, environment, log, health):
        worker = subprocess.Popen(
            [sys.executable, "-c", _HOLD_A_RUN_OPEN],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert worker.stdout is not None
        run_id = worker.stdout.readline().strip()
    _, errors = worker.communicate("go on\n", timeout=60)
    assert worker.returncode == 1
    assert "MLFLOW_TRACKING_URI" in errors.splitlines()[-1]
    assert "Connection refused" in errors.splitlines()[-1]
    assert "hush" not in errors

    with served(command, environment, log, health), runs.start_run("next", {}, {}) as run:
        assert run.client.get_run(run_id).info.status == "KILLED"


def test_store_lies_in_the_repository_dvc_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmp123"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert connection.tracking_uri() == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


def test_store_lies_in_the_nearest_repository_without_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT")
    (tmp_path / ".git").mkdir()
    deep = tmp_path / "docs" / "pages"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert repository_root() == tmp_path
    (tmp_path / "docs" / ".dvc").mkdir()
    assert repository_root() == tmp_path / "docs"


@pytest.mark.parametrize(
    ("variable", "used"),
    [
        ("https://mlflow.example.org", "https://mlflow.example.org"),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db"),
        ("sqlite:///runs.db", "sqlite:///{root}/runs.db"),
    ],
)
def test_environment_names_the_store(
    variable: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", variable)
    assert connection.tracking_uri() == used.format(root=tmp_path)


def test_moved_store_finds_its_artifacts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old ünder #1 100%", tmp_path / "old ünder #1 100%" / "new"
    monkeypatch.setenv("DVC_ROOT", str(old))
    note = tmp_path / "note.txt"
    note.write_text("kept", encoding="utf-8")
    with runs.start_run("train", {}, {}) as run:
        run.log_file(note, "notes")
    new.mkdir()
    (old / "mlruns").rename(new / "mlruns")

    monkeypatch.setenv("DVC_ROOT", str(new))
    client = connection.connect()
    fetched = client.download_artifacts(run.run_id, "notes/note.txt", str(tmp_path))
    assert Path(fetched).read_text(encoding="utf-8") == "kept"
    location = client.get_experiment(connection.experiment_id(client)).artifact_location
    assert location == str(new / "mlruns" / "artifacts")
    assert relocate(new / "mlruns" / "mlflow.db") == 0


def test_experiments_elsewhere_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    monkeypatch.setenv("DVC_ROOT", str(old))
    client = connection.make_and_connect()
    connection.experiment_id(client)
    client.create_experiment("bucket", artifact_location="s3://bucket/artifacts")
    client.create_experiment("beside", artifact_location=f"{old}er/mlruns/artifacts")
    shutil.copytree(old, new)

    monkeypatch.setenv("DVC_ROOT", str(new))
    locations = {
        item.name: item.artifact_location for item in connection.connect().search_experiments()
    }
    assert locations["bucket"] == "s3://bucket/artifacts"
    assert locations["beside"] == f"{old}er/mlruns/artifacts"
    assert locations["brain-tumor"] == str(new / "mlruns" / "artifacts")


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    assert relocate(tmp_path / "missing.db") == 0
    assert not (tmp_path / "missing.db").exists()
