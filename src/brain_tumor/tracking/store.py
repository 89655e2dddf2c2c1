"""Where runs and models are stored, and a client that is ready to use."""

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

from brain_tumor.repository import repository_root
from brain_tumor.tracking.relocate import FOLDER_TAG, relocate
from brain_tumor.tracking.server import check, explaining, is_server, shown

if TYPE_CHECKING:
    from mlflow import MlflowClient

DEFAULT_EXPERIMENT = "brain-tumor"
_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_ADDRESS = re.compile(r"[\w.-]+:\d+/?")
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's pages for training
_NOISY_LOGGERS = ("mlflow.store.db.utils", "alembic", "mlflow.utils.requirements_utils")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` if set, else SQLite at `mlruns/mlflow.db` of the repository.

    A relative SQLite path is taken from the repository, wherever the process runs.

    Raises:
        ValueError: it is an address without `http://`, which MLflow would take for a folder.
    """
    given = (os.environ.get(_URI_VARIABLE) or "").strip() or f"{_SQLITE}mlruns/mlflow.db"
    if _ADDRESS.fullmatch(given):
        raise ValueError(f"{_URI_VARIABLE} is {given!r}: write http://{given} or https://{given}")
    if not given.startswith(_SQLITE):
        return given.rstrip("/") if is_server(given) else given
    # Joining leaves an absolute path as it is.
    return f"{_SQLITE}{repository_root() / given.removeprefix(_SQLITE)}"


def experiment_name() -> str:
    """`MLFLOW_EXPERIMENT_NAME` if set, else `brain-tumor`."""
    return os.environ.get("MLFLOW_EXPERIMENT_NAME") or DEFAULT_EXPERIMENT


def connect() -> "MlflowClient":
    """A client of the store; makes the store, and mends its paths after a move, when needed.

    Raises:
        StoreError: it is on a server that does not answer.
    """
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    import mlflow

    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.ERROR)
    uri = tracking_uri()
    database = database_path(uri)
    if database is not None:
        database.parent.mkdir(parents=True, exist_ok=True)
        relocate(database)
    _use(uri)
    if not is_server(uri):
        return mlflow.MlflowClient()
    check(uri)
    if shown(uri) != uri:  # MLflow prints links to ended runs, with the login in them
        os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    return explaining(mlflow.MlflowClient(), uri)


def _use(uri: str) -> None:
    """Make `uri` MLflow's store, also for what MLflow opens by itself, and nothing else."""
    import mlflow

    given = os.environ.pop(_URI_VARIABLE, None)
    mlflow.set_tracking_uri(uri)
    os.environ.pop(_URI_VARIABLE, None)  # MLflow sets it, and then it would outlive this store
    if given is not None:
        os.environ[_URI_VARIABLE] = given


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).resolve()


def experiment_id(client: "MlflowClient") -> str:
    """The id of the project's experiment, made when missing.

    In a SQLite store the artifacts lie in `artifacts/` beside the database (MLflow's default
    would be the current folder, which is not there any more after `dvc exp run --temp`).
    """
    from mlflow.exceptions import MlflowException

    name = experiment_name()
    found = client.get_experiment_by_name(name)
    if found is None:
        database = database_path(tracking_uri())
        folder = None if database is None else str(database.parent)
        try:
            return str(
                client.create_experiment(
                    name,
                    artifact_location=f"{folder}/artifacts" if folder else None,
                    tags=_KIND | ({FOLDER_TAG: folder} if folder else {}),
                )
            )
        except MlflowException:  # another process was quicker
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
    return str(found.experiment_id)
