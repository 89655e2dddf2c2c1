"""A database as SQLAlchemy sees it: its URL, how to reach it, how it locks."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

STORAGE_VARIABLE = "OPTUNA_STORAGE"
_SQLITE_BUSY_S = 60
_CONNECT_S = 10


def parse(url: str) -> "URL":
    """The URL with the PostgreSQL driver this project installs, if it names none.

    Raises:
        ValueError: it is not the URL of a database that keeps anything.
    """
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:  # the rest of it may hold a password
        scheme = url.partition("://")[0] if "://" in url else "no scheme"
        raise ValueError(
            f"{STORAGE_VARIABLE} ({scheme}) is not the URL of a database such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH"
        ) from error
    if parsed.get_backend_name() == "sqlite" and parsed.database in (None, "", ":memory:"):
        raise ValueError(f"{url} would be forgotten with the process: name a file")
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
