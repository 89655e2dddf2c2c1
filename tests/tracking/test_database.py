"""A database file is found whatever its folder is called, and refused where it is damaged."""

import os
import sqlite3
from pathlib import Path

import pytest
from sqlalchemy import create_engine, make_url, text

from brain_tumor.errors import UserError
from brain_tumor.tracking.database import (
    DatabaseFileError,
    anchored,
    check_file,
    file_of,
    make_file,
    of_file,
    parse,
    remedy,
    text_of,
)
from tests.damage import DAMAGES, Damage

FOLDERS = [
    "plain", "a b", "a%20b", "a%2520b", "a%2Fb", "100%", "q?", "q?mode=ro", "#1", "a&b=c", "a+b",
    "ü", "a;b", "me:x@host", "[a]", "it's", 'say "a"', "{a}", "%", "%zz", "a\\b", "file:a", "日本",
]  # fmt: skip


@pytest.mark.parametrize("name", FOLDERS)
def test_a_folder_of_any_name_is_the_one_that_is_opened(name: str, tmp_path: Path) -> None:
    path = tmp_path / name / "a.db"
    path.parent.mkdir()
    written = text_of(of_file(path))
    assert file_of(make_url(written)) == path
    with create_engine(written).begin() as connection:
        connection.execute(text("CREATE TABLE a (b)"))
    assert sorted(tmp_path.iterdir()) == [path.parent]
    assert path.stat().st_size


def test_urls_stay_as_people_write_them_where_they_can(tmp_path: Path) -> None:
    assert text_of(of_file(tmp_path / "ü b.db")) == f"sqlite:///{tmp_path}/ü b.db"
    assert text_of(of_file(Path("/q?/a.db"))) == "sqlite+pysqlite:////q%3F/a.db"
    written = parse("sqlite:///my%20runs.db?timeout=5", "MLFLOW_TRACKING_URI")
    at = anchored(written, tmp_path)
    assert file_of(at) == tmp_path / "my runs.db"
    assert at.query == {"timeout": "5"}
    assert make_url(text_of(at)).database == str(tmp_path / "my runs.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///:memory:", "sqlite+pysqlite://"])
def test_a_database_that_keeps_nothing_is_refused(url: str) -> None:
    with pytest.raises(UserError, match=r"OPTUNA_STORAGE=.* name a file"):
        parse(url, "OPTUNA_STORAGE")


def make(path: Path, rows: int = 2000) -> None:
    connection = sqlite3.connect(path)
    with connection:
        connection.execute("CREATE TABLE runs (id INTEGER PRIMARY KEY, name TEXT UNIQUE)")
        values = ((f"run {index}",) for index in range(rows))
        connection.executemany("INSERT INTO runs (name) VALUES (?)", values)
    connection.close()


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "it's" / "a%20b?.db"
    make_file(path, make)
    check_file(path, "runs", "MLflow")
    return path


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_named_in_a_line(damage: Damage, database: Path) -> None:
    damage(database)
    with pytest.raises(UserError) as caught:
        check_file(database, "runs", "MLflow")
    assert str(caught.value).startswith(f"{database}: ")
    assert "\n" not in str(caught.value)


def test_a_file_of_something_else_is_refused(database: Path) -> None:
    with pytest.raises(UserError, match="a database, but not one of Optuna"):
        check_file(database, "studies", "Optuna")


def test_a_damaged_page_is_found(database: Path) -> None:
    content = bytearray(database.read_bytes())
    content[4096 * 3 : 4096 * 3 + 8] = b"\xff" * 8  # the head of a page
    database.write_bytes(bytes(content))
    with pytest.raises(UserError, match=r": (damaged: .*|database disk image is malformed)$"):
        check_file(database, "runs", "MLflow")


def test_a_file_is_made_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "new" / "a.db"

    def fail(aside: Path) -> None:
        make(aside)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_file(path, fail)
    assert not list(path.parent.glob("*.db"))
    make_file(path, make)
    before = path.read_bytes()
    make_file(path, fail)
    assert path.read_bytes() == before


def test_what_to_do_follows_from_what_sqlite_says_and_not_from_the_path() -> None:
    assert remedy("/full/a.db: database disk image is malformed", "mend it") == "mend it"
    assert remedy("/x/a.db: attempt to write a readonly database", "mend it").endswith("writable")
    assert remedy("database is locked", "mend it").startswith("Another process")


def test_a_pipe_in_place_of_a_database_is_not_opened(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "mlflow.db")
    with pytest.raises(DatabaseFileError, match="no regular file, no database"):
        check_file(tmp_path / "mlflow.db", "experiments", "MLflow")
