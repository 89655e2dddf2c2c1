"""Proportions of slices in clusters: what the intervals must hold."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from brain_tumor.external.rates import BOOTSTRAP, WILSON, WILSON_CLUSTERS, Rate, cluster_rate, rate
from brain_tumor.model.metrics import wilson


def of(hits: list[int], clusters: list[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
    return np.array(hits, dtype=bool), np.array(clusters)


def got(found: Rate | None) -> Rate:
    assert found is not None
    return found


def test_singletons_have_wilsons_interval() -> None:
    found = got(rate(*of([1] * 9 + [0] * 3, list(range(12)))))
    expected = wilson(9, 12)
    assert (found.value, found.low, found.high) == (expected.value, expected.low, expected.high)
    assert (found.hits, found.images, found.clusters) == (9, 12, 12)
    assert found.interval == WILSON


def test_copies_do_not_make_the_interval_narrower() -> None:
    hits, names = [1] * 30 + [0] * 10, list(range(40))
    once, thrice = got(rate(*of(hits, names))), got(rate(*of(hits * 3, names * 3)))
    naive = wilson(90, 120)
    assert naive.low is not None
    assert naive.high is not None
    assert thrice.interval == BOOTSTRAP
    assert thrice.high - thrice.low == pytest.approx(once.high - once.low, rel=0.15)
    assert thrice.high - thrice.low > 1.4 * (naive.high - naive.low)


@pytest.mark.parametrize("hit", [0, 1])
def test_an_interval_has_width_where_all_are_alike(hit: int) -> None:
    found = got(rate(*of([hit] * 20, list(range(10)) * 2)))
    expected = wilson(10 * hit, 10)
    assert (found.value, found.low, found.high) == (hit, expected.low, expected.high)
    assert found.interval == WILSON_CLUSTERS


def test_a_cluster_counts_once() -> None:
    found = got(cluster_rate(*of([1] * 50 + [0, 0], ["big"] * 50 + ["a", "b"])))
    assert found.value == pytest.approx(1 / 3)
    assert (found.low, found.high) == (wilson(1, 3).low, wilson(1, 3).high)


def test_a_cluster_may_be_partly_right() -> None:
    found = got(cluster_rate(*of([1, 0, 1, 1], ["a", "a", "b", "c"])))
    assert found.value == pytest.approx((0.5 + 1 + 1) / 3)
    assert found.interval == BOOTSTRAP


def test_no_slices_no_figure() -> None:
    assert rate(*of([], [])) is None
    assert cluster_rate(*of([], [])) is None


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=1, max_size=40))
def test_the_interval_holds_the_value_and_the_order_does_not_matter(
    slices: list[tuple[bool, int]],
) -> None:
    for function in (rate, cluster_rate):
        found = got(function(*of([int(h) for h, _ in slices], [c for _, c in slices])))
        assert 0 <= found.low <= found.value + 1e-12
        assert found.value - 1e-12 <= found.high <= 1
        turned = slices[::-1]
        assert function(*of([int(h) for h, _ in turned], [c for _, c in turned])) == found
