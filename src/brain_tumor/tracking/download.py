"""Bring a registered model's files to this machine."""

from pathlib import Path

from brain_tumor.tracking import store
from brain_tumor.tracking.server import shown

BUNDLE = "artifacts/bundle"
"""Where in a registered model the files lie that its classifier is loaded from."""


def download(uri: str, folder: Path | None = None) -> Path:
    """The bundle of a registered model: a folder with model.keras and what belongs to it.

    Args:
        uri: as `models:/brain-tumor-inceptionv3@champion`.
        folder: where to copy them; by default a store on this machine is read in place, and
            others are copied to a temporary folder.

    Raises:
        ValueError: the store has no such model.
    """
    client = store.connect()
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    target = None if folder is None else str(folder)
    try:
        path = download_artifacts(
            artifact_uri=f"{uri}/{BUNDLE}", dst_path=target, tracking_uri=client.tracking_uri
        )
    except (MlflowException, OSError) as error:
        text = f"{uri}: cannot be fetched from {client.tracking_uri}: {error}"
        raise ValueError(shown(text)) from error
    return Path(path)
