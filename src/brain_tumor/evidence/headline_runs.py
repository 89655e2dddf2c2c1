"""The headline track in the MLflow store: a parent run, a child for every fold."""

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.evidence.finished import Finished
from brain_tumor.evidence.folds import Fold
from brain_tumor.evidence.headline import TRACK, Headline, missing_folds, run_folds
from brain_tumor.evidence.pace import Pace
from brain_tumor.evidence.pool import is_tumour
from brain_tumor.model import metrics
from brain_tumor.progress import counting
from brain_tumor.tracking.run import Run
from brain_tumor.tracking.runs import create_run, resume_run, shared, start_run


@dataclass(frozen=True)
class FoldRuns:
    """Writes each fold as a child of the parent run.

    Attributes:
        parent: the run of the track.
        params: flat parameters of its runs.
        tags: lineage tags of its runs.
    """

    parent: Run
    params: Mapping[str, str]
    tags: Mapping[str, str]

    def log(self, name: str, table: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, str]:
        """Write a fold; the ids of its run and of the parent."""
        chosen = {f"chosen.{key}": str(value) for key, value in facts["chosen"].items()}
        place = {"repeat": str(facts["repeat"]), "fold": str(facts["fold"])}
        tags = {**self.tags, **place, "stage": "evidence"}
        with start_run(name, {**self.params, **chosen}, tags, self.parent.run_id) as run:
            run.log_metrics(_figures(table, facts))
            with tempfile.TemporaryDirectory() as temporary:
                file = Path(temporary) / f"{name}.csv"
                table.to_csv(file, index=False)
                run.log_file(file, "folds")
        return {"run_id": run.run_id, "parent_run_id": self.parent.run_id}


def run_track(
    name: str,
    track: Headline,
    finished: Finished,
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> None:
    """Run what is missing of a track, each fold an MLflow run, and show how it goes.

    Args:
        name: of the parent run.
        track: what is cross-validated.
        finished: where folds are kept; finished ones are not run again.
        params: flat parameters of the runs.
        tags: lineage tags of the runs.

    Raises:
        StaleError: see `Finished.missing`.
    """
    missing = missing_folds(track, finished)
    if not missing:
        return
    pace = Pace(len(missing))
    with (
        fold_runs(name, track, missing, finished, params, tags) as runs,
        counting(f"{name} track", len(missing)) as step,
    ):
        for fold in run_folds(track, missing, finished, runs.log):
            table, _ = finished.read(fold.name)
            called = table["probability"] >= table["threshold"]
            right = float(np.mean(called == (table["label"] == "yes")))
            step(f"repeat {fold.repeat}, fold {fold.number}: accuracy {right:.3f}; {pace.step()}")


@contextmanager
def fold_runs(
    name: str,
    track: Headline,
    missing: Sequence[Fold],
    finished: Finished,
    params: Mapping[str, str],
    tags: Mapping[str, str],
) -> Iterator[FoldRuns]:
    """Take up the parent run of the finished folds, or open one, for the length of a block.

    Where the store does not know it (folds that were finished elsewhere), the new parent gets a
    child for each finished fold, tagged `restored`.
    """
    done = [fold.name for fold in track.folds if fold not in missing]
    known = [finished.read(name) for name in done]
    former = [facts.get("parent_run_id", "") for _, facts in known]
    found = next((run for one in dict.fromkeys(former) if one and (run := resume_run(one))), None)
    parent = found or create_run(f"evidence: {name}", params, {**tags, "stage": "evidence"})
    with shared(parent) as run:
        if found is None:
            run.log_dataset("brain-mri", tags.get("data", "unknown"), "cross-validation")
            restored = FoldRuns(run, params, {**tags, "restored": "true"})
            for name, (table, facts) in zip(done, known, strict=True):
                restored.log(name, table, facts)
        yield FoldRuns(run, params, tags)


def _figures(table: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, float]:
    truth = is_tumour(table["label"])
    figures = {f"{TRACK}/wall_s": float(facts["wall_s"])}
    for name in ("probability", "probe"):
        said = table[name].to_numpy(np.float64)
        where = TRACK if name == "probability" else f"{TRACK}/{name}"
        figures[f"{where}/log_loss"] = metrics.log_loss(truth, said)
        if 0 < truth.sum() < len(truth):
            figures[f"{where}/auroc"] = metrics.auroc(truth, said)
    called = float(facts["threshold"])
    figures[f"{TRACK}/balanced_accuracy"] = metrics.balanced_accuracy(
        truth, table["probability"].to_numpy(np.float64), called
    )
    return figures
