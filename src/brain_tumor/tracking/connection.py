"""The MLflow store: which one, whether it answers, and a folder that has moved."""

import logging
import os
import re
import shlex
import sqlite3
from collections.abc import Callable
from functools import lru_cache, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import unquote

from brain_tumor.errors import UserError
from brain_tumor.machine import repository_root
from brain_tumor.tracking.database import (
    SQLITE,
    DatabaseFileError,
    anchored,
    check_file,
    file_of,
    make_file,
    of_file,
    opened,
    parse,
    reach,
    reason,
    remedy,
    text_of,
)

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

    Raises:
        DatabaseFileError: the file is damaged.
    """
    if not database.is_file():
        return 0
    here = str(database.resolve().parent)
    with opened(database) as connection:
        old = _former_folders(connection, here)
        return sum(_rewrite(connection, folder, here) for folder in old)


def _former_folders(connection: sqlite3.Connection, here: str) -> list[str]:
    tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    if not {(table,) for table, _ in _COLUMNS} <= set(tables):
        return []
    tags = connection.execute("SELECT value FROM experiment_tags WHERE key = ?", (FOLDER_TAG,))
    return sorted({folder for (folder,) in tags} - {here})


def _artifact_uri(folder: str) -> str:
    """A folder as MLflow takes it, which unquotes it: `a%20b` would be the folder `a b`."""
    return folder.replace("%", "%25") if unquote(folder) != folder else folder


def _rewrite(connection: sqlite3.Connection, old: str, new: str) -> int:
    changed, before, after = 0, _artifact_uri(old), _artifact_uri(new)
    for table, column in _COLUMNS:
        statement = (
            f"UPDATE {table} SET {column} = ? || substr({column}, ?) "
            f"WHERE substr({column}, 1, ?) = ?"
        )
        values = (after, len(before) + 1, len(before) + 1, f"{before}/")
        changed += connection.execute(statement, values).rowcount
    tag = "UPDATE experiment_tags SET value = ? WHERE key = ? AND value = ?"
    connection.execute(tag, (new, FOLDER_TAG, old))
    return changed


_LOOK_S = (5, 60)  # to be connected, and to be answered
_LOOKS = 2  # after the first: a server that restarts is back soon
_REFUSALS = (401, 403)
_REFUSED = ("UNAUTHENTICATED", "PERMISSION_DENIED", "CUSTOMER_UNAUTHORIZED")
# Behind a user's name and a colon all up to the last @: a password may hold any sign.
_LOGIN = re.compile(r"://(?:[^/\s:@]+:\S*|[^/\s]*)@")
_SECRET = re.compile(r"(?i)\b(password|passwd|pwd|token)=[^&\s'\"]*")
_PROBE = "/api/2.0/mlflow/experiments/get-by-name"


class StoreError(OSError):
    """The store cannot be read or written, or lets nobody in; the message says which and why."""


class NoStoreError(UserError):
    """There is no store yet."""


def is_server(uri: str) -> bool:
    """Whether a store is one behind HTTP."""
    return uri.startswith(("http://", "https://"))


def shown(text: str) -> str:
    """A URI, or a text with URIs, without user and password."""
    for uri in filter(None, (os.environ.get(name) for name in (_URI_VARIABLE, "OPTUNA_STORAGE"))):
        if uri in text and (login := uri.rpartition("@")[0].partition("://")[2]):
            text = text.replace(f"{login}@", "")
    return _SECRET.sub(r"\1=***", _LOGIN.sub("://", text))


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
    """A client that raises StoreError where the store is gone or damaged, and no secret in it."""

    def __init__(self, client: "MlflowClient", uri: str) -> None:
        self._client, self._uri = client, uri

    def __getattr__(self, name: str) -> Any:
        attribute = getattr(self._client, name)
        return self._wrapped(attribute) if callable(attribute) else attribute

    def _wrapped(self, method: Callable[..., Any]) -> Callable[..., Any]:
        from mlflow.exceptions import MlflowException
        from requests import RequestException
        from sqlalchemy.exc import SQLAlchemyError

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
                if _is_of_database(error):
                    raise _unusable(self._uri, error) from error
                raise
            except SQLAlchemyError as error:
                raise _unusable(self._uri, error) from error

        return call


def _silent(uri: str, error: BaseException) -> StoreError:
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the MLflow server does not answer: "
        f"{shown(_reason(error))}. Start it or correct MLFLOW_TRACKING_URI; without "
        "MLFLOW_TRACKING_URI runs are kept in mlruns/mlflow.db"
    )


def _is_of_database(error: BaseException | None) -> bool:
    """Whether the database failed; that a row is there already is an answer."""
    from sqlalchemy.exc import IntegrityError, SQLAlchemyError

    while error is not None and not isinstance(error, SQLAlchemyError):
        error = error.__cause__
    return error is not None and not isinstance(error, IntegrityError)


def _unusable(uri: str, error: Exception) -> StoreError:
    path, text = database_path(uri), shown(reason(error))[:300]
    if path is not None:
        return StoreError(f"{path}: {text}. {remedy(text, _RESTORE)}")
    return StoreError(
        f"{shown(uri)} (MLFLOW_TRACKING_URI): the store cannot be used: {text}. "
        "Start the database or correct MLFLOW_TRACKING_URI; without MLFLOW_TRACKING_URI runs are "
        "kept in mlruns/mlflow.db"
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
_RESTORE = (
    "Bring the file back from a copy; without one move it away: `brain-tumor registry sync` "
    "registers the model of outputs/ in a new one"
)
NO_MODEL = (
    "`make repro` trains and registers a model; if it is in another store, set "
    "MLFLOW_TRACKING_URI, or give a folder that `brain-tumor pull` made"
)
_DATABASES = ("postgresql", "mysql", "mssql")
_ADDRESS = re.compile(r"[\w.-]+:\d+/?")
_KIND = {"mlflow.experimentKind": "custom_model_development"}  # the UI's pages for training
_NOISY_LOGGERS = ("mlflow.store.db.utils", "alembic", "mlflow.utils.requirements_utils")


def tracking_uri() -> str:
    """`MLFLOW_TRACKING_URI` if set, else SQLite at `mlruns/mlflow.db` of the repository.

    A relative SQLite path is taken from the repository, wherever the process runs.

    Raises:
        UserError: it is an address without `http://`, which MLflow would take for a folder.
    """
    given = (os.environ.get(_URI_VARIABLE) or "").strip()
    if not given:
        return text_of(of_file(repository_root() / "mlruns" / "mlflow.db"))
    if _ADDRESS.fullmatch(given):
        raise UserError(f"{_URI_VARIABLE} is {given!r}: write http://{given} or https://{given}")
    if given.startswith(SQLITE):
        return text_of(anchored(parse(given, _URI_VARIABLE), repository_root()))
    return given.rstrip("/") if is_server(given) else given


def connect() -> "MlflowClient":
    """A client of the store, whose paths are mended after a move, when needed.

    Raises:
        NoStoreError: there is no store yet; only `make_and_connect` makes one.
        StoreError: it cannot be read, or is on a server that does not answer.
    """
    path = database_path(tracking_uri())
    if path is not None and not os.path.lexists(path):
        raise NoStoreError(f"no model yet: there is no {path}. {NO_MODEL}")
    return _connect()


def make_and_connect() -> "MlflowClient":
    """A client of the store, which is made when missing.

    Raises:
        StoreError: it cannot be read, or is on a server that does not answer.
    """
    from sqlalchemy.exc import SQLAlchemyError

    path = database_path(tracking_uri())
    if path is not None:
        _quiet()
        try:
            make_file(path, _make_store)
        except (SQLAlchemyError, sqlite3.Error) as error:
            raise _unusable(tracking_uri(), error) from error
    return _connect()


def _make_store(path: Path) -> None:
    import mlflow

    mlflow.MlflowClient(text_of(of_file(path)))


def _connect() -> "MlflowClient":
    _quiet()
    import mlflow
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    uri = tracking_uri()
    database = database_path(uri)
    if database is not None:
        try:
            _check_database(database)
            relocate(database)
        except DatabaseFileError as error:
            raise StoreError(f"{error}. {remedy(str(error), _RESTORE)}") from error
    _use(uri)
    if is_server(uri):
        check(uri)
        if shown(uri) != uri:  # MLflow prints links to ended runs, with the login in them
            os.environ["MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT"] = "true"
    try:
        if uri.startswith(_DATABASES):
            reach(parse(uri, _URI_VARIABLE))  # seconds, where MLflow would try for minutes
        client = mlflow.MlflowClient()
    except (SQLAlchemyError, MlflowException, ImportError) as error:
        raise _unusable(uri, error) from error
    return cast("MlflowClient", _Explaining(client, uri))


def _quiet() -> None:
    """Keep MLflow's own reports out of standard error."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).setLevel(logging.CRITICAL)


