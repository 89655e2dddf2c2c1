"""The headline: repeated, nested, group-disjoint cross-validation of the whole recipe."""

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.errors import UserError
from brain_tumor.machine import counting
from brain_tumor.model import metrics
from brain_tumor.model.recipe import VERSION
from brain_tumor.settings import POSITIVE
from brain_tumor.tracking.runs import Run, create_run, resume_run, shared, start_run
from evidence.baselines import Baselines
from evidence.parts import (
    Digest,
    Finished,
    Fold,
    Pace,
    Pool,
    environment,
    is_tumour,
    originals,
    outer_folds,
    params_digest,
)
from evidence.recipe import Answer, Recipe
from evidence.settings import HeadlineParams


def answer_fold(
    pool: Pool, recipe: Recipe, baselines: Baselines, fold: Fold
) -> tuple[Answer, pd.DataFrame]:
    """Run recipe and baselines on a fold.

    Returns:
        The recipe's answer, and a row per unseen image: path, label, cluster, probability,
        uncalibrated, temperature, threshold and the probability of each baseline.

    Raises:
        RuntimeError: the recipe does not give a probability for each image.
    """
    answer = recipe(pool, fold.development, fold.unseen, fold.repeat)
    rows = originals(pool).set_index("source").loc[list(fold.unseen)]
    said = answer.probability
    if said.shape != (len(rows),) or not ((said >= 0.0) & (said <= 1.0)).all():
        raise RuntimeError(f"{fold.name}: {len(rows)} probabilities needed, the recipe gave {said}")
    columns: dict[str, Any] = {
        "path": list(fold.unseen),
        "label": rows["label"].to_numpy(str),
        "cluster": rows["cluster"].to_numpy(str),
        "probability": said,
        "uncalibrated": np.asarray(answer.uncalibrated),
        "temperature": answer.temperature,
        "threshold": answer.threshold,
    }
    return answer, pd.DataFrame(columns | baselines.predict(fold))


TRACK = "headline"


@dataclass(frozen=True)
class Headline:
    """A track: what is cross-validated, on what.

    Attributes:
        pool: the images.
        baselines: what stands beside the recipe on each fold.
        recipe: from development images to answers for unseen ones.
        params: section `headline`.
        images: digest of the files.
        data: digest of all that is read.
        decides: parameters of the recipe.
        notes: facts for each fold's JSON that decide nothing.
    """

    pool: Pool
    baselines: Baselines
    recipe: Recipe
    params: HeadlineParams
    images: str
    data: str
    decides: Mapping[str, object]
    notes: Mapping[str, Any]

    @cached_property
    def folds(self) -> tuple[Fold, ...]:
        """All outer folds, repeat after repeat."""
        count = self.params.folds
        repeats = range(self.params.repeats)
        return tuple(fold for each in repeats for fold in outer_folds(self.pool, count, each))

    def digest(self, fold: Fold) -> Digest:
        """Of what decides a fold's predictions."""
        place = {"folds": self.params.folds, "repeat": fold.repeat, "fold": fold.number}
        return Digest(self.images, self.data, params_digest({**self.decides, **place}), VERSION)


OnFold = Callable[[str, pd.DataFrame, Mapping[str, Any]], Mapping[str, Any]]


def missing_folds(track: Headline, finished: Finished) -> list[Fold]:
    """The folds that are not finished yet.

    Raises:
        UserError: see `Finished.missing`.
    """
    names = set(finished.missing({fold.name: track.digest(fold) for fold in track.folds}))
    return [fold for fold in track.folds if fold.name in names]


def run_folds(
    track: Headline, folds: Sequence[Fold], finished: Finished, on_fold: OnFold
) -> Iterator[Fold]:
    """Run folds one after the other, keep each when it is done, and yield it.

    What a fold gives does not depend on the others, nor on their order.

    Args:
        track: what is cross-validated.
        folds: which are to be run.
        finished: where they are kept.
        on_fold: called with name, table and facts before these are kept; gives further facts.
    """
    for fold in folds:
        started = time.monotonic()
        answer, table = answer_fold(track.pool, track.recipe, track.baselines, fold)
        facts = _facts(track, fold, answer, time.monotonic() - started)
        further = on_fold(fold.name, table, facts)
        finished.write(fold.name, table, track.digest(fold), {**facts, **further})
        yield fold


def _facts(track: Headline, fold: Fold, answer: Answer, wall_s: float) -> dict[str, Any]:
    return {
        "track": TRACK,
        "repeat": fold.repeat,
        "fold": fold.number,
        "images": {"development": len(fold.development), "unseen": len(fold.unseen)},
        "chosen": dict(answer.chosen),
        "temperature": answer.temperature,
        "threshold": answer.threshold,
        "wall_s": round(wall_s, 1),
        **track.notes,
        "environment": environment(),
    }


def read_folds(
    finished: Finished, params: HeadlineParams
) -> tuple[pd.DataFrame, list[dict[str, Any]]]:
    """The finished folds that `params` names; others in the folder are passed over.

    Returns:
        The columns of their CSVs with `repeat`, `fold` and `y` (0 or 1), and the JSON of each.

    Raises:
        UserError: one is missing, or images are missing from a repeat or twice in it.
    """
    places = product(range(params.repeats), range(params.folds))
    names = [Fold(repeat, number, (), ()).name for repeat, number in places]
    tables, facts = zip(*map(finished.read, names), strict=True)
    whole = pd.concat(
        [
            table.assign(repeat=one["repeat"], fold=one["fold"])
            for table, one in zip(tables, facts, strict=True)
        ],
        ignore_index=True,
    )
    counts = whole.groupby("path")["repeat"].agg(["size", "nunique"])
    wrong = counts[(counts != params.repeats).any(axis=1)]
    if len(wrong):
        raise UserError(
            f"{finished.folder}: {wrong.index[0]} is predicted {wrong['size'].iloc[0]} times in "
            f"{params.repeats} repeats: folds of different runs; delete the folder and run "
            "`make evidence`"
        )
    return whole.assign(y=(whole["label"] == POSITIVE).astype("int64")), list(facts)


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
        UserError: see `Finished.missing`.
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
