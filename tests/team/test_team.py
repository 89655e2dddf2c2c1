"""Two clones, one commit, one set of stores: both run the pipeline at once, by docs/team.md.

Nothing but environment variables leads them to PostgreSQL, S3 and the MLflow server. The tests of
this module share the clones and run in the order they stand in.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pandas as pd
import pytest

from brain_tumor.tuning.storage import open_storage
from tests.postgres_server import PASSWORD, programs
from tests.small_project import Project, copy_trained
from tests.team.page import blocks, own_environment, run_block
from tests.team.servers import BUCKET, Stores, team_stores

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.first,
    pytest.mark.timeout(1800),  # minutes, on a busy machine more
]
NAME = "brain-tumor-inceptionv3"
TRIALS = 3  # both clones get one, and one is left
BEFORE_TUNE = ("validate", "split", "preprocess", "augment", "backbone")
LOGIN = "member:mlflow-hush"
SECRETS = (PASSWORD, "mlflow-hush", "s3-hush")


@dataclass(frozen=True)
class Team:
    """A bare repository and two clones of it, after both have done the work of the page."""

    stores: Stores
    environment: Mapping[str, str]
    origin: Path
    first: Project
    second: Project
    printed: tuple[str, str]

    def clone(self, folder: Path) -> Project:
        """One more clone, with the same environment variables."""
        return _clone(self.origin, folder, self.environment)

    @property
    def client(self) -> "MlflowClient":
        from mlflow import MlflowClient

        return MlflowClient(self.stores.mlflow)

    def runs(self, condition: str = "") -> "list[Run]":
        """Runs of the project, the oldest first."""
        experiment = self.client.get_experiment_by_name("brain-tumor")
        assert experiment is not None
        ids, order = [experiment.experiment_id], ["attributes.start_time ASC"]
        return list(self.client.search_runs(ids, condition, order_by=order))

    def objects(self) -> dict[str, bytes]:
        """All that is in the bucket."""
        import boto3

        keys = {"aws_access_key_id": "tester", "aws_secret_access_key": "s3-hush"}
        resource: Any = boto3.resource(
            "s3", endpoint_url=self.stores.s3, region_name="us-east-1", **keys
        )
        return {
            item.key: item.get()["Body"].read() for item in resource.Bucket(BUCKET).objects.all()
        }


@pytest.fixture(scope="module")
def stores(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stores]:
    with team_stores(postgres, tmp_path_factory.mktemp("servers")) as started:
        yield started


@pytest.fixture(scope="module")
def team(trained: Project, stores: Stores, tmp_path_factory: pytest.TempPathFactory) -> Team:
    """The team after its first day, which began with the initial weights."""
    root = tmp_path_factory.mktemp("team")
    environment = _member(stores, root / "home")
    seed = copy_trained(trained, root / "seed", "backbone")
    seed.env |= environment | {"PATH": seed.env["PATH"]}
    seed.set_params({"tune": {"n_trials": TRIALS}})
    seed.commit("Initial weights")
    seed.run("dvc", "push")
    seed.run("git", "clone", "--quiet", "--bare", ".", str(root / "origin.git"))
    first = _clone(root / "origin.git", root / "first", environment)
    second = _clone(root / "origin.git", root / "second", environment)
    for clone in (first, second):
        clone.run("dvc", "pull", *BEFORE_TUNE)
    # A member with a login, and a slash too many.
    login = stores.mlflow.replace("http://", f"http://{LOGIN}@")
    second.env["MLFLOW_TRACKING_URI"] = f"{login}/"
    printed = _at_once(stores.page.block("work"), first, second)
    return Team(stores, environment, root / "origin.git", first, second, printed)


def _member(stores: Stores, home: Path) -> dict[str, str]:
    """The variables that the page has a member set."""
    home.mkdir()
    base = own_environment() | {"HOME": str(home), "PATH": _path()}
    exported = stores.page.exported("member", base | dict(stores.access))
    exported = stores.page.exported("remote-by-environment", exported)
    return {key: text for key, text in exported.items() if os.environ.get(key) != text}


def _path() -> str:
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def _clone(origin: Path, folder: Path, environment: Mapping[str, str]) -> Project:
    subprocess.run(["git", "clone", "--quiet", str(origin), str(folder)], check=True)
    project = Project(folder)
    project.env |= {**environment, "PATH": project.env["PATH"]}
    return project


def _at_once(block: str, *projects: Project) -> tuple[str, str]:
    started = [
        subprocess.Popen(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=project.folder,
            env=project.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for project in projects
    ]
    first, second = (process.communicate()[0] for process in started)
    assert [process.returncode for process in started] == [0, 0], f"{first}\n\n{second}"
    return first, second


def test_two_clones_share_one_study(team: Team, postgres: str) -> None:
    storage = open_storage(urlsplit(postgres)._replace(path="/optuna").geturl())
    (study,) = storage.get_all_studies()
    trials = storage.get_all_trials(study._study_id)
    ended = [trial.state.name for trial in trials]
    assert set(ended) <= {"COMPLETE", "PRUNED"}
    assert TRIALS <= len(ended) <= TRIALS + 1  # both may have begun the last one
    best = team.first.json("outputs/tuning/best.json")
    assert best == team.second.json("outputs/tuning/best.json")
    assert best["complete"] + best["pruned"] == len(ended)

    (parent,) = team.runs("tags.stage = 'tune' AND attributes.run_name LIKE 'study: %'")
    assert parent.data.params["tune.n_trials"] == str(TRIALS)
    assert parent.info.run_id == study.user_attrs["mlflow.run_id"]
    children = team.runs(f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    assert sorted(run.data.tags["trial"] for run in children) == [str(n) for n in range(len(ended))]
    workers = {run.data.tags["process.id"] for run in children}
    assert len(workers) == 2, "one of the clones had nothing to do"


def test_no_run_is_left_open(team: Team) -> None:
    assert {run.info.status for run in team.runs()} == {"FINISHED"}
    stages = sorted(run.data.tags["stage"] for run in team.runs())
    assert stages.count("train") == 2


def test_the_same_model_from_two_clones_is_one_version(team: Team) -> None:
    registered = team.first.json("outputs/registered.json")
    other = team.second.json("outputs/registered.json")
    same = ("name", "version", "alias", "digest", "run_id")
    assert {key: registered[key] for key in same} == {key: other[key] for key in same}
    (version,) = team.client.search_model_versions(f"name = '{NAME}'")
    assert str(version.version) == registered["version"]
    assert version.tags["digest"] == registered["digest"]
    champion = team.client.get_model_version_by_alias(NAME, "champion")
    assert champion.version == version.version
    assert team.client.get_registered_model(NAME).aliases == {"champion": version.version}


def test_runs_and_version_carry_their_lineage(team: Team) -> None:
    commit = team.first.run("git", "rev-parse", "HEAD").strip()
    for run in team.runs("tags.stage = 'train'"):
        assert run.data.tags["commit"] == commit
        assert run.data.tags["data"].endswith(".dir")
        assert run.data.params["train.seed"] == "0"
        assert "test/auroc" in run.data.metrics
    version = team.client.get_model_version_by_alias(NAME, "champion")
    assert version.tags["commit"] == commit


def test_artifacts_are_in_the_bucket_and_nothing_is_kept_locally(team: Team) -> None:
    version = team.client.get_model_version_by_alias(NAME, "champion")
    model: Any = team.client.get_logged_model(str(version.source).removeprefix("models:/"))
    folder = model.artifact_location.removeprefix("mlflow-artifacts:/")
    stored = team.objects()
    assert f"mlflow/{folder}/MLmodel" in stored
    assert f"mlflow/{folder}/artifacts/bundle/model.keras" in stored
    for run in team.runs("tags.stage = 'train'"):
        place = run.info.artifact_uri.removeprefix("mlflow-artifacts:/")
        assert f"mlflow/{place}/figures/loss.png" in stored
    assert any(name.startswith("dvc/files/md5/") for name in stored)
    for project in (team.first, team.second):
        databases = [path for path in project.folder.rglob("*.db") if ".dvc" not in path.parts]
        assert databases == []
        assert not (project.folder / "mlruns" / "artifacts").exists()
        assert not (project.folder / "mlartifacts").exists()


def test_no_committed_file_speaks_of_the_stores(team: Team) -> None:
    for project in (team.first, team.second):
        lines = project.run("git", "status", "--porcelain").splitlines()
        changed = {line.split()[-1] for line in lines}
        assert changed
        assert {path for path in changed if not path.startswith("outputs/")} == {"dvc.lock"}


def test_no_secret_is_written_anywhere(team: Team, postgres: str) -> None:
    places = {"what the clones printed": "\n".join(team.printed)}
    for log in ("mlflow.log", "s3.log"):
        places[log] = (Path(str(team.stores.access["HOME"])) / log).read_text()
    for database in ("mlflow", "optuna"):
        url = urlsplit(postgres)._replace(path=f"/{database}").geturl()
        dump = [str(programs() / "pg_dump"), url]
        places[database] = subprocess.run(dump, capture_output=True, text=True, check=True).stdout
        assert "brain-tumor" in places[database]
    for project in (team.first, team.second):
        for path in project.folder.rglob("*"):
            if path.is_file() and path.suffix in (".json", ".csv", ".md", ".yaml", ".lock", ""):
                places[str(path)] = path.read_text(errors="replace")
    places |= {f"s3://{key}": data.decode("latin-1") for key, data in team.objects().items()}
    leaks = [name for name, text in places.items() if any(secret in text for secret in SECRETS)]
    assert leaks == []


def test_champion_predicts_raw_bytes_where_there_is_no_repository(
    team: Team, tmp_path: Path
) -> None:
    predictions = pd.read_csv(team.first.folder / "outputs" / "predictions.csv")
    row = predictions[predictions["split"] == "test"].iloc[0]
    image = (team.first.folder / "data" / row["path"]).read_bytes()
    (tmp_path / "slice.png").write_bytes(image)
    environment = own_environment() | {"PATH": _path()} | dict(team.environment)
    script = (
        f"exec {sys.executable} -P -W ignore - <<'END'\n{team.stores.page.block('champion')}END"
    )
    answer = json.loads(run_block(script, environment, tmp_path).splitlines()[-1])
    assert answer[0]["probability"] == pytest.approx(row["probability"], abs=1e-6)


def test_third_clone_takes_all_over_from_the_stores(team: Team, tmp_path: Path) -> None:
    team.first.commit("The run")
    team.first.run("git", "push", "--quiet", str(team.origin), "HEAD:main")
    third = team.clone(tmp_path / "third")
    del third.env["DVC_GLOBAL_CONFIG_DIR"]
    run_block(team.stores.page.block("remote-committed"), third.env, third.folder)
    printed = run_block(team.stores.page.block("take-over"), third.env, third.folder)
    assert "(@champion): in place" in printed
    assert third.run("git", "status", "--porcelain") == ""
    model = Path("outputs") / "train" / "model.keras"
    assert (third.folder / model).read_bytes() == (team.first.folder / model).read_bytes()
    assert "up to date" in third.run("dvc", "repro", "--dry")
    third.set_params({"tune": {"n_trials": TRIALS + 2}})
    printed = run_block(team.stores.page.block("worker"), third.env, third.folder)
    assert re.search(r"this worker ended [12] trials", printed)


def test_a_change_that_makes_no_other_model_makes_no_other_version(team: Team) -> None:
    team.second.set_params({"register": {"margin": 0.03}})
    assert "Running stage 'register'" in team.second.run("dvc", "repro")
    assert team.second.json("outputs/registered.json")["version"] == "1"
    (version,) = team.client.search_model_versions(f"name = '{NAME}'")
    assert str(version.version) == "1"


def test_models_are_signed_and_an_unsigned_one_is_refused(team: Team, tmp_path: Path) -> None:
    page, second = team.stores.page, team.second
    script = f"{page.block('signing')}brain-tumor pull {tmp_path}/signed\n"
    printed = run_block(script, second.env, second.folder)
    assert "(@champion): restored" in printed
    assert (tmp_path / "signed" / "model.sig").is_file()
    verifying = second.env | {"BRAIN_TUMOR_VERIFYING_KEY": str(second.folder / "verifying.pem")}
    unsigned = ["brain-tumor", "pull", str(tmp_path / "unsigned"), "--model", f"models:/{NAME}/1"]
    done = subprocess.run(
        unsigned, cwd=second.folder, env=verifying, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "not signed (model.sig is missing)" in done.stderr
    assert not (tmp_path / "unsigned").exists()


def test_no_command_of_the_page_is_left_out(team: Team) -> None:
    stores = {name for name in blocks() if not name.startswith("cluster-")}
    assert team.stores.page.used == stores  # the others: test_cluster_page.py
