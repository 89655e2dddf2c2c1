"""The files of a registered model: checking, fetching and running them."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from brain_tumor.atomic import read_json, write_json
from brain_tumor.tracking.server import shown
from brain_tumor.tracking.store import tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from brain_tumor.tracking.models import Version

_SCRIPT = Path(__file__).with_name("alone.py")


class ModelUnusableError(ValueError):
    """A registered model cannot be loaded or does not predict."""


def missing_files(client: "MlflowClient", version: "Version", expected: Sequence[str]) -> list[str]:
    """Which of the files a model should have are not in the store (paths below the model)."""
    folders = {str(Path(path).parent) for path in expected}
    present = {path for folder in folders for path in _listed(client, version, folder)}
    return [path for path in expected if path not in present]


def _listed(client: "MlflowClient", version: "Version", folder: str) -> list[str]:
    from mlflow.exceptions import MlflowException

    try:
        path = None if folder == "." else folder
        return [item.path for item in client.list_logged_model_artifacts(version.model_id, path)]
    except FileNotFoundError:
        return []
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "NOT_FOUND"):
            return []
        raise ModelUnusableError(f"{version.uri}: the store does not list it: {error}") from error


def fetch(version: "Version", path: str, folder: Path) -> Path:
    """Copy one file of a model from the store into `folder`.

    Raises:
        ModelUnusableError: the model has no such file.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    try:
        uri = f"{version.uri}/{path}"
        return Path(
            download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=tracking_uri())
        )
    except (MlflowException, OSError) as error:
        text = f"{version.uri}: {path} cannot be fetched: {error}"
        raise ModelUnusableError(shown(text)) from error


def predict(version: "Version", images: Sequence[Path]) -> list[float]:
    """Probabilities of a registered model for image files.

    A process of its own loads the model: in this one the modules it brings with it would be
    mistaken for those already imported, and it would run today's code instead of its own.

    Raises:
        ModelUnusableError: the model does not load or predict; holds the end of what it printed.
    """
    with tempfile.TemporaryDirectory() as temporary:
        answer = Path(temporary) / "answer"
        try:
            run_alone("predict", version, images, answer)
        except ModelUnusableError as error:
            raise ModelUnusableError(
                f"{version.uri}: does not predict; to replace it all the same set "
                f"register.force to true:\n{error}"
            ) from error
        return [float(value) for value in read_json(answer / "probabilities.json")]


def run_alone(task: str, version: "Version", images: Sequence[Path], answer: Path) -> None:
    """Ask a registered model about image files in a process of its own.

    Args:
        task: `predict` or `describe` (see `alone.py`).
        version: the model.
        images: files.
        answer: the folder to write, which does not exist yet.

    Raises:
        ModelUnusableError: it fails; holds the end of what it printed.
    """
    request = answer.with_name("images.json")
    write_json(request, [str(path.resolve()) for path in images])
    command = [sys.executable, "-P", str(_SCRIPT), task, version.uri, str(request), str(answer)]
    environment = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri()}
    result = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    if result.returncode:
        raise ModelUnusableError(shown(result.stderr).strip()[-2000:])
