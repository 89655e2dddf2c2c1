"""Two processes register the same model in the same moment: it ends as one version."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from brain_tumor.outputs import StageOutputs
from brain_tumor.tracking import connection, models

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("own_store")]
NAME = "brain-tumor-inceptionv3"
MakeOutputs = Callable[..., StageOutputs]
Start = Callable[[Path, Path], "subprocess.Popen[str]"]

_REGISTER = """
import json, sys, time
from dataclasses import asdict
from pathlib import Path
from tests import sections
from brain_tumor.settings import PreprocessParams
from brain_tumor.outputs import StageOutputs
from brain_tumor.settings import RegisterParams
from brain_tumor.registry.register import register
from brain_tumor.tracking import pyfunc

write, (root, me, other) = pyfunc.log_model, map(Path, sys.argv[1:])

def write_and_wait(*arguments):
    model_id = write(*arguments)
    me.touch()  # neither has seen a version of the other, both are about to make one
    while not other.exists():
        time.sleep(0.01)
    return model_id

pyfunc.log_model = write_and_wait
outputs = StageOutputs(**{name: root / path for name, path in vars(StageOutputs()).items()})
params = RegisterParams(
    name="brain-tumor-inceptionv3", metric="balanced_accuracy", margin=0.025,
    min_images_per_class=2, force=False,
)
done = register(outputs, sections.preprocess(normalisation="none", size_px=75), params)
print(json.dumps(asdict(done)))
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Start processes that register; none outlives the test."""
    started: list[subprocess.Popen[str]] = []

    def one(me: Path, other: Path) -> "subprocess.Popen[str]":
        command = [sys.executable, "-W", "ignore", "-c", _REGISTER, str(tmp_path)]
        started.append(
            subprocess.Popen(
                [*command, str(me), str(other)],
                env=os.environ.copy(),
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    yield one
    for process in started:
        process.kill()
        process.communicate()


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 0, errors
    answer: dict[str, Any] = json.loads(output.splitlines()[-1])
    return answer


def test_two_processes_that_register_one_model_agree_on_one_version(
    tmp_path: Path, make_outputs: MakeOutputs, start: Start
) -> None:
    make_outputs(tmp_path)
    marks = [tmp_path / "first", tmp_path / "second"]
    processes = [start(*marks), start(*reversed(marks))]
    first, second = (result(process) for process in processes)

    same = ("version", "alias", "run_id", "digest")
    assert {key: first[key] for key in same} == {key: second[key] for key in same}
    assert (first["version"], first["alias"]) == ("1", "champion")
    client = connection.connect()
    (version,) = models.versions(client, NAME)
    assert (version.number, version.aliases) == ("1", ("champion",))
    assert version.run_id == first["run_id"]
    found: Any = client.search_logged_models([connection.experiment_id(client)])
    assert [model.model_id for model in found] == [version.model_id]
