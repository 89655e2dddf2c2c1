"""The registered model outside this project: own environment, pulled folder, MLflow's server."""

import base64
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from brain_tumor.cli.app import app
from brain_tumor.inference.classifier import Classifier
from brain_tumor.outputs import StageOutputs
from brain_tumor.registry.versions import pull
from brain_tumor.tracking import connection
from brain_tumor.tracking.models import find_model
from tests.registry.conftest import NAME
from tests.small_project import ROOT

pytestmark = pytest.mark.slow
BIN = Path(sys.executable).parent

_ELSEWHERE = """
import importlib.util, json, sys
from pathlib import Path
import mlflow, pandas as pd
model = mlflow.pyfunc.load_model(sys.argv[1])
frame = pd.DataFrame({"image": [Path(sys.argv[2]).read_bytes()]})
rows = [model.predict(frame, params={"engine": name}).to_dict("records")[0]
        for name in ("keras", "fast")]
absent = [name for name in ("dvc", "optuna", "great_expectations", "nilearn", "tf2onnx", "pytest")
          if importlib.util.find_spec(name) is None]
print(json.dumps({"rows": rows, "absent": absent}))
"""


def expected(registered: StageOutputs, path: str) -> float:
    """What the pipeline gave for an image."""
    lines = registered.predictions.read_text(encoding="utf-8").splitlines()[1:]
    return {line.split(",")[0]: float(line.split(",")[3]) for line in lines}[path]


def test_the_model_answers_as_the_pipeline_did(registered: StageOutputs) -> None:
    import mlflow
    import pandas as pd

    mlflow.set_tracking_uri(connection.tracking_uri())
    model = mlflow.pyfunc.load_model(f"models:/{NAME}@champion")
    paths = ["yes/2.png", "no/2.png", "yes/1.png"]
    frame = pd.DataFrame({"image": [(registered.data / path).read_bytes() for path in paths]})
    reference, fast = model.predict(frame), model.predict(frame, params={"engine": "fast"})
    wanted = [expected(registered, path) for path in paths]
    assert reference["probability"].tolist() == pytest.approx(wanted, abs=1e-6)
    assert fast["probability"].tolist() == pytest.approx(wanted, abs=1e-3)
    assert set(reference["engine"]) == {"keras"}
    assert set(fast["engine"]) == {"onnxruntime"}
    assert set(fast["model"]) == {f"{NAME} version 1"}
    assert reference["input"].tolist() == [0, 1, 2]


