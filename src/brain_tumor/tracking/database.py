"""A database by its URL: which one, whether it answers, and whether a SQLite file is whole.

URLs are SQLAlchemy's: it quotes and unquotes paths and passwords, and nothing else should.
"""

import os
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import URL, NullPool, create_engine, make_url
from sqlalchemy.exc import ArgumentError

from brain_tumor.errors import UserError
from brain_tumor.files import replacing

SQLITE = "sqlite"
BUSY_S = 60  # to wait for another writer
_CONNECT_S = 10


class DatabaseFileError(UserError):
    """A SQLite file is damaged, or of something else; the message names it and says why."""


def parse(text: str, variable: str) -> URL:
    """The URL that an environment variable holds.

    Raises:
        UserError: it is not the URL of a database that keeps anything.
    """
    try:
        url = make_url(text)
    except (ArgumentError, ValueError) as error:  # the rest of it may hold a password
        scheme = text.partition("://")[0] if "://" in text else "no scheme"
        raise UserError(
            f"{variable} ({scheme}) is not the URL of a database such as "
            "postgresql://USER:PASSWORD@HOST/DATABASE or sqlite:///PATH"
        ) from error
    if url.get_backend_name() == SQLITE and url.database in (None, "", ":memory:"):
        raise UserError(f"{variable}={text} would be forgotten with the process: name a file")
    if url.drivername in ("postgresql", "postgres"):  # the driver that this project installs
        return url.set(drivername="postgresql+psycopg")
    return url


def of_file(path: Path) -> URL:
    """The URL of a SQLite file."""
    return URL.create(SQLITE, database=str(path))


def file_of(url: URL) -> Path | None:
    """The file of a SQLite database; None for any other database."""
    if url.get_backend_name() != SQLITE or not url.database or url.database.startswith("file:"):
        return None
    return Path(url.database)


def anchored(url: URL, root: Path) -> URL:
    """The URL with a relative SQLite path taken from `root`, wherever the process runs."""
    path = file_of(url)
    return url if path is None else url.set(database=str(root.resolve() / path))


def text_of(url: URL) -> str:
    """The URL with its password, in a form that MLflow and Optuna take.

    MLflow makes a folder of whatever follows `sqlite:///`, quoted as it is. So a path stays as it
    is where SQLAlchemy reads it right, and a quoted one names the driver.
    """
    plain = f"{SQLITE}:///{url.database}"
    if file_of(url) is not None and make_url(plain) == url:
        return plain
    driver = "sqlite+pysqlite" if url.drivername == SQLITE else url.drivername
    return url.set(drivername=driver).render_as_string(hide_password=False)


def shown(url: URL) -> str:
    """The URL without what is secret; of a SQLite database its file."""
    public = url.difference_update_query(["password"]).render_as_string(hide_password=True)
    return str(file_of(url) or public)


def reason(error: BaseException) -> str:
    """The message of the database, on one line and without the remarks of libraries."""
    if not hasattr(error, "orig") and isinstance(error.__cause__, Exception):
        return reason(error.__cause__)
    text = str(getattr(error, "orig", None) or error)
    return " ".join(text.split()).rstrip(".")


_REMEDIES = {  # what SQLite says of a file that is whole
    "unable to open": "Make the file and its folder readable and writable",
    "readonly": "Make the file and its folder writable",
    "locked": "Another process holds it: run the command again",
    "full": "Make room on its disk",
    "Permission denied": "Make the file readable and writable",
}


def remedy(text: str, damaged: str) -> str:
    """What to do about a SQLite file of which SQLite says `text`; `damaged` where it is damaged."""
    said = text.rpartition(": ")[2]  # without the path, which may hold any word
    return next((hint for words, hint in _REMEDIES.items() if words in said), damaged)


def engine_options(url: URL) -> dict[str, Any]:
    """Arguments of `create_engine` that suit many workers and long trials.

    Connections are not kept: trials take minutes, in which a kept one is dropped on the way or
    takes the place of another worker's.
    """
    patience_s = {SQLITE: {"timeout": BUSY_S}, "postgresql": {"connect_timeout": _CONNECT_S}}
    return {"poolclass": NullPool, "connect_args": patience_s.get(url.get_backend_name(), {})}


def reach(url: URL) -> None:
    """Connect once, so that what follows only fails for other reasons."""
    create_engine(url, **engine_options(url)).connect().close()


def make_file(path: Path, make: Callable[[Path], object]) -> None:
    """Make a SQLite file unless it is there, whole or not at all; others that want it wait.

    `make` makes it at the path it is given. So a file that is there and has not all its tables was
    not left by a process that was killed while it made them: it is damaged.
    """
    from filelock import FileLock  # of the pipeline: who only reads a model has no such package

    path.parent.mkdir(parents=True, exist_ok=True)
    if os.path.lexists(path):
        return
    with FileLock(f"{path}.lock"):
        if not os.path.lexists(path):
            with replacing(path) as aside:
                make(aside)


_checked: dict[tuple[Path, str], tuple[int, ...]] = {}  # state of a file when it was found whole


def check_file(path: Path, table: str, owner: str) -> None:
    """Refuse a SQLite file that is damaged or of something else; a missing one too.

    It is read whole, once for each state of the file (0.03 s for 1 MB).

    Args:
        path: of the file.
        table: one that `owner` makes.
        owner: whose file it should be, as `MLflow`.

    Raises:
        DatabaseFileError: it is.
    """
    try:
        state = path.stat()
        if stat.S_ISREG(state.st_mode):
            path.open("rb").close()
    except OSError as error:
        raise DatabaseFileError(f"{path}: {error.strerror}") from error
    mark = (state.st_ino, state.st_size, state.st_mtime_ns)
    if _checked.get((path, table)) == mark:
        return
    if not stat.S_ISREG(state.st_mode):
        kind = "a folder" if stat.S_ISDIR(state.st_mode) else "no regular file"
        raise DatabaseFileError(f"{path}: {kind}, no database")
    if not state.st_size:
        raise DatabaseFileError(f"{path}: empty, no database")
    with opened(path) as connection:
        [(found,)] = connection.execute("PRAGMA quick_check(1)").fetchmany(1)
        if found != "ok":
            raise DatabaseFileError(f"{path}: damaged: {' '.join(str(found).split())}")
        names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
        if (table,) not in names.fetchall():
            raise DatabaseFileError(f"{path}: a database, but not one of {owner}")
    _checked[path, table] = mark


@contextmanager
def opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a SQLite file that is there; the block is a transaction.

    Raises:
        DatabaseFileError: SQLite cannot read it.
    """
    try:
        connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", BUSY_S, uri=True)
        try:
            with connection:
                yield connection
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise DatabaseFileError(f"{path}: {error}") from error
