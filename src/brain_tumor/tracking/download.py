"""Bring a registered model's files to this machine."""

import atexit
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp

from brain_tumor.atomic import replacing
from brain_tumor.tracking import store
from brain_tumor.tracking.model_folder import BUNDLE, ModelFolder
from brain_tumor.tracking.server import shown

_REMEDY = (
    "`make repro` trains and registers one; if it is in another store, set MLFLOW_TRACKING_URI, or "
    "give a folder that `brain-tumor pull` made"
)


def download(uri: str) -> Path:
    """The bundle of a registered model: a folder with model.keras and what belongs to it.

    A store on this machine is read in place, others are copied to a folder that lasts as long as
    this process.

    Args:
        uri: as `models:/brain-tumor-inceptionv3@champion`.

    Raises:
        ValueError: the store has no such model.
    """
    return _download(uri, f"/{BUNDLE}", None)


def find_model(model: str) -> ModelFolder:
    """A model by its URI in the store, or in a folder that `pull` made.

    A folder needs neither store nor mlflow.

    Raises:
        ValueError: it is neither.
    """
    if model.startswith("models:/"):
        return ModelFolder(_download(model, "", None))
    found = ModelFolder(Path(model))
    if not found.bundle.is_dir():
        raise ValueError(
            f"{model}: no registered model: give models:/NAME@ALIAS, models:/NAME/NUMBER or a "
            "folder that `brain-tumor pull` made"
        )
    return found


def pull(uri: str, folder: Path, *, force: bool = False) -> ModelFolder:
    """Copy all of a registered model to a folder, the whole of it or nothing.

    Args:
        uri: of the model, `models:/…`.
        folder: where to; nothing there is touched without `force`.
        force: replace a model that is in the folder, if nothing else is.

    Raises:
        ValueError: the store has no such model, or the folder is not free.
    """
    if not uri.startswith("models:/"):
        raise ValueError(f"{uri}: only models of a store can be pulled: models:/NAME@ALIAS")
    folder = folder.resolve()
    _check_free(folder, force=force)
    with replacing(folder) as aside:
        aside.mkdir()
        pulled = ModelFolder(_download(uri, "", aside))
        if not pulled.bundle.is_dir():
            raise ValueError(f"{uri}: is no model of this project: it has no {BUNDLE}")
        theirs = {path.name for path in folder.iterdir()} if folder.exists() else set()
        others = sorted(theirs - {path.name for path in aside.iterdir()})
        if others:
            raise ValueError(f"{folder}: holds what is not of a model: {', '.join(others[:5])}")
    return ModelFolder(folder)


def _check_free(folder: Path, *, force: bool) -> None:
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    is_model = (folder / "MLmodel").is_file()
    if not (force and is_model):
        hint = "give --force to replace it" if is_model else "give another"
        raise ValueError(f"{folder}: exists already; {hint}")


def _download(uri: str, part: str, folder: Path | None) -> Path:
    database = store.database_path(store.tracking_uri())
    if database is not None and not database.is_file():
        raise ValueError(f"{uri}: no model yet, there is no {database}. {_REMEDY}")
    client = store.connect()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    if folder is None and store.database_path(client.tracking_uri) is None:
        folder = Path(mkdtemp(prefix="brain-tumor-"))
        atexit.register(rmtree, folder, ignore_errors=True)
    target = None if folder is None else str(folder)
    try:
        path = download_artifacts(
            artifact_uri=f"{uri}{part}", dst_path=target, tracking_uri=client.tracking_uri
        )
    except (MlflowException, OSError) as error:
        raise ValueError(shown(_reason(uri, client.tracking_uri, error))) from error
    return Path(path)


def _reason(uri: str, store_uri: str, error: Exception) -> str:
    """Why a model cannot be had, and what to do; MLflow says the first two in words only."""
    name, _, alias = uri.removeprefix("models:/").partition("@")
    if "Registered Model with name=" in str(error):
        return f"{uri}: no model of that name in {store_uri}. {_REMEDY}"
    if "alias" in str(error) and "not found" in str(error):
        return (
            f"{uri}: {store_uri} has models of that name, but none is @{alias}. Name one as "
            f"models:/{name}/NUMBER or models:/{name}@challenger, or make the newest the champion "
            "all the same: `brain-tumor registry promote --force`"
        )
    return f"{uri}: cannot be fetched from {store_uri}: {error}"
