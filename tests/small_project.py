"""A copy of this project that is small enough to run whole in a test: 75 px, random weights."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

ROOT = Path(__file__).parent.parent
FOREIGN = ("MLFLOW", "OPTUNA", "BRAIN_TUMOR", "DVC_", "AWS_", "TF_")
TUNED = {"fine_tune_blocks": "tuned", "learning_rate": "tuned"}  # they train blocks too
SMALL: dict[str, dict[str, Any]] = {
    "phantom": {
        "no": 12,
        "yes": 12,
        "exact_duplicates": 1,
        "near_duplicates": 1,
        "slices_per_patient": 1,
    },
    "split": {"mode": "counts"},
    "preprocess": {"size_px": 75, "refined_slices": 1},
    "augment": {"copies": 1, "phantoms": 2},
    "backbone": {"source": "random"},
    "tune": {
        "n_trials": 3,
        "startup_trials": 2,
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
        self.env |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
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
    three = {"no": 3, "yes": 3}
    project.set_params({"split": {"counts": {"val": three, "test": three, "train": None}}})
    project.run("git", "init", "--quiet", "--initial-branch", "main")
    return project


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
