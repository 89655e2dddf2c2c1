"""What a run did, as far as it came: collected from git, DVC and the outputs."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from brain_tumor.atomic import read_json
from brain_tumor.ci.commands import CommandError, dvc_json
from brain_tumor.dataset.growth.diff import DataDiff, compare
from brain_tumor.dataset.growth.listing import at_revision, in_folder
from brain_tumor.repository import GitError, git

LOCK, PIPELINE = "dvc.lock", "dvc.yaml"
VALIDATION = Path("outputs/validate/report.json")
FIGURES = Path("outputs/evaluate/figures.json")
REGISTERED = Path("outputs/registered.json")
Change = tuple[Any, Any]


@dataclass(frozen=True)
class Facts:
    """A run compared with a base commit; what could not be had is None or empty.

    Attributes:
        base: the commit compared with; None if there is none.
        commit: the commit that ran.
        stages: of dvc.yaml, in order.
        rerun: those whose outputs, by dvc.lock, are not the base's.
        unfinished: those that are not up to date: where the run stopped, and what follows.
        data: how the images differ from the base's.
        validation: the report of stage validate.
        known_warnings: its warnings that the base had too, as (path, reason).
        params: parameter to its values (base, now), those that differ; None if not compared.
        metrics: figure to its values (base, now), all of them.
        registered: what stage register wrote.
        promotion: what `registry promote` decided.
        drift: what `data drift` found.
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
    start = _merge_base(base)
    stages = tuple(_yaml(Path(PIPELINE).read_text(encoding="utf-8"))["stages"])
    stale = dvc_json("status")
    return Facts(
        base=start,
        commit=git("rev-parse", "HEAD").strip(),
        stages=stages,
        rerun=_rerun(start),
        unfinished=tuple(stage for stage in stages if stage in stale),
        data=_data_diff(start, data, folders),
        validation=_read(VALIDATION),
        known_warnings=frozenset(_warnings(_output(start, VALIDATION))),
        params=_params_diff(start),
        metrics=_figures_diff(start),
        registered=_read(REGISTERED),
        promotion=_read(report / "promotion.json"),
        drift=_read(report / "drift.json"),
        server=bool(os.environ.get("MLFLOW_TRACKING_URI")),
        failed=failed,
    )


def _merge_base(base: str) -> str | None:
    try:
        return git("merge-base", base, "HEAD").strip()
    except GitError:
        return None


def _rerun(base: str | None) -> frozenset[str]:
    now = _locked(Path(LOCK).read_text(encoding="utf-8")) if Path(LOCK).is_file() else {}
    before = _locked(_shown(base, LOCK))
    return frozenset(stage for stage in now if now[stage] != before.get(stage))


def _locked(text: str) -> dict[str, Any]:
    """Stage to its outputs."""
    stages = _yaml(text).get("stages", {}) if text else {}
    return {name: entry.get("outs") for name, entry in stages.items()}


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
    revision = [base] if base else []
    try:
        files = dvc_json("params", "diff", *revision)
    except CommandError:
        return None
    return {
        name: (change.get("old"), change.get("new"))
        for values in files.values()
        for name, change in values.items()
    }


def _figures_diff(base: str | None) -> dict[str, Change]:
    """Figures, and as `.low` and `.high` the ends of their intervals, at the base and now."""
    before = _flat(json.loads(_output(base, FIGURES) or "{}"))
    now = _flat(_read(FIGURES) or {})
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


def _warnings(report: str) -> list[tuple[str, str]]:
    return [(one["path"], one["reason"]) for one in json.loads(report or "{}").get("warnings", [])]


def _shown(revision: str | None, path: str) -> str:
    """A file of a revision; empty if it has none."""
    try:
        return git("show", f"{revision}:{path}") if revision else ""
    except GitError:
        return ""


def _read(path: Path) -> dict[str, Any] | None:
    return dict(read_json(path)) if path.is_file() else None


def _yaml(text: str) -> dict[str, Any]:
    return dict(YAML(typ="safe", pure=True).load(text) or {})
