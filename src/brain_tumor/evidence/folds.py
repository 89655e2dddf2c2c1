"""Outer folds: every image is unseen once a repeat, and no cluster is divided."""

from collections.abc import Iterator
from dataclasses import dataclass

from brain_tumor.evidence.pool import Pool, originals


@dataclass(frozen=True)
class Fold:
    """One way to hide a part of the images.

    Attributes:
        repeat: from 0; the seed of the assignment.
        number: of the fold in its repeat, from 0.
        development: manifest paths that fit and choose, sorted.
        unseen: manifest paths that are predicted and decide nothing, sorted.
    """

    repeat: int
    number: int
    development: tuple[str, ...]
    unseen: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of its files."""
        return f"headline-r{self.repeat}-f{self.number}"


def outer_folds(pool: Pool, count: int, repeat: int) -> Iterator[Fold]:
    """Yield the folds of a repeat, stratified by class; the order of the pool does not matter.

    Args:
        pool: says label and cluster of each image.
        count: number of folds.
        repeat: from 0.

    Raises:
        ValueError: a class has fewer clusters than there are folds.
    """
    from sklearn.model_selection import StratifiedGroupKFold

    rows = originals(pool).sort_values("source")
    fewest = int(rows.groupby("label")["cluster"].nunique().min())
    if fewest < count:
        raise ValueError(
            f"headline.folds is {count}, but a class has only {fewest} groups of images; lower it"
        )
    paths = rows["source"].to_numpy(str)
    splitter = StratifiedGroupKFold(count, shuffle=True, random_state=repeat)
    for number, (known, held) in enumerate(splitter.split(rows, rows["label"], rows["cluster"])):
        yield Fold(repeat, number, tuple(paths[known].tolist()), tuple(paths[held].tolist()))
