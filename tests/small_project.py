"""A copy of this project that is small enough to run whole in a test: 75 px, random weights.

`trained_once` runs it whole, once for all tests; they start from copies of it.
"""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from filelock import FileLock
from ruamel.yaml import YAML

from brain_tumor.tracking.connection import relocate
from tests.warm_python import VARIABLE

ROOT = Path(__file__).parent.parent
FOREIGN = ("MLFLOW", "OPTUNA", "BRAIN_TUMOR", "DVC_", "AWS_", "TF_", "MAKE", "MFLAGS")
TUNED = {"fine_tune_blocks": "tuned", "learning_rate": "tuned"}  # they train blocks too
SMALL: dict[str, dict[str, Any]] = {
    "phantom": {
        "no": 12,
        "yes": 12,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "slices_per_patient": 1,
    },
    "split": {"mode": "fractions", "fractions": {"val": 0.25, "test": 0.25}},  # 3 of each class
    "preprocess": {"size_px": 75},
    "augment": {"copies": 1, "phantoms": 2},
    "backbone": {"source": "random"},
    "tune": {
        "n_trials": 2,
        "startup_trials": 1,
        "folds": 1,
        "space": {
            "learning_rate": {"low": 1.0e-6, "high": 1.0e-5, "log": True},
            "head_block": {"low": 2, "high": 3},
            "fine_tune_blocks": {"low": 1, "high": 2},
            "dropout": {"low": 0.0, "high": 0.5, "log": False},
            "weight_decay": {"low": 1.0e-4, "high": 1.0e-2, "log": True},
            "head_penalty": {"low": 1.0e-2, "high": 1.0, "log": True},
        },
    },
    "train": TUNED | {"head_epochs": 5, "fine_tune_epochs": 1},
    "evaluate": {"bootstrap_resamples": 50},
    "register": {"force": True},  # six validation images and random weights beat no guess for sure
}


class Project:
    """A checkout of this project in a folder; its commands run without the user's environment."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.env = {key: text for key, text in os.environ.items() if not key.startswith(FOREIGN)}
        warm = [os.environ[VARIABLE]] if VARIABLE in os.environ else []
        self.env |= {
            "PATH": os.pathsep.join([*warm, cold_path()]),
            "PYTHONPATH": str(folder / "src"),
            "GIT_AUTHOR_NAME": "tester",
            "GIT_AUTHOR_EMAIL": "tester@example.org",
            "GIT_COMMITTER_NAME": "tester",
            "GIT_COMMITTER_EMAIL": "tester@example.org",
        }

    def run(self, *command: str, check: bool = True) -> str:
        """Run a command in the project; what it printed."""
        result = subprocess.run(
            command,
            cwd=self.folder,
            env=self.env,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        if check and result.returncode:
            raise AssertionError(
                f"{' '.join(command)} exited {result.returncode}:\n{result.stdout}"
            )
        return result.stdout

    def commit(self, message: str) -> None:
        """Commit everything git does not ignore."""
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", message)

    def json(self, path: str) -> Any:
        """Content of a JSON file."""
        return json.loads((self.folder / path).read_text(encoding="utf-8"))

    def set_params(self, changes: dict[str, dict[str, Any]]) -> None:
        """Change values of params.yaml, keeping its comments."""
        yaml, path = YAML(), self.folder / "params.yaml"
        document = yaml.load(path.read_text(encoding="utf-8"))
        for section, values in changes.items():
            document[section].update(values)
        with path.open("w", encoding="utf-8") as file:
            yaml.dump(document, file)


def cold_path() -> str:
    """Where programs are searched for, with those that start anew first."""
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"


def copy_project(folder: Path) -> Project:
    """Copy the working tree to `folder` with small parameters, under git, without data."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        text=True,
        capture_output=True,
        check=True,
    ).stdout.splitlines()
    for name in listing:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    project = Project(folder)
    for generated in ("data.dvc", "dvc.lock"):
        (folder / generated).unlink(missing_ok=True)
    project.set_params(SMALL)
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    return project


LOG = "repro.log"  # what the run printed
DONE = "done"


def trained_once(folder: Path) -> Project:
    """The small project after `data fetch` and `dvc repro`, made by the first who asks for it.

    Nobody changes it: `copy_trained` gives a copy to work in.

    Args:
        folder: that the processes of one run of the tests share.
    """
    project = Project(folder / "project")
    with FileLock(folder.with_suffix(".lock")):
        if not (folder / DONE).exists():
            shutil.rmtree(folder, ignore_errors=True)
            copy_project(project.folder)
            project.env["PATH"] = cold_path()  # as a user starts it
            project.run("brain-tumor", "data", "fetch", "phantom")
            project.commit("Small phantom")
            (folder / LOG).write_text(project.run("dvc", "repro"), encoding="utf-8")
            project.commit("First run")
            (folder / DONE).touch()
    return project


def copy_trained(trained: Project, folder: Path, last: str = "register") -> Project:
    """A copy in `folder` in which the stages after `last` have not run yet."""
    shutil.copytree(trained.folder, folder, symlinks=True)
    project = Project(folder)
    yaml, lock = YAML(), folder / "dvc.lock"
    stages = yaml.load((folder / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    later = list(stages)[list(stages).index(last) + 1 :]
    if not later:
        relocate(folder / "mlruns" / "mlflow.db")  # as its first command would
        return project
    shutil.rmtree(folder / ".dvc" / "cache" / "runs")  # or DVC would know what they gave
    for name in ("artifacts", "mlflow.db", "optuna.db"):
        _remove(folder / "mlruns" / name)
    locked = yaml.load(lock.read_text(encoding="utf-8"))
    for stage in later:
        for out in locked["stages"].pop(stage)["outs"]:
            _remove(folder / out["path"])
    with lock.open("w", encoding="utf-8") as file:
        yaml.dump(locked, file)
    return project


def _remove(path: Path) -> None:
    shutil.rmtree(path) if path.is_dir() else path.unlink()


PREDICT = """
import json, sys
from pathlib import Path
import mlflow, pandas as pd
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model("models:/brain-tumor-inceptionv3@champion")
images = [Path(p).read_bytes() for p in sys.argv[2:]]
print(json.dumps(model.predict(pd.DataFrame({"image": images}))["probability"].tolist()))
"""


def champion_says(project: Project, *paths: str) -> list[float]:
    """Probabilities of the registered champion, loaded in a fresh process."""
    uri = f"sqlite:///{project.folder / 'mlruns' / 'mlflow.db'}"
    files = [str(project.folder / "data" / path) for path in paths]
    output = project.run(sys.executable, "-W", "ignore", "-c", PREDICT, uri, *files)
    answer: list[float] = json.loads(output.splitlines()[-1])
    return answer
