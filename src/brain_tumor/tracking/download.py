"""Bring a registered model's files to this machine."""

from pathlib import Path

from brain_tumor.atomic import replacing
from brain_tumor.tracking import store
from brain_tumor.tracking.model_folder import BUNDLE, ModelFolder
from brain_tumor.tracking.server import shown


def download(uri: str) -> Path:
    """The bundle of a registered model: a folder with model.keras and what belongs to it.

    A store on this machine is read in place, others are copied to a temporary folder.

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
        uri: of the model.
        folder: where to; nothing there is touched without `force`.
        force: replace a folder that is a model already.

    Raises:
        ValueError: the store has no such model, or the folder is not empty.
    """
    present = folder.exists() and (not folder.is_dir() or any(folder.iterdir()))
    if present and not (force and (folder / "MLmodel").is_file()):
        hint = "give --force to replace it" if (folder / "MLmodel").is_file() else "give another"
        raise ValueError(f"{folder}: exists already; {hint}")
    with replacing(folder) as aside:
        aside.mkdir()
        _download(uri, "", aside)
    return ModelFolder(folder)


def _download(uri: str, part: str, folder: Path | None) -> Path:
    client = store.connect()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    target = None if folder is None else str(folder)
    try:
        path = download_artifacts(
            artifact_uri=f"{uri}{part}", dst_path=target, tracking_uri=client.tracking_uri
        )
    except (MlflowException, OSError) as error:
        text = f"{uri}: cannot be fetched from {client.tracking_uri}: {error}"
        raise ValueError(shown(text)) from error
    return Path(path)
