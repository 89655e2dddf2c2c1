"""Outer folds: nothing lost, nothing twice, no cluster divided, whatever the order."""

from collections import Counter

import numpy as np
import pytest
from tests.evidence.small_pool import small_pool

from brain_tumor.evidence.folds import outer_folds
from brain_tumor.evidence.pool import Pool, originals

POOL = small_pool()
CLUSTER = originals(POOL).set_index("source")["cluster"]


@pytest.mark.parametrize("repeat", range(5))
@pytest.mark.parametrize("count", [2, 3, 5])
def test_no_cluster_is_on_both_sides(count: int, repeat: int) -> None:
    for fold in outer_folds(POOL, count, repeat):
        known, unseen = set(CLUSTER[list(fold.development)]), set(CLUSTER[list(fold.unseen)])
        assert known.isdisjoint(unseen)


@pytest.mark.parametrize("repeat", range(5))
def test_every_image_is_unseen_once_and_known_elsewhere(repeat: int) -> None:
    folds = list(outer_folds(POOL, 4, repeat))
    assert Counter(path for fold in folds for path in fold.unseen) == Counter(CLUSTER.index)
    for fold in folds:
        assert sorted(fold.development + fold.unseen) == sorted(CLUSTER.index)


def test_every_fold_has_both_classes_on_both_sides() -> None:
    for fold in outer_folds(POOL, 4, 0):
        for side in (fold.development, fold.unseen):
            assert {path.split("/")[0] for path in side} == {"no", "yes"}


def test_repeats_differ_and_each_repeats_itself() -> None:
    first, again, second = (list(outer_folds(POOL, 3, repeat)) for repeat in (0, 0, 1))
    assert first == again
    assert [fold.unseen for fold in first] != [fold.unseen for fold in second]


def test_the_order_of_the_pool_does_not_matter() -> None:
    order = np.random.default_rng(0).permutation(len(POOL.rows))
    shuffled = Pool(POOL.images[order], POOL.rows.iloc[order].reset_index(drop=True))
    assert list(outer_folds(shuffled, 3, 0)) == list(outer_folds(POOL, 3, 0))


def test_more_folds_than_clusters_of_a_class_is_an_error() -> None:
    with pytest.raises(ValueError, match=r"headline\.folds is 9.*only 8 groups"):
        list(outer_folds(POOL, 9, 0))
