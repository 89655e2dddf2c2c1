"""The store is one, wherever a process runs, and survives being moved."""

import shutil
from pathlib import Path

import pytest

from brain_tumor.repository import repository_root
from brain_tumor.tracking import runs, store
from brain_tumor.tracking.relocate import relocate


def test_store_lies_in_the_repository_dvc_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / ".dvc" / "tmp" / "exps" / "tmp123"
    (copy / ".dvc").mkdir(parents=True)
    monkeypatch.chdir(copy)
    assert store.tracking_uri() == f"sqlite:///{tmp_path}/mlruns/mlflow.db"


def test_store_lies_in_the_nearest_repository_without_dvc(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DVC_ROOT")
    (tmp_path / ".git").mkdir()
    deep = tmp_path / "docs" / "pages"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert repository_root() == tmp_path
    (tmp_path / "docs" / ".dvc").mkdir()
    assert repository_root() == tmp_path / "docs"


@pytest.mark.parametrize(
    ("given", "used"),
    [
        ("https://mlflow.example.org", "https://mlflow.example.org"),
        ("sqlite:////srv/runs.db", "sqlite:////srv/runs.db"),
        ("sqlite:///runs.db", "sqlite:///{root}/runs.db"),
    ],
)
def test_environment_names_the_store(
    given: str, used: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    assert store.tracking_uri() == used.format(root=tmp_path)


def test_moved_store_finds_its_artifacts_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old ünder #1 100%", tmp_path / "old ünder #1 100%" / "new"
    monkeypatch.setenv("DVC_ROOT", str(old))
    note = tmp_path / "note.txt"
    note.write_text("kept", encoding="utf-8")
    with runs.start_run("train", {}, {}) as run:
        run.log_file(note, "notes")
    new.mkdir()
    (old / "mlruns").rename(new / "mlruns")

    monkeypatch.setenv("DVC_ROOT", str(new))
    client = store.connect()
    fetched = client.download_artifacts(run.run_id, "notes/note.txt", str(tmp_path))
    assert Path(fetched).read_text(encoding="utf-8") == "kept"
    location = client.get_experiment(store.experiment_id(client)).artifact_location
    assert location == str(new / "mlruns" / "artifacts")
    assert relocate(new / "mlruns" / "mlflow.db") == 0


def test_experiments_elsewhere_are_left_where_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    monkeypatch.setenv("DVC_ROOT", str(old))
    client = store.connect()
    store.experiment_id(client)
    client.create_experiment("bucket", artifact_location="s3://bucket/artifacts")
    client.create_experiment("beside", artifact_location=f"{old}er/mlruns/artifacts")
    shutil.copytree(old, new)

    monkeypatch.setenv("DVC_ROOT", str(new))
    found = {item.name: item.artifact_location for item in store.connect().search_experiments()}
    assert found["bucket"] == "s3://bucket/artifacts"
    assert found["beside"] == f"{old}er/mlruns/artifacts"
    assert found["brain-tumor"] == str(new / "mlruns" / "artifacts")


def test_a_file_that_is_no_store_is_left_alone(tmp_path: Path) -> None:
    assert relocate(tmp_path / "missing.db") == 0
    assert not (tmp_path / "missing.db").exists()
