"""What a run was made from: commit, data, files read, parameters that acted."""

import hashlib
import json
import os
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from brain_tumor.errors import UserError
from brain_tumor.files import reading
from brain_tumor.machine import GitError, git
from brain_tumor.outputs import DATA, DATA_DVC
from brain_tumor.settings import idle

_DECIDES_RESULTS = ("src", "params.yaml", "dvc.yaml", "data.dvc", "requirements.txt")
# Sections of params.yaml that decide what a training is made of, and how it goes.
DECIDING = ("split", "preprocess", "augment", "backbone", "train")
UNKNOWN = "unknown"  # whether something differs from the commit
_MAX_PARAM_CHARACTERS = 6000
_LONGEST = 500  # characters of git's words


def trace(inputs: Mapping[str, Path], workspace: Path | None = None) -> dict[str, str]:
    """What a run was made from; lineage.json of the run holds it.

    `git.commit` and `git.dirty` (whether code, parameters or data differ from that commit; what
    the pipeline itself writes does not count), `data.md5` as in data.dvc, `md5.<name>` of each
    input, as dvc.lock has it, and `md5.code` of this package. Where git does not tell the commit it
    is `none`, where it does not tell differences `git.dirty` is `unknown`; then `git.error` has
    git's words, which are printed once too.

    Args:
        inputs: what was read: name to file or folder. What is not there is left out.
        workspace: the checkout the process runs in; the current folder by default.
    """
    workspace = workspace or Path()
    facts = {f"md5.{name}": md5(path) for name, path in inputs.items() if path.exists()}
    data = data_md5(workspace)
    if data:
        facts["data.md5"] = data
    return facts | {"md5.code": _code_md5()} | _git(workspace)


def tags(facts: Mapping[str, str]) -> dict[str, str]:
    """The tags of a run by which it is found and compared.

    `data` is the MD5 in data.dvc and `commit` that of git, with `-dirty` where code, parameters
    or data differ from it and `-unknown` where git does not tell; `git.error` has git's words.
    `lock` is one MD5 over data, inputs (params.yaml among them) and code: two runs of the same lock
    read the same bytes and ran the same code, whatever git says. It proves nothing of packages, of
    the processor, or that the result is the same. It is made from lineage.json and not from
    dvc.lock, which does not exist yet while the first stages run.
    """
    read = {key: facts[key] for key in sorted(facts) if key.startswith(("md5.", "data."))}
    named = {
        "data": facts.get("data.md5", "none"),
        "commit": commit(facts),
        "lock": hashlib.md5(json.dumps(read).encode(), usedforsecurity=False).hexdigest(),
    }
    # MLflow's own tag is what its pages show as the version of the source.
    if "git.error" in facts:
        named["git.error"] = facts["git.error"]
    known = facts.get("git.commit", "none")
    return named | ({"mlflow.source.git.commit": known} if known != "none" else {})


def commit(facts: Mapping[str, str], digits: int = 40) -> str:
    """The commit by so many of its digits, `-dirty` or `-unknown` as `tags` says; or `none`."""
    name = facts.get("git.commit", "none")
    suffix = {"true": "-dirty", UNKNOWN: "-unknown"}.get(facts.get("git.dirty", ""), "")
    return name if name == "none" else f"{name[:digits]}{suffix}"


