"""The data folder under DVC: `data.dvc`, with where the data came from under its `meta:`."""

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from brain_tumor.atomic import write_text

Meta = dict[str, Any]


class DvcError(ValueError):
    """DVC cannot do what is needed here."""


def pointer(data: Path) -> Path:
    """Return the path of the .dvc file of a data folder: data -> data.dvc."""
    return data.with_name(f"{data.name}.dvc")


def require_repository(data: Path) -> None:
    """Raise `DvcError` unless `data` lies in a DVC repository."""
    if not any((parent / ".dvc").is_dir() for parent in data.resolve().parents):
        raise DvcError(
            f"{data} is not inside a DVC repository: run `git init && dvc init` there first, "
            "or pass --no-dvc-add to fill the folder only"
        )


def add(data: Path, meta: Meta) -> None:
    """Run `dvc add` on `data` and record `meta`; unchanged data leave data.dvc as it is."""
    _dvc(["add", "--quiet", data.name], data.absolute().parent)
    if read_meta(data) == meta:
        return
    yaml = _yaml()
    document = yaml.load(pointer(data).read_text(encoding="utf-8"))
    document["meta"] = meta
    text = io.StringIO()
    yaml.dump(document, text)
    write_text(pointer(data), text.getvalue())


def pull(data: Path) -> None:
    """Run `dvc pull` for `data`."""
    _dvc(["pull", "--quiet", pointer(data).name], data.absolute().parent)


def read_meta(data: Path) -> Meta:
    """Return what data.dvc has under `meta:`, empty if there is no data.dvc or nothing there."""
    path = pointer(data)
    if not path.is_file():
        return {}
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    meta = document.get("meta") if isinstance(document, dict) else None
    return meta if isinstance(meta, dict) else {}


def _yaml() -> YAML:
    yaml = YAML()  # round trip: keeps what DVC wrote
    yaml.default_flow_style = False
    return yaml


def _dvc(arguments: list[str], folder: Path) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise DvcError(f"`dvc {' '.join(arguments)}` failed in {folder.name}: {said}")