def test_it_loads_in_an_environment_made_from_its_own_requirements(
    registered: StageOutputs, tmp_path: Path
) -> None:
    folder = pull(f"models:/{NAME}@champion", tmp_path / "pulled").root
    environment = tmp_path / "environment"
    uv = str(BIN / "uv")
    python = environment / "bin" / "python"
    for command in (
        [uv, "venv", "--quiet", "--python", sys.executable, str(environment)],
        [uv, "pip", "install", "--quiet", "--python", str(python), "--requirements",
         str(folder / "requirements.txt")],
    ):  # fmt: skip
        subprocess.run(command, check=True)
    image = registered.data / "yes" / "2.png"
    done = subprocess.run(
        [str(python), "-I", "-c", _ELSEWHERE, str(folder), str(image)],
        cwd=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    wanted = expected(registered, "yes/2.png")
    reference, fast = answer["rows"]
    assert reference["probability"] == pytest.approx(wanted, abs=1e-6)
    assert fast["probability"] == pytest.approx(wanted, abs=1e-3)
    assert len(answer["absent"]) == 6


class TestPull:
    def test_a_folder_works_without_a_store(
        self, registered: StageOutputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "deep" / "pulled"
        result = CliRunner().invoke(app, ["pull", str(folder)])
        assert result.exit_code == 0, result.output
        assert f"{NAME} version 1" in result.stdout
        for name in ("MODEL_CARD.md", "requirements.txt", "evaluation/confusion_test.png"):
            assert (folder / name).is_file()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
        pulled = find_model(str(folder))
        assert pulled.name == f"{NAME} version 1"
        assert pulled.facts["digest"] in pulled.card
        image = registered.data / "yes" / "2.png"
        classifier = Classifier.load(pulled.bundle, "keras", pulled.name)
        [[prediction]] = classifier.predict([image.read_bytes()])
        assert prediction.probability == pytest.approx(expected(registered, "yes/2.png"), abs=1e-6)

    @pytest.mark.usefixtures("registered")
    def test_nothing_is_replaced_unless_forced(self, tmp_path: Path) -> None:
        full, model = tmp_path / "full", tmp_path / "model"
        full.mkdir()
        (full / "thesis.txt").write_text("years of work", encoding="utf-8")
        pull(f"models:/{NAME}@champion", model)
        (model / "mine.txt").write_text("x", encoding="utf-8")
        with pytest.raises(ValueError, match=r"what is not of a model: mine\.txt"):
            pull(f"models:/{NAME}@champion", model, force=True)
        with pytest.raises(ValueError, match="only models of a store"):
            pull(str(model), tmp_path / "copy")
        for folder in (full, model):
            with pytest.raises(ValueError, match="exists already"):
                pull(f"models:/{NAME}@champion", folder)
        with pytest.raises(ValueError, match="exists already"):
            pull(f"models:/{NAME}@champion", full, force=True)
        (model / "mine.txt").unlink()
        (model / "MODEL_CARD.md").unlink()
        (tmp_path / "link").symlink_to(model)
        pull(f"models:/{NAME}@champion", tmp_path / "link", force=True)
        assert (model / "MODEL_CARD.md").is_file()
        assert (tmp_path / "link").is_symlink()
        assert (full / "thesis.txt").read_text(encoding="utf-8") == "years of work"

    @pytest.mark.usefixtures("registered")
    def test_a_model_the_store_lacks_leaves_no_folder(self, tmp_path: Path) -> None:
        missing = r"models:/other@champion: no model of that name.*`make repro` trains and"
        with pytest.raises(ValueError, match=missing):
            pull("models:/other@champion", tmp_path / "pulled")
        with pytest.raises(ValueError, match=rf"none is @best\. Name one as models:/{NAME}/NUMBER"):
            pull(f"models:/{NAME}@best", tmp_path / "pulled")
        with pytest.raises(ValueError, match=rf"models:/{NAME}/77: cannot be fetched"):
            pull(f"models:/{NAME}/77", tmp_path / "pulled")
        assert not (tmp_path / "pulled").exists()


def test_mlflow_serves_it(registered: StageOutputs, tmp_path: Path) -> None:
    with mlflow_server(f"models:/{NAME}@champion") as address:
        image = (registered.data / "yes" / "2.png").read_bytes()
        body = {
            "dataframe_split": {
                "columns": ["image"],
                "data": [[base64.b64encode(image).decode()]],
            },
            "params": {"engine": "fast"},
        }
        [row] = post(address, body)["predictions"]
        assert row["probability"] == pytest.approx(expected(registered, "yes/2.png"), abs=1e-3)
        assert row["model"] == f"{NAME} version 1"
        secret = {"dataframe_split": {"columns": ["path"], "data": [["/etc/hostname"]]}}
        with pytest.raises(urllib.error.HTTPError) as refused:
            post(address, secret)
        assert "missing inputs ['image']" in refused.value.read().decode()
        answer = json.loads(documented_curl(address, registered.data / "yes" / "2.png"))
        assert answer["predictions"][0]["probability"] == pytest.approx(
            expected(registered, "yes/2.png"), abs=1e-6
        )


def documented_curl(address: str, image: Path) -> str:
    """What the command of docs/using.md answers, for another address and file."""
    block = (
        (ROOT / "docs" / "using.md").read_text(encoding="utf-8").split("```sh models-serve\n")[1]
    )
    curl = "printf" + block.partition("```")[0].partition("printf")[2]
    curl = curl.replace("http://127.0.0.1:5001", address).replace("slice.jpg", str(image))
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", curl], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def post(address: str, body: dict[str, Any]) -> Any:
    request = urllib.request.Request(
        f"{address}/invocations", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=120) as answer:
        return json.load(answer)


@contextmanager
def mlflow_server(model: str) -> Iterator[str]:
    """`mlflow models serve` on loopback, until it answers."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(BIN / "mlflow"), "models", "serve", "--model-uri", model, "--port"]
    process = subprocess.Popen(
        [*command, str(port), "--env-manager", "local"],
        env=os.environ
        | {
            "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
            "MLFLOW_TRACKING_URI": connection.tracking_uri(),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        yield waited_for(process, f"http://127.0.0.1:{port}")
    finally:
        os.killpg(process.pid, 15)
        process.wait(60)


def waited_for(process: "subprocess.Popen[bytes]", address: str) -> str:
    for _ in range(240):
        assert process.poll() is None, "the server ended"
        try:
            urllib.request.urlopen(f"{address}/ping", timeout=5)
        except OSError:
            time.sleep(0.5)
        else:
            return address
    raise AssertionError("the server does not answer")
