"""The MLflow store: which one, whether it answers, and a folder that has moved."""

import logging
import os
import re
import sqlite3
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from brain_tumor.errors import UserError
from brain_tumor.machine import repository_root

if TYPE_CHECKING:
    from mlflow import MlflowClient

_COLUMNS = (  # of MLflow's tables: those that hold paths of artifacts
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)
FOLDER_TAG = "store_folder"
"""Tag of the project's experiments: the folder of the database when its paths were written."""


def relocate(database: Path) -> int:
    """Point the artifact paths of a store at the folder its database lies in now.

    MLflow writes absolute paths. The project's experiments carry the folder of the database as a
    tag; where it names another folder the store has moved, and every path below the old folder
    is rewritten together with the tag, all or none. Paths elsewhere (a bucket, another folder)
    stay as they are. A second call changes nothing.
    Nothing happens where the SQLite file is missing or no MLflow store.

    Returns:
        The number of paths rewritten.
    """
    if not database.is_file():
        return 0
    here = str(database.resolve().parent)
    connection = sqlite3.connect(database, timeout=60)
    try:
        with connection:
            old = _former_folders(connection, here)
            return sum(_rewrite(connection, folder, here) for folder in old)
    finally:
        connection.close()


def _former_folders(connection: sqlite3.Connection, here: str) -> list[str]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    if not {(table,) for table, _ in _COLUMNS} <= set(tables):
        return []
    tags = connection.execute("SELECT value FROM experiment_tags WHERE key = ?", (FOLDER_TAG,))
    return sorted({folder for (folder,) in tags} - {here})


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> int:
    changed = 0
    for table, column in _COLUMNS:
        statement = (
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE substr({column}, 1, ?) = ?"
        )
        values = (new, len(old) + 1, len(old) + 1, f"{old}/")
        changed += connection.execute(statement, values).rowcount
    tag = "UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?"
    connection.execute(tag, (new, FOLDER_TAG, old))
    return changed


_LOOK_S = (5, 60)  # to be connected, and to be answered
_LOOKS = 2  # after the first: a server that restarts is back soon
_REFUSALS = (401, 403)
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
_LOGIN = re.compile(r"://[^/\s]*@")
_PROBE = "/api/2.0/mlflow/experiments/get-by-name"


class StoreError(OSError):
    """The MLflow server does not answer or lets nobody in; the message says which and why."""


def is_server(uri: str) -> bool:
    """Whether a store is one behind HTTP."""
    return uri.startswith(("http://", "https://"))


def shown(text: str) -> str:
    """A URI, or a text with URIs, without user and password."""
    return _LOGIN.sub("://", text)


