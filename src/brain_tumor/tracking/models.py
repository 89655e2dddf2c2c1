"""Logged models: their files, downloading them, and loading one in its own environment."""

import atexit
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from ruamel.yaml import YAML

from brain_tumor.errors import UserError
from brain_tumor.files import read_json, reading, replacing, write_json
from brain_tumor.tracking import connection, signature
from brain_tumor.tracking.connection import shown, tracking_uri

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities.model_registry import ModelVersion

DIGEST_TAG = "digest"


@dataclass(frozen=True)
class Version:
    """A version of a registered model.

    Attributes:
        name: of the registered model.
        number: of the version.
        run_id: the run that made it; empty if unknown.
        model_id: MLflow's id of the logged model; empty if unknown.
        tags: among them `digest`; a version without it was never finished or is another's.
        aliases: names that point at it.
    """

    name: str
    number: str
    run_id: str
    model_id: str
    tags: Mapping[str, str]
    aliases: tuple[str, ...]

    @property
    def uri(self) -> str:
        """For `mlflow.pyfunc.load_model`."""
        return f"models:/{self.name}/{self.number}"

    @property
    def digest(self) -> str | None:
        """What was registered, by content."""
        return self.tags.get(DIGEST_TAG)


def versions(client: "MlflowClient", name: str) -> list[Version]:
    """All versions of a registered model, newest first; none if there is no such model."""
    items = client.search_model_versions(f"name = '{name}'", max_results=10_000)
    numbers = client.get_registered_model(name).aliases if items else {}
    listed = [_version(item, numbers) for item in items]
    return sorted(listed, key=lambda version: int(version.number), reverse=True)


def named_version(client: "MlflowClient", uri: str) -> Version | None:
    """The version that `models:/NAME@ALIAS` or `models:/NAME/NUMBER` names, if there is one.

    Raises:
        UserError: `uri` is neither.
    """
    name, at, alias = uri.removeprefix("models:/").partition("@")
    name, _, number = (name, "", "") if at else name.partition("/")
    if not uri.startswith("models:/") or not name or not (alias or number) or "/" in alias + number:
        raise UserError(f"model is {uri!r}: give models:/NAME@ALIAS or models:/NAME/NUMBER")
    listed = versions(client, name)
    return next((item for item in listed if alias in item.aliases or number == item.number), None)


def champion_or_challenger(client: "MlflowClient", name: str) -> str:
    """URI of a registered model's @champion; while it has none that of its @challenger.

    Says on standard error when it is the challenger.
    """
    aliases = {alias for version in versions(client, name) for alias in version.aliases}
    if "champion" in aliases or "challenger" not in aliases:
        return f"models:/{name}@champion"
    print(
        f"note: {name} has no @champion yet, its @challenger is used; why, and how it becomes the "
        "champion: `brain-tumor registry promote`",
        file=sys.stderr,
    )
    return f"models:/{name}@challenger"


