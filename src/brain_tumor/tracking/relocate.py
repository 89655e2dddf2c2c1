"""Make a SQLite store right again after its folder was moved or copied."""

import sqlite3
from pathlib import Path

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

    Args:
        database: the SQLite file; nothing happens when it is not there or is no MLflow store.

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