def _code_md5() -> str:
    """MD5 of the files of this package, by name and content: code, and what it decides by."""
    package = Path(__file__).resolve().parents[1]
    digest = hashlib.md5(usedforsecurity=False)
    files = (file for file in package.rglob("*") if file.is_file())
    for file in sorted(file for file in files if "__pycache__" not in file.parts):
        digest.update(file.relative_to(package).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def md5(path: Path) -> str:
    """MD5 of a file, or of a folder in the way DVC counts it (ends in `.dir`).

    A folder's is that of the JSON list of its files' MD5 and relative paths
    (dvc_data.hashfile.tree.Tree.as_bytes).
    """
    if path.is_file():
        with path.open("rb") as file:
            return hashlib.file_digest(file, "md5").hexdigest()
    files = {file.relative_to(path).as_posix(): file for file in path.rglob("*") if file.is_file()}
    entries = [{"md5": md5(files[name]), "relpath": name} for name in sorted(files)]
    listing = json.dumps(entries, sort_keys=True).encode()
    return f"{hashlib.md5(listing, usedforsecurity=False).hexdigest()}.dir"


def data_md5(workspace: Path) -> str | None:
    """The MD5 of the data as data.dvc has it; without data.dvc that of `data/`, if it is there.

    Raises:
        UserError: data.dvc cannot be read.
    """
    try:
        return str(_data_dvc(workspace)["outs"][0]["md5"])
    except (LookupError, TypeError):
        folder = workspace / DATA
        return md5(folder) if folder.is_dir() else None


def _data_dvc(workspace: Path) -> dict[str, Any]:
    """Content of data.dvc; empty where there is none.

    Raises:
        UserError: it cannot be read, as where git left the marks of a conflict.
    """
    path = workspace / DATA_DVC
    if not os.path.lexists(path):
        return {}
    with reading(path, _MEND):
        document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    if not isinstance(document, dict) or not isinstance(document.get("outs"), list):
        raise UserError(f"{path}: not readable; {_MEND}: it has no list `outs`")
    return document


_MEND = "`git checkout data.dvc` brings the recorded one back, `dvc add data` records data/ anew"


def is_phantom(workspace: Path | None = None) -> bool:
    """Whether data.dvc says that the data are the phantom."""
    document = _data_dvc(workspace or Path())
    meta = document.get("meta")
    return isinstance(meta, dict) and meta.get("source") == "phantom"


def flat_params(path: Path) -> dict[str, str]:
    """All of a params file as `section.key` to text, as MLflow's run parameters.

    Longer values than MLflow takes (6000 characters) are cut.
    """
    document = YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))
    return dict(_flatten("", document or {}))


def _flatten(prefix: str, value: object) -> list[tuple[str, str]]:
    if isinstance(value, dict) and value:
        nested = ((f"{prefix}.{key}" if prefix else str(key), item) for key, item in value.items())
        return [pair for key, item in nested for pair in _flatten(key, item)]
    text = value if isinstance(value, str) else json.dumps(value, default=str)
    return [(prefix, text[:_MAX_PARAM_CHARACTERS])]


def acted_params(
    path: Path, train: Mapping[str, Any], more: Iterable[str] = (), *, phantom: bool = False
) -> dict[str, str]:
    """The parameters that decided a training, as `section.key` to text.

    Args:
        path: of params.yaml.
        train: section `train` with what the study chose.
        more: other sections that decided the run, as `tune` does a study.
        phantom: whether the data are the phantom, so that its section decided them.
    """
    sections = {*DECIDING, *more} | ({"phantom"} if phantom else set())
    without_effect = idle(train)
    fields = {
        f"train.{name}": value
        for name, value in train.items()
        if name not in without_effect and value is not None
    }
    flat = flat_params(path)
    unused = "split.counts." if flat.get("split.mode") == "fractions" else "split.fractions."
    tuned = [name for name, value in train.items() if value == "tuned"]
    return {
        key: str(fields[key]) if key in fields else text
        for key, text in flat.items()
        if key.partition(".")[0] in sections
        and not key.startswith(unused)
        and (key in fields or not key.startswith("train."))
        and (not key.startswith("tune.space.") or key.split(".")[2] in tuned)
    }


def _git(workspace: Path) -> dict[str, str]:
    """The commit, whether what decides differs from it, and why git does not tell, if so."""
    facts = {"git.commit": "none", "git.dirty": "true"}
    try:
        facts["git.commit"] = git("rev-parse", "HEAD", folder=workspace).strip()
        facts["git.dirty"] = UNKNOWN
        if not git("ls-files", "--", *_DECIDES_RESULTS, folder=workspace):
            top = git("rev-parse", "--show-toplevel", folder=workspace).strip()
            facts["git.commit"] = "none"
            raise GitError(f"the git repository {top} holds no file of this project")
        changed = git("status", "--porcelain", "--", *_DECIDES_RESULTS, folder=workspace)
        facts["git.dirty"] = "true" if changed.strip() else "false"
    except GitError as error:
        facts["git.error"] = " ".join(str(error).split())[:_LONGEST]
        if facts["git.commit"] == "none":
            facts["git.dirty"] = "true"
        _warn(facts["git.error"], facts["git.commit"])
    return facts


@cache
def _warn(reason: str, commit: str) -> None:
    """Say what is not known of a run, once a process."""
    lost = "its commit" if commit == "none" else f"whether it differs from commit {commit[:7]}"
    print(f"WARNING: {lost} is not recorded: {reason}", file=sys.stderr)