def _check_database(path: Path) -> None:
    """Refuse a file that is no store, or one of another MLflow.

    Raises:
        StoreError: it is.
        DatabaseFileError: it is damaged.
    """
    from mlflow import __version__

    check_file(path, "experiments", "MLflow")
    with opened(path) as connection:
        rows = connection.execute("SELECT version_num FROM alembic_version").fetchall()
    schema = ", ".join(str(version) for (version,) in rows)
    newest, known = _schemas()
    if schema == newest:
        return
    if schema in known:
        raise StoreError(
            f"{path}: of an earlier MLflow than {__version__} (schema {schema}, needed {newest}). "
            f"Copy the file, then run: mlflow db upgrade {shlex.quote(text_of(of_file(path)))}"
        )
    raise StoreError(
        f"{path}: of a later MLflow than {__version__}, which does not know its schema "
        f"{schema!r}. Update MLflow to the one that wrote it, or bring back an earlier copy of the "
        "file"
    )


@lru_cache(maxsize=1)
def _schemas() -> tuple[str, frozenset[str]]:
    """The schema that this MLflow needs, and all that it knows."""
    from alembic.script import ScriptDirectory
    from mlflow.store.db.utils import _get_alembic_config

    script = ScriptDirectory.from_config(_get_alembic_config(""))
    [newest] = script.get_heads()
    return newest, frozenset(revision.revision for revision in script.walk_revisions())


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
    path = file_of(parse(uri, _URI_VARIABLE)) if uri.startswith(SQLITE) else None
    return None if path is None else path.resolve()


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
                    artifact_location=f"{_artifact_uri(folder)}/artifacts" if folder else None,
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
