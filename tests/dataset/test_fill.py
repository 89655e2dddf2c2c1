import itertools

from hypothesis import given
from hypothesis import strategies as st

from brain_tumor.dataset.splitting.fill import choose
from brain_tumor.dataset.splitting.units import Unit


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 4)), max_size=9),
    st.integers(0, 12),
    st.integers(0, 12),
)
def test_units_that_add_up_are_found_exactly_where_there_are_any(
    sizes: list[tuple[int, int]], no: int, yes: int
) -> None:
    units = [Unit(0.0, str(number), *size) for number, size in enumerate(sizes)]
    subsets = [
        subset
        for length in range(len(units) + 1)
        for subset in itertools.combinations(units, length)
        if (sum(unit.no for unit in subset), sum(unit.yes for unit in subset)) == (no, yes)
    ]
    chosen = choose(units, no, yes)
    if not subsets:
        assert chosen is None
    else:
        assert chosen is not None
        assert tuple(chosen) in subsets
        chosen_names = [unit.name for unit in chosen if unit.no + unit.yes]
        first = min([unit.name for unit in subset if unit.no + unit.yes] for subset in subsets)
        assert chosen_names == first
