"""The headline: repeated, nested, group-disjoint cross-validation of the whole recipe."""

import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from brain_tumor.errors import UserError
from brain_tumor.machine import counting
from brain_tumor.model import metrics
from brain_tumor.model.recipe import VERSION
from brain_tumor.tracking.runs import Run, create_run, resume_run, shared, start_run
from evidence.baselines import Baselines
from evidence.parts import (
    Digest,
    Finished,
    Fold,
    Pool,
    environment,
    is_tumour,
    originals,
    outer_folds,
    pace,
    params_digest,
)
from evidence.recipe import Recipe
from evidence.settings import HeadlineParams

TRACK = "headline"
# Writes name, table and facts of a fold down elsewhere; gives further facts.
LogFold = Callable[[str, pd.DataFrame, Mapping[str, Any]], Mapping[str, Any]]


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

    def missing(self, finished: Finished) -> list[Fold]:
        """The folds that are not finished yet.

        Raises:
            UserError: see `Finished.missing`.
        """
        names = set(finished.missing({fold.name: self.digest(fold) for fold in self.folds}))
        return [fold for fold in self.folds if fold.name in names]


def run_fold(track: Headline, fold: Fold, finished: Finished, log: LogFold) -> None:
    """Run recipe and baselines on a fold and keep what they predict.

    Kept are a row per unseen image (path, label, cluster, probability, uncalibrated, temperature,
    threshold and the probability of each baseline) and facts. They do not depend on other folds,
    nor on their order.

    Raises:
        RuntimeError: the recipe does not give a probability for each image.
    """
    began = time.monotonic()
    answer = track.recipe(track.pool, fold.development, fold.unseen, fold.repeat)
    rows = originals(track.pool).set_index("source").loc[list(fold.unseen)]
    p = answer.probability
    if p.shape != (len(rows),) or not ((p >= 0.0) & (p <= 1.0)).all():
        raise RuntimeError(f"{fold.name}: {len(rows)} probabilities needed, the recipe gave {p}")
    columns: dict[str, Any] = {
        "path": list(fold.unseen),
        "label": rows["label"].to_numpy(str),
        "cluster": rows["cluster"].to_numpy(str),
        "probability": p,
        "uncalibrated": np.asarray(answer.uncalibrated),
        "temperature": answer.temperature,
        "threshold": answer.threshold,
    }
    table = pd.DataFrame(columns | track.baselines.predict(fold))
    facts = {
        "track": TRACK,
        "repeat": fold.repeat,
        "fold": fold.number,
        "images": {"development": len(fold.development), "unseen": len(fold.unseen)},
        "chosen": dict(answer.chosen),
        "temperature": answer.temperature,
        "threshold": answer.threshold,
        "wall_s": round(time.monotonic() - began, 1),
        **track.notes,
        "environment": environment(),
    }
    further = log(fold.name, table, facts)
    finished.write(fold.name, table, track.digest(fold), {**facts, **further})


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
    whole, facts = finished.read_all(names, ("repeat", "fold"))
    counts = whole.groupby("path")["repeat"].agg(["size", "nunique"])
    wrong = counts[(counts != params.repeats).any(axis=1)]
    if len(wrong):
        raise UserError(
            f"{finished.folder}: {wrong.index[0]} is predicted {wrong['size'].iloc[0]} times in "
            f"{params.repeats} repeats: folds of different runs; delete the folder and run "
            "`make evidence`"
        )
    return whole, facts


def read_former(
    finished: Finished, folds: pd.DataFrame
) -> tuple[pd.DataFrame | None, list[dict[str, Any]]]:
    """Folds of a former recipe, as `read_folds` gives them, in the repeats that `folds` has.

    Nothing where there are none, or where they are of other images or clusters, which is said.
    """
    names = sorted(path.stem for path in finished.folder.glob("*.json"))
    if not names:
        return None, []
    whole, facts = finished.read_all(names, ("repeat", "fold"))
    repeats = set(folds["repeat"])
    whole = whole[whole["repeat"].isin(repeats)].reset_index(drop=True)
    columns = ["repeat", "path", "cluster"]
    if set(whole[columns].itertuples(index=False)) != set(folds[columns].itertuples(index=False)):
        print(
            f"note: {finished.folder} is of other images, clusters or repeats than {TRACK}: the "
            "former recipe is left out",
            file=sys.stderr,
        )
        return None, []
    return whole, [part for part in facts if part["repeat"] in repeats]


