"""The machines of a cluster do what the processes of this one do, and are told apart by version."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from brain_tumor.data.phantom.folder import generate
from tests import sections
from tests.dask_cluster import (
    ROOT,
    Cluster,
    altered_package,
    dask_cluster,
    project_environment,
)
from tests.inference.toy import write_model
from tests.test_command import in_foreground

pytestmark = pytest.mark.slow
_PATIENCE_S = 300


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    with dask_cluster(tmp_path_factory.mktemp("cluster")) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """A cluster of two workers that no test kills."""
    with (
        dask_cluster(tmp_path_factory.mktemp("pair")) as cluster,
        cluster.worker(0),
        cluster.worker(1),
    ):
        yield cluster


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Heads, a file that is none and one whose name has no ending."""
    folder = tmp_path_factory.mktemp("data")
    generate(folder, sections.phantom(no=24, yes=24, exact_duplicates=2, near_duplicates=2))
    (folder / "no/broken.png").write_bytes(b"no picture")
    (folder / "no/link.png").symlink_to("nowhere")
    Image.fromarray(np.zeros((300, 300), np.uint8)).save(folder / "no/blank.jpg")
    return folder


def work(kind: str, out: Path, *arguments: Path) -> list[str]:
    folder, *rest = arguments or (out.parent,)
    words = [str(word) for word in (kind, folder, out, *rest)]
    code = "from brain_tumor.command import run; from tests.spread_work import main; run(main)"
    return [sys.executable, "-c", code, *words]


def spread(
    kind: str, out: Path, environment: dict[str, str], *arguments: Path
) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        work(kind, out, *arguments), env=environment, cwd=ROOT, capture_output=True, text=True,
        check=False, timeout=_PATIENCE_S,
    )  # fmt: skip


def result(kind: str, out: Path, environment: dict[str, str], *arguments: Path) -> Any:
    done = spread(kind, out, environment, *arguments)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "Warning" not in done.stderr
    return json.loads(out.read_text())


def lines_of(errors: str) -> list[str]:
    """What a command says, without how far it is: a busy machine has it take over ten seconds."""
    return [line for line in errors.splitlines() if not line.endswith((" left", " so far"))]


def test_results_are_in_order_and_tasks_are_read_here(pair: Cluster, tmp_path: Path) -> None:
    assert result("square", tmp_path / "a", pair.client()) == [n**2 for n in range(40)]
    rows = result("whose", tmp_path / "b", pair.client())
    assert isinstance(rows, list)
    assert {on_cluster for _, on_cluster in rows} == {True}
    assert len({process for process, _ in rows}) == 2


def test_large_pictures_come_and_go(pair: Cluster, tmp_path: Path) -> None:
    assert result("large", tmp_path / "a", pair.client()) == [36 << 20] * 6


def test_a_fault_in_a_task_keeps_its_traceback(pair: Cluster, tmp_path: Path) -> None:
    done = spread("refuse", tmp_path / "a", pair.client())
    assert done.returncode == 1
    assert "KeyError: 'five'" in done.stderr
    assert "in refuse" in done.stderr


def test_what_is_not_installed_there_is_named(pair: Cluster, tmp_path: Path) -> None:
    """The versions of TensorFlow matter where it computes."""
    assert result("trunk", tmp_path / "a", pair.client()) == [0, 1, 4, 9]


