"""What CI knows of a change: its commits, data, parameters and figures."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from brain_tumor.data import dvc
from brain_tumor.data.compare import DataDiff, compare
from brain_tumor.data.dvc import DvcError, at_revision, default_remote, in_folder, pointer
from brain_tumor.data.fetch import ensure, has_files
from brain_tumor.errors import UserError
from brain_tumor.files import read_json, write_text
from brain_tumor.machine import GitError, git
from brain_tumor.outputs import FIGURES, REGISTERED, VALIDATION
from brain_tumor.settings import PhantomParams


def dvc_json(*arguments: str) -> dict[str, Any]:
    """What a DVC command prints with `--json`; {} where it prints nothing. Raises as `dvc.run`."""
    text = dvc.run(*arguments, "--json").strip()
    return dict(json.loads(text)) if text else {}


LOCK, PIPELINE = "dvc.lock", "dvc.yaml"
Change = tuple[Any, Any]  # value at the base, value now


@dataclass(frozen=True)
class Facts:
    """A run compared with a base commit; what could not be had is None or empty.

    Attributes:
        base: the commit compared with; `commit` ran.
        stages: of dvc.yaml, in order.
        rerun: those whose outputs, by dvc.lock, are not the base's.
        unfinished: those that are not up to date: where the run stopped, and what follows.
        known_warnings: its warnings that the base had too, as (path, reason).
        params: those that differ.
        metrics: all figures, and as `.low` and `.high` the ends of their intervals.
        registered, promotion, drift: what stage register, `registry promote` and `data drift`
            wrote.
        server: whether runs and models are kept on a server.
        failed: whether a step failed, in the pipeline or after it.
    """

    base: str | None
    commit: str
    stages: tuple[str, ...]
    rerun: frozenset[str]
    unfinished: tuple[str, ...]
    data: DataDiff | None
    validation: Mapping[str, Any] | None
    known_warnings: frozenset[tuple[str, str]]
    params: Mapping[str, Change] | None
    metrics: Mapping[str, Change]
    registered: Mapping[str, Any] | None
    promotion: Mapping[str, Any] | None
    drift: Mapping[str, Any] | None
    server: bool
    failed: bool

    @property
    def complete(self) -> bool:
        """Whether the whole pipeline ran to its end."""
        return not self.unfinished


def gather(
    base: str, data: Path, folders: tuple[str, str], report: Path, *, failed: bool = False
) -> Facts:
    """Collect the facts of the run in the current folder.

    Args:
        base: revision to compare with, from where the present commit branched off; one that git
            does not know (a new branch has none) counts as none.
        data: the data folder.
        folders: class folders, negative first.
        report: folder in which `data drift` and `registry promote` left drift.json and
            promotion.json.
        failed: whether a step failed.
    """
    try:
        start = git("merge-base", base, "HEAD").strip()
    except GitError:
        start = None
    stages = tuple(_yaml(Path(PIPELINE).read_text(encoding="utf-8"))["stages"])
    stale = dvc_json("status")
    return Facts(
        base=start,
        commit=git("rev-parse", "HEAD").strip(),
        stages=stages,
        rerun=_rerun(start),
        unfinished=tuple(stage for stage in stages if stage in stale),
        data=_data_diff(start, data, folders),
        validation=_read_if_there(VALIDATION),
        known_warnings=frozenset(
            (warning["path"], warning["reason"])
            for warning in json.loads(_output(start, VALIDATION) or "{}").get("warnings", [])
        ),
        params=_params_diff(start),
        metrics=_figures_diff(start),
        registered=_read_if_there(REGISTERED),
        promotion=_read_if_there(report / "promotion.json"),
        drift=_read_if_there(report / "drift.json"),
        server=bool(os.environ.get("MLFLOW_TRACKING_URI")),
        failed=failed,
    )


def _rerun(base: str | None) -> frozenset[str]:
    now = Path(LOCK).read_text(encoding="utf-8") if Path(LOCK).is_file() else ""
    try:
        before = git("show", f"{base}:{LOCK}") if base else ""
    except GitError:  # the base has no dvc.lock
        before = ""
    outs, outs_before = (
        {name: stage.get("outs") for name, stage in _yaml(text).get("stages", {}).items()}
        for text in (now, before)
    )
    return frozenset(stage for stage in outs if outs[stage] != outs_before.get(stage))


def _data_diff(base: str | None, data: Path, folders: tuple[str, str]) -> DataDiff | None:
    if not data.is_dir():
        return None
    try:
        before = at_revision(data, base) if base else {}
    except ValueError:  # the base's listing is in no cache or remote that can be read
        return None
    return compare(before, in_folder(data), folders)


def _params_diff(base: str | None) -> dict[str, Change] | None:
    """Parameters that differ from the base's; None if DVC cannot tell."""
    try:
        files = dvc_json("params", "diff", *filter(None, [base]))
    except DvcError:
        return None
    return {
        name: (change.get("old"), change.get("new"))
        for values in files.values()
        for name, change in values.items()
    }