def run_track(
    track: Headline, finished: Finished, params: Mapping[str, str], tags: Mapping[str, str]
) -> None:
    """Run what is missing of a track, each fold an MLflow run, and show how it goes.

    The runs get `params` and `tags`.

    Raises:
        UserError: see `Finished.missing`.
    """
    missing = track.missing(finished)
    if not missing:
        return
    began = time.monotonic()
    done = [fold.name for fold in track.folds if fold not in missing]
    with (
        parent_run(done, finished, params, tags) as log,
        counting(f"{TRACK} track", len(missing)) as step,
    ):
        for number, fold in enumerate(missing, 1):
            run_fold(track, fold, finished, log)
            table, _ = finished.read(fold.name)
            called = table["probability"] >= table["threshold"]
            right = float(np.mean(called == (table["label"] == "yes")))
            place = f"repeat {fold.repeat}, fold {fold.number}"
            step(f"{place}: accuracy {right:.3f}; {pace(began, number, len(missing))}")


@contextmanager
def parent_run(
    done: Sequence[str], finished: Finished, params: Mapping[str, str], tags: Mapping[str, str]
) -> Iterator[LogFold]:
    """Take up the parent run of the finished folds, or open one, for the length of a block.

    Where the store does not know it (folds that were finished elsewhere), the new parent gets a
    child for each finished fold, tagged `restored`. Gives what logs a fold as a child.
    """
    parts = [(name, *finished.read(name)) for name in done]
    former = dict.fromkeys(facts.get("parent_run_id", "") for _, _, facts in parts)
    runs = (resume_run(run_id) for run_id in former if run_id)
    resumed = next((run for run in runs if run), None)
    parent = resumed or create_run(f"evidence: {TRACK}", params, {**tags, "stage": "evidence"})
    with shared(parent) as run:
        if resumed is None:
            run.log_dataset("brain-mri", tags.get("data", "unknown"), "cross-validation")
            for part in parts:
                _log_fold(run, params, {**tags, "restored": "true"}, *part)
        yield partial(_log_fold, run, params, tags)


def _log_fold(
    parent: Run,
    params: Mapping[str, str],
    tags: Mapping[str, str],
    name: str,
    table: pd.DataFrame,
    facts: Mapping[str, Any],
) -> dict[str, str]:
    """Write a fold as a child of the parent run; the ids of both runs."""
    chosen = {f"chosen.{key}": str(value) for key, value in facts["chosen"].items()}
    place = {"repeat": str(facts["repeat"]), "fold": str(facts["fold"])}
    tags = {**tags, **place, "stage": "evidence"}
    with start_run(name, {**params, **chosen}, tags, parent.run_id) as run:
        run.log_metrics(_figures(table, facts))
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / f"{name}.csv"
            table.to_csv(file, index=False)
            run.log_file(file, "folds")
    return {"run_id": run.run_id, "parent_run_id": parent.run_id}


def _figures(table: pd.DataFrame, facts: Mapping[str, Any]) -> dict[str, float]:
    truth = is_tumour(table["label"])
    figures = {f"{TRACK}/wall_s": float(facts["wall_s"])}
    for name, where in (("probability", TRACK), ("probe", f"{TRACK}/probe")):
        probability = table[name].to_numpy(np.float64)
        figures[f"{where}/log_loss"] = metrics.log_loss(truth, probability)
        if 0 < truth.sum() < len(truth):
            figures[f"{where}/auroc"] = metrics.auroc(truth, probability)
    figures[f"{TRACK}/balanced_accuracy"] = metrics.balanced_accuracy(
        truth, table["probability"].to_numpy(np.float64), float(facts["threshold"])
    )
    return figures
