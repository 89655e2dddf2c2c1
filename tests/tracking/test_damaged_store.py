"""A store that is damaged, of another MLflow or not there: one line, and nothing is made."""

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from brain_tumor.errors import UserError
from brain_tumor.outputs import Registered
from brain_tumor.tracking import connection, models, runs
from brain_tumor.tracking.connection import StoreError
from tests.damage import DAMAGES, Damage
from tests.small_project import ROOT

ODD = "a%20b?mode=ro#1 ü"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mlruns folder of a store with a run: copied, since making one takes seconds."""
    root = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        patch.setenv("DVC_ROOT", str(root))
        with runs.start_run("train", {}, {}) as run:
            run.log_text("kept", "notes/note.txt")
    return root / "mlruns"


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Path:
    """The database of a copy of it, in the repository of the test."""
    shutil.copytree(template, tmp_path / "mlruns")
    return tmp_path / "mlruns" / "mlflow.db"


def spoil_pages(path: Path) -> None:
    """Bits of text that flip are not found: SQLite has no checksums. Those of its pages are."""
    content = bytearray(path.read_bytes())
    for start in range(4096, len(content), 4096):
        content[start] ^= 1
    path.write_bytes(bytes(content))


FILE_DAMAGES = {**DAMAGES, "flip_bits": spoil_pages}


@pytest.mark.parametrize("damage", FILE_DAMAGES.values(), ids=FILE_DAMAGES)
def test_a_damaged_store_is_named_with_what_to_do(damage: Damage, store: Path) -> None:
    damage(store)
    before = sorted(store.parent.rglob("*"))
    for reach in (connection.connect, connection.make_and_connect):
        with pytest.raises(StoreError) as caught:
            reach()
        assert str(caught.value).startswith(f"{store}: ")
        assert "`brain-tumor registry sync`" in str(caught.value)
        assert "\n" not in str(caught.value)
    assert sorted(store.parent.rglob("*")) == before


@pytest.mark.parametrize(
    ("schema", "words"),
    [("451aebb31d03", "Copy the file, then run: mlflow db upgrade sqlite:"), ("f" * 12, "Update")],
)
def test_a_store_of_another_mlflow_is_left_as_it_is(schema: str, words: str, store: Path) -> None:
    with sqlite3.connect(store) as database:
        database.execute("UPDATE alembic_version SET version_num = ?", (schema,))
    database.close()
    content = store.read_bytes()
    for reach in (connection.connect, connection.make_and_connect):
        with pytest.raises(StoreError, match=rf"mlflow\.db: of a.* \W?{schema}.*{words}"):
            reach()
    assert store.read_bytes() == content


def test_a_store_that_is_damaged_while_it_is_used_is_named(store: Path) -> None:
    client = connection.connect()
    spoil_pages(store)
    with pytest.raises(StoreError, match=r"mlflow\.db: .*registry sync") as caught:
        client.search_runs([connection.experiment_id(client)])
    assert "\n" not in str(caught.value)


def test_a_folder_of_any_name_keeps_its_runs_and_files_to_itself(
    template: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, neighbour = tmp_path / ODD, tmp_path / "a b"
    for folder in (root, neighbour):
        shutil.copytree(template, folder / "mlruns")
    others = {path: path.stat().st_mtime_ns for path in neighbour.rglob("*")}
    monkeypatch.setenv("DVC_ROOT", str(root))

    def text_of(run_id: str) -> str:
        path = connection.connect().download_artifacts(run_id, "notes/note.txt", str(tmp_path))
        return Path(path).read_text(encoding="utf-8")

    [moved] = connection.connect().search_runs([connection.experiment_id(connection.connect())])
    assert text_of(moved.info.run_id) == "kept"
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "another")
    with runs.start_run("train", {}, {}) as run:
        run.log_text("new", "notes/note.txt")
    assert text_of(run.run_id) == "new"
    assert len(list((root / "mlruns" / "artifacts").rglob("note.txt"))) == 2
    again = tmp_path / "again%2F"
    root.rename(again)
    monkeypatch.setenv("DVC_ROOT", str(again))
    assert text_of(run.run_id) == "new"
    assert {path: path.stat().st_mtime_ns for path in neighbour.rglob("*")} == others
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {again.name, neighbour.name, "note.txt"}


def test_a_database_server_that_is_not_there_is_named_within_seconds(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "postgresql://me:hush@127.0.0.1:9/runs")
    with pytest.raises(StoreError, match=r"refused.* correct MLFLOW_TRACKING_URI") as caught:
        connection.connect()
    assert "hush" not in str(caught.value)
    assert "\n" not in str(caught.value)


READING = [
    ["predict", "picture.png"],
    ["predict", "--model", "models:/a@champion", "picture.png"],
    ["pull", "model"],
    ["serve"],
    ["evaluate", "models:/a@champion", "data"],
    ["registry", "promote"],
    ["data", "drift"],
    ["tune-worker"],
]


@pytest.mark.slow
@pytest.mark.parametrize("command", READING, ids=" ".join)
def test_commands_that_read_make_no_store(command: list[str], tmp_path: Path) -> None:
    shutil.copyfile(ROOT / "params.yaml", tmp_path / "params.yaml")
    (tmp_path / "picture.png").write_bytes(b"")
    for name in ("yes", "no"):
        (tmp_path / "data" / name).mkdir(parents=True)
    registered = Registered(
        name="n", version="1", alias=None, run_id="r", digest="d", decision={"reason": "first"}
    )
    registered.write(tmp_path / "outputs" / "registered.json")
    before = sorted(tmp_path.rglob("*"))
    program = [str(Path(sys.executable).with_name("brain-tumor")), *command]
    done = subprocess.run(
        program, cwd=tmp_path, capture_output=True, text=True, env=os.environ, check=False
    )
    assert done.returncode == 1, done.stderr
    (line,) = [line for line in done.stderr.splitlines() if not line.startswith("note:")]
    assert line.startswith("error: ")
    assert sorted(tmp_path.rglob("*")) == before


def test_reading_a_missing_store_makes_none(tmp_path: Path) -> None:
    for read in (
        connection.connect,
        lambda: models.find_model("models:/a@champion"),
        lambda: models.find_model("models:/a/1"),
    ):
        with pytest.raises(UserError, match=r"there is no .*mlflow\.db\. `make repro` trains"):
            read()
    assert runs.resume_run("0" * 32) is None
    assert not list(tmp_path.iterdir())