def _figures_diff(base: str | None) -> dict[str, Change]:
    before = _flat(json.loads(_output(base, FIGURES) or "{}"))
    now = _flat(_read_if_there(FIGURES) or {})
    return {name: (before.get(name), now.get(name)) for name in before | now}


def _flat(figures: Mapping[str, Mapping[str, Mapping[str, float]]]) -> dict[str, float]:
    return {
        f"{split}.{figure}" + ("" if part == "value" else f".{part}"): value
        for split, measured in figures.items()
        for figure, parts in measured.items()
        for part, value in parts.items()
    }


def _output(revision: str | None, path: Path) -> str:
    """An output of a revision, from DVC's cache or its remote; empty where it is not to be had."""
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    if revision is None:
        return ""
    try:
        return str(DVCFileSystem(rev=revision).read_text(path.as_posix(), encoding="utf-8"))
    except (OSError, DvcException):
        return ""


def _read_if_there(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None


def _yaml(text: str) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(text) or {})


def restore(
    data: Path, phantom: PhantomParams, names: Sequence[str], *, without_access: bool = False
) -> list[str]:
    """Bring back data and stage outputs as far as the remote has them.

    Args:
        data: the data folder.
        phantom: what the phantom is like.
        names: class folders, negative first.
        without_access: whether to go on with what can be made again where the remote cannot be
            read (a fork's pull request has no credentials).

    Returns:
        A line for each thing process.

    Raises:
        UserError: the remote cannot be read, or the data are not to be had or not those of
            data.dvc.
    """
    if has_files(data):
        _require_recorded(data)
    lines = [_pull(default_remote(data), without_access), ensure(data, phantom, names)]
    _require_recorded(data)
    return lines


def _require_recorded(data: Path) -> None:
    if dvc_json("status", pointer(data).name):
        raise UserError(
            f"{data}: not the data that {pointer(data)} describes; `brain-tumor data diff` says "
            f"what differs, `dvc checkout {pointer(data)}` brings them back"
        )


def push(data: Path) -> str:
    """Send data and outputs to the default remote, if there is one; say what was process.

    Raises:
        DvcError: the remote does not take them.
    """
    remote = default_remote(data)
    if remote is None:
        return "no DVC remote is set: data and outputs stay on this machine"
    return f"pushed to {remote}: {dvc.run('push').strip().splitlines()[-1]}"


def _pull(remote: str | None, without_access: bool) -> str:
    if remote is None:
        return "no DVC remote is set: nothing to pull"
    try:
        lines = dvc.run("pull", "--allow-missing").strip().splitlines()
    except DvcError as error:
        if not without_access:
            raise
        return f"remote {remote} could not be read: {error}"
    return f"pulled from {remote}: {lines[-1] if lines else 'nothing new'}"


RESULTS = ("dvc.lock", "outputs")
"""What the pipeline writes and git tracks: the lock and the small metrics."""


def write_results(patch: Path) -> list[str]:
    """Write the difference of `RESULTS` to HEAD as a binary git patch, new files included.

    Returns:
        The files it changes, sorted; with none the patch is empty.

    Raises:
        GitError: git fails.
    """
    present = [name for name in RESULTS if Path(name).exists()]
    git("add", "--intent-to-add", "--", *present)
    try:
        text = git("diff", "--binary", "--no-color", "--no-ext-diff", "HEAD", "--", *RESULTS)
        names = git("diff", "--name-only", "HEAD", "--", *RESULTS).splitlines()
    finally:
        git("reset", "--quiet", "--", *present)
    write_text(patch, text)
    return sorted(names)