@pytest.mark.parametrize("kind", ["facts", "preprocess", "predict"])
def test_a_killed_worker_changes_no_byte(
    kind: str, cluster: Cluster, data: Path, tmp_path: Path
) -> None:
    arguments = (data, *([write_model(tmp_path)] if kind == "predict" else []))
    expected = result(kind, tmp_path / "here", project_environment(), *arguments)
    with cluster.worker(0, "--no-nanny") as victim, cluster.worker(1):
        client = subprocess.Popen(
            work(kind, tmp_path / "there", *arguments), env=cluster.client(), cwd=ROOT,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        _until(lambda: "_install" in cluster.log(-2))
        os.kill(victim.pid, signal.SIGKILL)
        assert client.poll() is None
        _, errors = client.communicate(timeout=_PATIENCE_S)
        assert client.returncode == 0, errors
    assert json.loads((tmp_path / "there").read_text()) == expected
    assert len(lines_of(errors)) == 1, errors


def test_features_of_the_trunk_are_those_of_this_machine(
    pair: Cluster, random_weights: Path, tmp_path: Path
) -> None:
    """Within the rounding of float32: another process may add in another order."""
    weights = tmp_path / "own.weights.h5"
    shutil.copy(random_weights, weights)
    here = result("features", tmp_path / "here", project_environment(), weights)
    there = result("features", tmp_path / "there", pair.client(), weights)
    for ours, theirs, tolerance in zip(here, there, (1e-4, 1e-2), strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=tolerance, atol=1e-6 * np.max(ours))


def test_a_task_that_ends_every_worker_is_lost_alone(cluster: Cluster, tmp_path: Path) -> None:
    others = [n for n in range(20) if n != 7]
    with cluster.worker(0), cluster.worker(1):
        rows = result("fatal", tmp_path / "a", cluster.client())
        assert rows == [*others[:7], "lost 7", *others[7:]]
        done = spread("ended", tmp_path / "b", cluster.client())
    assert done.returncode == 1
    [line] = [line for line in done.stderr.splitlines() if "error" in line]
    assert line.startswith("error: fatal: task 8 ended the processes that worked on it")


def test_another_version_is_refused_by_name(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.worker(0), cluster.worker(1, PYTHONPATH=altered_package(tmp_path)):
        done = spread("square", tmp_path / "a", cluster.client())
        assert "_install" not in cluster.log(-1)
    assert done.returncode == 1
    [line] = lines_of(done.stderr)
    assert line.startswith(f"error: the worker tcp://{cluster.places[1].address}")
    assert "code of brain_tumor and tests" in line
    assert "(here " in line


def test_a_worker_that_comes_later_works_if_it_is_the_same(
    cluster: Cluster, tmp_path: Path
) -> None:
    altered = altered_package(tmp_path)
    with cluster.worker(0):
        first = len(cluster.logs)
        client = subprocess.Popen(
            work("long", tmp_path / "a"), env=cluster.client(), cwd=ROOT, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        _until(lambda: "_install" in cluster.log(first - 1))
        with cluster.worker(1, PYTHONPATH=altered), cluster.worker(1):
            _, errors = client.communicate(timeout=_PATIENCE_S)
            assert client.returncode == 0, errors
            assert "_install" not in cluster.log(first)
            assert "_install" in cluster.log(first + 1)
    assert "note: not used: the worker tcp://" in errors


def _until(is_true: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_S
    while not is_true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_interrupted_command_calls_its_tasks_back(cluster: Cluster, tmp_path: Path) -> None:
    with cluster.worker(0), cluster.worker(1):
        client = subprocess.Popen(
            in_foreground(*work("forever", tmp_path / "a")), env=cluster.client(), cwd=ROOT,
            stderr=subprocess.PIPE, text=True,
        )  # fmt: skip
        _until(lambda: "_install" in cluster.log(-1))
        time.sleep(1)
        client.send_signal(signal.SIGINT)
        _, errors = client.communicate(timeout=30)
        assert client.returncode == 130
        assert lines_of(errors) == ["interrupted: the same command goes on from here"]
        assert "processing: 0" in _scheduler_says(cluster)


def _scheduler_says(cluster: Cluster) -> str:
    """How many tasks the scheduler has with its workers that nobody wants any more."""
    code = (
        "import os, sys; from distributed import Client\n"
        "with Client(os.environ['BRAIN_TUMOR_SCHEDULER']) as client:\n"
        "    count = client.run_on_scheduler(lambda dask_scheduler: len(dask_scheduler.tasks))\n"
        "    print('processing:', count)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=cluster.client(), capture_output=True, text=True,
        check=True,
    )  # fmt: skip
    return done.stdout


def test_two_commands_share_the_workers(pair: Cluster, tmp_path: Path) -> None:
    installed = pair.log().count("_install")
    first = subprocess.Popen(
        work("long", tmp_path / "first"), env=pair.client(), cwd=ROOT, stderr=subprocess.PIPE,
        text=True,
    )  # fmt: skip
    _until(lambda: pair.log().count("_install") > installed)
    assert result("square", tmp_path / "second", pair.client()) == [n**2 for n in range(40)]
    _, errors = first.communicate(timeout=_PATIENCE_S)
    assert first.returncode == 0, errors
    assert json.loads((tmp_path / "first").read_text()) == [n**2 for n in range(300)]


def test_a_scheduler_that_ends_in_the_middle_is_a_line(tmp_path: Path) -> None:
    with dask_cluster(tmp_path, 1) as own, own.worker(0):
        client = subprocess.Popen(
            work("forever", tmp_path / "a"), env=own.client(), cwd=ROOT, stderr=subprocess.PIPE,
            text=True,
        )  # fmt: skip
        _until(lambda: "_install" in own.log())
        own.scheduler.kill()
        _, errors = client.communicate(timeout=_PATIENCE_S)
    assert client.returncode == 1
    [line] = lines_of(errors)
    assert line.startswith(f"error: {own.address} (BRAIN_TUMOR_SCHEDULER): the scheduler does not")
    assert not (tmp_path / "a").exists()


def test_certificates_that_are_not_there_are_a_line(cluster: Cluster, tmp_path: Path) -> None:
    files = {
        f"DASK_DISTRIBUTED__COMM__TLS__{name}": str(tmp_path / "none.pem")
        for name in ("CA_FILE", "CLIENT__CERT", "CLIENT__KEY")
    }
    address = "tls://127.0.0.1:9"
    done = spread("square", tmp_path / "a", cluster.client(BRAIN_TUMOR_SCHEDULER=address, **files))
    assert done.returncode == 1
    [line] = lines_of(done.stderr)
    assert line.startswith(f"error: {address} (BRAIN_TUMOR_SCHEDULER): ")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("tcp://127.0.0.1:9", "the scheduler cannot be reached"),
        ("127.0.0.1:8786", "tcp://HOST:8786 or tls://HOST:8786 is needed"),
        ("tls://127.0.0.1:9", "TLS needs certificates"),
        ("", "no worker there for 8 s"),
    ],
)
def test_a_cluster_that_cannot_be_used_is_a_line(
    address: str, words: str, cluster: Cluster, tmp_path: Path
) -> None:
    address = address or cluster.address
    done = spread("square", tmp_path / "a", cluster.client(BRAIN_TUMOR_SCHEDULER=address))
    assert done.returncode == 1
    [line] = lines_of(done.stderr)
    assert line.startswith("error: ")
    assert address in line
    assert words in line
