"""Two processes register the same model in the same moment: it ends as one version."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.tracking import connection, models
from tests.registry.conftest import NAME, MakeOutputs

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_store")]
LIMIT_S = 600  # each starts TensorFlow and MLflow, on a machine that may be busy

_REGISTER = """
import json, sys, time
from pathlib import Path
from brain_tumor import settings
from brain_tumor.registry.register import register
from brain_tumor.tracking import pyfunc
from tests.registry.conftest import PREPROCESS, at

write, (root, mine, other) = pyfunc.log_model, map(Path, sys.argv[1:])

def write_and_wait(*arguments, **named):
    model_id = write(*arguments, **named)
    mine.touch()  # neither has seen a version of the other, both are about to make one
    while not other.exists():
        time.sleep(0.01)
    return model_id

pyfunc.log_model = write_and_wait
outputs = at(root)
registered = register(outputs, PREPROCESS, settings.read(outputs.params).register)
print(registered.model_dump_json())
"""


def start(root: Path, mine: Path, other: Path) -> "subprocess.Popen[str]":
    """Start a process that registers; a file takes what it prints, which no pipe can hold up."""
    with mine.with_suffix(".out").open("w") as output, mine.with_suffix(".err").open("w") as errors:
        return subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _REGISTER, str(root), str(mine), str(other)],
            env=os.environ.copy(),
            stdout=output,
            stderr=errors,
            text=True,
        )


def results(marks: list[Path], processes: list["subprocess.Popen[str]"]) -> list[dict[str, Any]]:
    """What both printed; if one fails the other would wait for it: its error ends the test."""
    until = time.monotonic() + LIMIT_S
    try:
        while any(process.poll() is None for process in processes):
            assert not any(process.returncode for process in processes), errors(marks)
            assert time.monotonic() < until, f"still at work after {LIMIT_S} s: {errors(marks)}"
            time.sleep(0.1)
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert not any(process.returncode for process in processes), errors(marks)
    return [json.loads(mark.with_suffix(".out").read_text().splitlines()[-1]) for mark in marks]


def errors(marks: list[Path]) -> str:
    """What the processes wrote to standard error, and how far each came."""
    texts = (mark.with_suffix(".err").read_text() for mark in marks)
    reached = [mark.name for mark in marks if mark.exists()]
    return "\n".join([f"have written their model: {reached}", *texts])


def test_two_processes_that_register_one_model_agree_on_one_version(
    tmp_path: Path, make_outputs: MakeOutputs
) -> None:
    make_outputs(tmp_path)
    marks = [tmp_path / "first", tmp_path / "second"]
    processes = [start(tmp_path, *marks), start(tmp_path, *reversed(marks))]
    first, second = results(marks, processes)

    same = ("version", "alias", "run_id", "digest")
    assert {key: first[key] for key in same} == {key: second[key] for key in same}
    assert (first["version"], first["alias"]) == ("1", "champion")
    client = connection.connect()
    (version,) = models.versions(client, NAME)
    assert (version.number, version.aliases) == ("1", ("champion",))
    assert version.run_id == first["run_id"]
    logged: Any = client.search_logged_models([connection.experiment_id(client)])
    assert [model.model_id for model in logged] == [version.model_id]