def check(uri: str) -> None:
    """Ask the server for something small: seconds, where MLflow would try for minutes.

    Raises:
        StoreError: it does not answer, is no MLflow server, or refuses.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.utils.credentials import get_default_host_creds
    from mlflow.utils.rest_utils import http_request

    try:
        answer = http_request(
            get_default_host_creds(uri),
            _PROBE,
            "GET",
            params={"experiment_name": "Default"},
            max_retries=_LOOKS,
            backoff_factor=1,
            timeout=_LOOK_S,
        )
    except MlflowException as error:
        raise _silent(uri, error) from None
    if answer.status_code in _REFUSALS:
        raise _refusing(uri, answer.text)
    if "json" not in answer.headers.get("Content-Type", ""):
        raise StoreError(f"{shown(uri)} (MLFLOW_TRACKING_URI): this is no MLflow server")


class _Explaining:
    """A client that raises StoreError where the server is gone, and no secret in it."""

    def __init__(self, client: "MlflowClient", uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._wrapped(attribute) if callable(attribute) else attribute

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from requests import RequestException

        @wraps(method)
        def call(*arguments: Any, **options: Any) -> Any:
            try:
                return method(*arguments, **options)
            except RequestException as error:
                raise _silent(self._uri, error) from None  # the first would show secrets
            except MlflowException as error:
                if error.error_code in _REFUSED:
                    raise _refusing(self._uri, str(error)) from None
                if str(error).startswith("API request to "):  # and no answer came
                    raise _silent(self._uri, error) from None  # the first would show secrets
                raise

        return call


def _silent(uri: str, error: BaseException) -> StoreError:
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the MLflow server does not answer: "
        f"{shown(_reason(error))}. Start it or correct MLFLOW_TRACKING_URI; without "
        "MLFLOW_TRACKING_URI runs are kept in mlruns/mlflow.db"
    )


def _refusing(uri: str, answer: str) -> StoreError:
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the MLflow server refuses: "
        f"{shown(' '.join(answer.split()))[:200]}. Set MLFLOW_TRACKING_USERNAME and "
        "MLFLOW_TRACKING_PASSWORD, or MLFLOW_TRACKING_TOKEN; or have its --allowed-hosts name it"
    )


def _reason(error: BaseException) -> str:
    """What lies at the bottom of an error of requests, urllib3 and MLflow."""
    first = error.args[0] if error.args else None
    cause = error.__cause__ or error.__context__ or getattr(error, "reason", None)
    for deeper in (first, cause):
        if isinstance(deeper, BaseException):
            return _reason(deeper)
    return " ".join(str(error).split()) or type(error).__name__


_URI_VARIABLE = "MLFLOW_TRACKING_URI"
_SQLITE = "sqlite:///"
_ADDRESS = re.compile(r"[\w.-]+:\d+/?")
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's pages for training
_NOISY_LOGGERS = ("mlflow.store.db.utils", "alembic", "mlflow.utils.requirements_utils")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` if set, else SQLite at `mlruns/mlflow.db` of the repository.

    A relative SQLite path is taken from the repository, wherever the process runs.

    Raises:
        UserError: it is an address without `http://`, which MLflow would take for a folder.
    """
    uri = (os.environ.get(_URI_VARIABLE) or "").strip() or f"{_SQLITE}mlruns/mlflow.db"
    if _ADDRESS.fullmatch(uri):
        raise UserError(f"{_URI_VARIABLE} is {uri!r}: write http://{uri} or https://{uri}")
    if not uri.startswith(_SQLITE):
        return uri.rstrip("/") if is_server(uri) else uri
    # Joining leaves an absolute path as it is.
    return f"{_SQLITE}{repository_root() / uri.removeprefix(_SQLITE)}"


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
    return cast("MlflowClient", _Explaining(mlflow.MlflowClient(), uri))


def _use(uri: str) -> None:
    """Make `uri` MLflow's store, also for what MLflow opens by itself, and nothing else."""
    import mlflow

    variable = os.environ.pop(_URI_VARIABLE, None)
    mlflow.set_tracking_uri(uri)
    os.environ.pop(_URI_VARIABLE, None)  # MLflow sets it, and then it would outlive this store
    if variable is not None:
        os.environ[_URI_VARIABLE] = variable


def database_path(uri: str) -> Path | None:
    """The file of a SQLite store; None for any other store."""
    if not uri.startswith(_SQLITE):
        return None
    return Path(uri.removeprefix(_SQLITE).partition("?")[0]).resolve()


def experiment_id(client: "MlflowClient") -> str:
    """The id of the experiment `MLFLOW_EXPERIMENT_NAME`, else `brain-tumor`; made when missing.

    In a SQLite store the artifacts lie in `artifacts/` beside the database (MLflow's default
    would be the current folder, which is not there any more after `dvc exp run --temp`).
    """
    from mlflow.exceptions import MlflowException

    name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or "brain-tumor"
    experiment = client.get_experiment_by_name(name)
    if experiment is None:
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
            experiment = client.get_experiment_by_name(name)
            if experiment is None:
                raise
    if experiment.lifecycle_stage == "deleted":
        client.restore_experiment(experiment.experiment_id)
    return str(experiment.experiment_id)