def create_version(
    client: "MlflowClient",
    name: str,
    model_id: str,
    run_id: str,
    description: str,
    tags: Mapping[str, str],
) -> Version:
    """Make a logged model the next version of a registered model.

    The tags are written together with the version: one without them cannot come to be.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    created = client.create_model_version(
        name,
        source=f"models:/{model_id}",
        run_id=run_id,
        model_id=model_id,
        description=description,
        tags=dict(tags),
    )
    # What MLflow's own register_model leaves, and its page of a logged model reads.
    place = {"name": name, "version": str(created.version)}
    client.set_logged_model_tags(model_id, {"mlflow.modelVersions": json.dumps([place])})
    return _version(created, {})


def set_tags(client: "MlflowClient", version: Version, tags: Mapping[str, str]) -> None:
    """Set tags of a version."""
    for key, value in tags.items():
        client.set_model_version_tag(version.name, version.number, key, value)


def _version(item: "ModelVersion", numbers: Mapping[str, Any]) -> Version:
    """Take what MLflow says of a version, and its aliases from alias to number."""
    number = str(item.version)
    return Version(
        name=item.name,
        number=number,
        run_id=item.run_id or "",
        model_id=item.model_id or (item.source or "").removeprefix("models:/"),
        tags=dict(item.tags),
        aliases=tuple(alias for alias, pointed in numbers.items() if str(pointed) == number),
    )


class ModelUnusableError(UserError):
    """A registered model cannot be loaded or does not predict."""


def missing_files(client: "MlflowClient", version: Version, expected: Sequence[str]) -> list[str]:
    """Which of the files a model should have are not in the store (paths below the model)."""
    folders = {str(Path(path).parent) for path in expected}
    present = {path for folder in folders for path in _listed(client, version, folder)}
    return [path for path in expected if path not in present]


def _listed(client: "MlflowClient", version: Version, folder: str) -> list[str]:
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


def fetch(version: Version, path: str, folder: Path) -> Path:
    """Get one file of a model from the store, in `folder` or in place.

    Where models must be signed the whole model is fetched, and verified.

    Raises:
        ModelUnusableError: the model has no such file.
        SignatureError: it must be signed and is not.
    """
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if signature.is_required() and (file := find_model(version.uri).root / path).exists():
        return file
    try:
        uri = f"{version.uri}/{path}"
        return Path(
            download_artifacts(artifact_uri=uri, dst_path=str(folder), tracking_uri=tracking_uri())
        )
    except (MlflowException, OSError) as error:
        text = f"{version.uri}: {path} cannot be fetched: {error}"
        raise ModelUnusableError(shown(text)) from error


def predict(version: Version, images: Sequence[Path]) -> list[float]:
    """Probabilities of a registered model for image files.

    Raises:
        ModelUnusableError: the model does not load or predict; holds the end of what it printed.
    """
    failure = "does not predict; to replace it all the same set register.force to true"
    with _answer("predict", version, images, failure) as folder:
        return [float(value) for value in read_json(folder / "probabilities.json")]


def describe(
    version: Version, images: Sequence[Path]
) -> tuple[list[dict[str, float]], NDArray[np.float32]]:
    """Statistics and features of image files, as the model's own profile has them.

    Returns:
        A row per image, and its features (images, channels).

    Raises:
        ModelUnusableError: the model does not load or an image cannot be read.
    """
    with _answer("describe", version, images, "cannot describe images") as folder:
        rows: list[dict[str, Any]] = read_json(folder / "rows.json")
        return rows, np.load(folder / "features.npy", allow_pickle=False)


@contextmanager
def _answer(task: str, version: Version, images: Sequence[Path], failure: str) -> Iterator[Path]:
    """Ask a registered model about image files; the folder of its answer (see `alone.py`).

    A process of its own loads the model: in this one the modules it brings with it would be
    mistaken for those already imported, and it would run today's code instead of its own.
    """
    with tempfile.TemporaryDirectory() as temporary:
        request, answer = Path(temporary) / "images.json", Path(temporary) / "answer"
        write_json(request, [str(path.resolve()) for path in images])
        script = str(Path(__file__).with_name("alone.py"))
        try:
            model = str(find_model(version.uri).root.resolve())
        except UserError as error:
            raise ModelUnusableError(f"{version.uri}: {failure}: {error}") from error
        command = [sys.executable, "-P", script, task, model, str(request), str(answer)]
        environment = os.environ | {"MLFLOW_TRACKING_URI": tracking_uri()} | OWN_CODE
        done = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
        if done.returncode:
            end = shown(done.stderr).strip()[-2000:]
            raise ModelUnusableError(f"{version.uri}: {failure}:\n{end}")
        yield answer


# For a process that runs the code a model brought: nothing compiled is read from there, or written.
OWN_CODE = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPYCACHEPREFIX": os.devnull}
BUNDLE = "artifacts/bundle"  # the files a classifier is loaded from
CARD, CARD_FACTS = "MODEL_CARD.md", "model_card.json"
NAME_FILE = "registered_model_meta"  # MLflow notes name and version in it
REPORT = "report.html"  # for a browser; what the card says, with figures
EVALUATION = "evaluation"  # confusion matrices and figures


@dataclass(frozen=True)
class ModelFolder:
    """A registered model in a folder, whose root holds `MLmodel`."""

    root: Path

    @property
    def bundle(self) -> Path:
        """The files a classifier is loaded from."""
        return self.root / BUNDLE

    @property
    def name(self) -> str:
        """Name and version, as MLflow notes them where it puts the model; or `unregistered`.

        Raises:
            UserError: the note cannot be read.
        """
        path = self.root / NAME_FILE
        if not os.path.lexists(path):
            return "unregistered"
        with reading(path, _PULL):
            facts = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
            return f"{facts['model_name']} version {facts['model_version']}"

    @property
    def card(self) -> str:
        """The model card, Markdown; empty without one.

        Raises:
            UserError: it cannot be read.
        """
        path = self.root / CARD
        if not os.path.lexists(path):
            return ""
        with reading(path, _PULL):
            return path.read_text(encoding="utf-8")

    @property
    def facts(self) -> dict[str, Any]:
        """The facts of the card; none without one.

        Raises:
            UserError: they cannot be read.
        """
        path = self.root / CARD_FACTS
        return dict(read_json(path, _PULL, dict[str, Any])) if os.path.lexists(path) else {}


_PULL = "pull or register the model anew"


def find_model(model: str) -> ModelFolder:
    """A model by its URI in the store, or in a folder that `pull` made; verified (`signature`).

    A store on this machine is read in place, others are copied to a folder that lasts as long as
    this process. A folder needs neither store nor mlflow.

    Raises:
        UserError: it is neither.
        SignatureError: it must be signed and is not.
    """
    is_uri = model.startswith("models:/")
    folder = ModelFolder(_download(model, None) if is_uri else Path(model))
    if not is_uri and not folder.bundle.is_dir():
        raise UserError(
            f"{model}: no registered model: give models:/NAME@ALIAS, models:/NAME/NUMBER or a "
            "folder that `brain-tumor pull` made"
        )
    signature.verify(folder.root)
    return folder


def pull(
    uri: str, folder: Path, check: Callable[[ModelFolder], None], *, force: bool = False
) -> ModelFolder:
    """Copy all of a registered model to a folder, the whole of it or nothing.

    Nothing that is there is touched without `force`, which replaces a model if nothing else is.
    `check` raises an error if what came is not what was registered.

    Raises:
        UserError: the store has no such model, or the folder is not free.
    """
    if not uri.startswith("models:/"):
        raise UserError(f"{uri}: only models of a store can be pulled: models:/NAME@ALIAS")
    folder = folder.resolve()
    _check_free(folder, force=force)
    with replacing(folder) as aside:
        aside.mkdir()
        pulled = ModelFolder(_download(uri, aside))
        if not pulled.bundle.is_dir():
            raise UserError(f"{uri}: is no model of this project: it has no {BUNDLE}")
        present = {path.name for path in folder.iterdir()} if folder.exists() else set()
        others = sorted(present - {path.name for path in aside.iterdir()})
        if others:
            raise UserError(f"{folder}: holds what is not of a model: {', '.join(others[:5])}")
        for compiled in [*pulled.root.rglob("__pycache__")]:
            rmtree(compiled)
        signature.verify(pulled.root)
        check(pulled)
    return ModelFolder(folder)


def _check_free(folder: Path, *, force: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    is_model = (folder / "MLmodel").is_file()
    if not (force and is_model):
        hint = "give --force to replace it" if is_model else "give another"
        raise UserError(f"{folder}: exists already; {hint}")


def _download(uri: str, folder: Path | None) -> Path:
    client = connection.connect()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if folder is None and connection.database_path(client.tracking_uri) is None:
        folder = Path(mkdtemp(prefix="brain-tumor-"))
        atexit.register(rmtree, folder, ignore_errors=True)
    target = None if folder is None else str(folder)
    try:
        path = download_artifacts(
            artifact_uri=uri, dst_path=target, tracking_uri=client.tracking_uri
        )
    except (MlflowException, OSError) as error:
        raise UserError(shown(_reason(uri, client.tracking_uri, error))) from error
    return Path(path)


def _reason(uri: str, store_uri: str, error: Exception) -> str:
    """Why a model cannot be had, and what to do; MLflow says the first two in words only."""
    name, _, alias = uri.removeprefix("models:/").partition("@")
    if "Registered Model with name=" in str(error):
        return f"{uri}: no model of that name in {store_uri}. {connection.NO_MODEL}"
    if "alias" in str(error) and "not found" in str(error):
        return (
            f"{uri}: {store_uri} has models of that name, but none is @{alias}. Name one as "
            f"models:/{name}/NUMBER or models:/{name}@challenger, or make the newest the champion "
            "all the same: `brain-tumor registry promote --force`"
        )
    return f"{uri}: cannot be fetched from {store_uri}: {error}"
