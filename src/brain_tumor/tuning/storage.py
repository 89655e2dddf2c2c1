"""The storage of a study: SQLite or a server, with several processes at work."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.errors import UserError
from brain_tumor.tuning.trials import experimental_on_purpose, queue_again

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL, Engine

STORAGE_VARIABLE = "OPTUNA_STORAGE"
_SQLITE_BUSY_S = 60
_CONNECT_S = 10


def parse(url: str) -> "URL":
    """The URL with the PostgreSQL driver this project installs, if it names none.

    Raises:
        UserError: it is not the URL of a database that keeps anything.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the rest of it may hold a password
        scheme = url.partition("://")[0] if "://" in url else "no scheme"
        raise UserError(
            f"{STORAGE_VARIABLE} ({scheme}) is not the URL of a database such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH"
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise UserError(f"{url} would be forgotten with the process: name a file")
    if parsed.drivername in ("postgresql", "postgres"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def engine_options(url: "URL") -> dict[str, Any]:
    """Arguments of `create_engine` that suit many workers and long trials.

    Connections are not kept: trials take minutes, in which a kept one is dropped on the way or
    takes the place of another worker's.
    """
    from sqlalchemy import NullPool

    patience_s = {
        "sqlite": {"timeout": _SQLITE_BUSY_S},
        "postgresql": {"connect_timeout": _CONNECT_S},
    }
    connect_args = patience_s.get(url.get_backend_name(), {})
    return {"poolclass": NullPool, "connect_args": connect_args}


def reach(url: "URL") -> None:
    """Connect once, so that what follows only fails for other reasons."""
    from sqlalchemy import create_engine

    if url.get_backend_name() == "sqlite" and url.database is not None:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    create_engine(url, **engine_options(url)).connect().close()


def lock_before_reading(engine: "Engine") -> None:
    """Have SQLite take the write lock when a transaction begins.

    Optuna reads the state of a queued trial and then changes it, under a row lock that SQLite
    does not know: two workers could take the same trial.
    """
    from sqlalchemy import event

    def leave_begin_to_us(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    def begin(connection: Any) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    event.listen(engine, "connect", leave_begin_to_us)
    event.listen(engine, "begin", begin)


def shown(url: "URL") -> str:
    """The URL without what is secret."""
    return url.difference_update_query(["password"]).render_as_string(hide_password=True)


def reason(error: Exception) -> str:
    """What the database said, on one line and without the remarks of SQLAlchemy and Optuna."""
    if not hasattr(error, "orig") and isinstance(error.__cause__, Exception):
        return reason(error.__cause__)
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split()).rstrip(".")


_SQLITE = "sqlite:///"
_ATTEMPTS = 20


def storage_url(root: Path) -> str:
    """`OPTUNA_STORAGE` if set, else SQLite at `mlruns/optuna.db` under `root`.

    A relative SQLite path is taken from `root`, wherever the process runs.
    """
    given = os.environ.get(STORAGE_VARIABLE) or f"{_SQLITE}mlruns/optuna.db"
    if not given.startswith(_SQLITE):
        return given
    # Joining leaves an absolute path as it is.
    return f"{_SQLITE}{root.resolve() / given.removeprefix(_SQLITE)}"


def open_storage(url: str, *, heartbeat_s: int = 15, grace_s: int = 90) -> "RDBStorage":
    """Open a storage, made when missing; any number of processes may do so at once.

    Args:
        url: of a database, as SQLAlchemy writes them.
        heartbeat_s: how often a worker says that its trial is still running.
        grace_s: a trial not heard of for so long is taken for interrupted and queued again.

    Raises:
        UserError: the database cannot be used; the message says why and what to do.
    """
    parsed = parse(url)
    try:
        with explaining(parsed):
            reach(parsed)
            storage = _open_patiently(parsed, heartbeat_s, grace_s)
    except ImportError as error:
        raise UserError(
            f"{shown(parsed)}: the driver of this database is not installed ({error}); "
            "for PostgreSQL: uv pip install -e '.[team]'"
        ) from error
    except (RuntimeError, OSError) as error:
        raise _unusable(parsed, error) from error
    if parsed.get_backend_name() == "sqlite":
        lock_before_reading(storage.engine)
    return storage


@contextmanager
def explaining(url: "URL") -> Iterator[None]:
    """Turn an error of the database in the `with` block into a ValueError that names it."""
    from optuna.exceptions import StorageInternalError
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, StorageInternalError) as error:
        raise _unusable(url, error) from error


def _unusable(url: "URL", error: Exception) -> ValueError:
    return ValueError(
        f"{shown(url)}: the storage of the search cannot be used: "
        f"{reason(error)}. Start the database or correct {STORAGE_VARIABLE}; without "
        f"{STORAGE_VARIABLE} the search is kept in mlruns/optuna.db"
    )


def _open_patiently(url: "URL", heartbeat_s: int, grace_s: int) -> "RDBStorage":
    """Open again when another process is making the tables: Optuna's own check is no lock."""
    from optuna.exceptions import StorageInternalError
    from optuna.storages import RDBStorage
    from sqlalchemy.exc import IntegrityError, OperationalError, ProgrammingError

    passing = (IntegrityError, OperationalError, ProgrammingError, StorageInternalError)
    text = url.render_as_string(hide_password=False)
    attempts = 0
    while True:
        try:
            with experimental_on_purpose():
                return RDBStorage(
                    text.replace("{", "{{").replace("}", "}}"),  # Optuna fills in a template
                    engine_kwargs=engine_options(url),
                    heartbeat_interval=heartbeat_s,
                    grace_period=grace_s,
                    heartbeat_stale_trial_callback=queue_again,
                )
        except (*passing, AssertionError):
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            time.sleep(0.2)


def claim(storage: "RDBStorage", study: str, key: str, value: str) -> str:
    """Set a user attribute of a study, unless another process has set it.

    Optuna's own `set_user_attr` lets the last one win, and the first would not know.

    Returns:
        What the attribute is now: `value`, or what the quicker process has set.
    """
    from sqlalchemy import column, insert, table
    from sqlalchemy.exc import IntegrityError

    number = storage.get_study_id_from_name(study)
    row = {"study_id": number, "key": key, "value_json": json.dumps(value)}
    attributes = table("study_user_attributes", *map(column, row))  # of Optuna's schema
    with suppress(IntegrityError), storage.engine.begin() as connection:
        connection.execute(insert(attributes).values(row))  # a key is there once per study
    return str(storage.get_study_user_attrs(number)[key])
