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
ADDED = "added"  # in `meta`: the batches that came after the source, oldest first


class DvcError(ValueError):
    """DVC cannot do what is needed here."""


def pointer(data: Path) -> Path:
    """Return the path of the .dvc file of a data folder: data -> data.dvc."""
    return data.with_name(f"{data.name}.dvc")


def require_repository(data: Path) -> Path:
    """Return the `.dvc` folder of the DVC repository in which `data` lies.

    Raises:
        DvcError: it lies in none.
    """
    for parent in data.resolve().parents:
        if (parent / ".dvc").is_dir():
            return parent / ".dvc"
    raise DvcError(f"{data} is not inside a DVC repository: run `git init && dvc init` there first")


def add(data: Path, meta: Meta) -> None:
    """Run `dvc add` on `data` and record `meta`; unchanged data leave data.dvc as it is."""
    _dvc(["add", "--quiet", data.name], data.absolute().parent)
    write_meta(data, meta)


def write_meta(data: Path, meta: Meta) -> None:
    """Record `meta` in data.dvc, which stays as it is where it says so already."""
    if read_meta(data) == meta:
        return
    yaml = YAML()  # round trip: keeps what DVC wrote
    yaml.default_flow_style = False
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
    meta = _document(data).get("meta")
    return meta if isinstance(meta, dict) else {}


def _document(data: Path) -> dict[str, Any]:
    if not pointer(data).is_file():
        return {}
    document = YAML(typ="safe", pure=True).load(pointer(data).read_text(encoding="utf-8"))
    return document if isinstance(document, dict) else {}


def origin(meta: Meta) -> str:
    """Say in a few words where data come from: `phantom; added: site-b (12 yes)`."""
    source = " ".join(str(meta[key]) for key in ("source", "name") if key in meta) or "unknown"
    batches = [f"{each['name']} ({each['files']} {each['label']})" for each in meta.get(ADDED, [])]
    return f"{source}; added: {', '.join(batches)}" if batches else source


def _dvc(arguments: list[str], folder: Path) -> None:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    command = [sys.executable, "-m", "dvc", *arguments]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise DvcError(f"`dvc {' '.join(arguments)}` failed in {folder.name}: {reason}")
