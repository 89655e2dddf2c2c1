"""Where studies are stored, shared by all workers of a search."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from brain_tumor.model.search import database
from brain_tumor.model.search.database import STORAGE_VARIABLE
from brain_tumor.model.search.interrupted import queue_again
from brain_tumor.model.search.quiet import experimental_on_purpose

if TYPE_CHECKING:
    from optuna.storages import RDBStorage
    from sqlalchemy import URL

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
        ValueError: the database cannot be used; the message says why and what to do.
    """
    parsed = database.parse(url)
    try:
        with explaining(parsed):
            database.reach(parsed)
            storage = _open_patiently(parsed, heartbeat_s, grace_s)
    except ImportError as error:
        raise ValueError(
            f"{database.shown(parsed)}: the driver of this database is not installed ({error}); "
            "for PostgreSQL: uv pip install -e '.[team]'"
        ) from error
    except (RuntimeError, OSError) as error:
        raise _unusable(parsed, error) from error
    if parsed.get_backend_name() == "sqlite":
        database.lock_before_reading(storage.engine)
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
        f"{database.shown(url)}: the storage of the search cannot be used: "
        f"{database.reason(error)}. Start the database or correct {STORAGE_VARIABLE}; without "
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
                    engine_kwargs=database.engine_options(url),
                    heartbeat_interval=heartbeat_s,
                    grace_period=grace_s,
                    heartbeat_stale_trial_callback=queue_again,
                )
        except (*passing, AssertionError):
            attempts += 1
            if attempts == _ATTEMPTS:
                raise
            time.sleep(0.2)
