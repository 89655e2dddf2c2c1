"""The headline track: the whole recipe, cross-validated over folds it never sees."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import product
from typing import Any

import pandas as pd

from brain_tumor.evidence.baselines import Baselines
from brain_tumor.evidence.environment import environment
from brain_tumor.evidence.finished import Digest, Finished
from brain_tumor.evidence.fold_table import answer_fold
from brain_tumor.evidence.folds import Fold, outer_folds
from brain_tumor.evidence.params import HeadlineParams
from brain_tumor.evidence.pool import Pool
from brain_tumor.evidence.recipe import Answer, Recipe
from brain_tumor.evidence.source_digest import params_digest
from brain_tumor.model.recipe import VERSION
from brain_tumor.settings import POSITIVE

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
        StaleError: see `Finished.missing`.
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
        ValueError: one is missing, or images are missing from a repeat or twice in it.
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
        raise ValueError(
            f"{finished.folder}: {wrong.index[0]} is predicted {wrong['size'].iloc[0]} times in "
            f"{params.repeats} repeats: folds of different runs; delete the folder and run "
            "`make evidence`"
        )
    return whole.assign(y=(whole["label"] == POSITIVE).astype("int64")), list(facts)
