"""Of several processes that set an attribute at once the first wins, and all know who it was."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from brain_tumor.model.search.claim import claim
from brain_tumor.model.search.storage import open_storage
from brain_tumor.model.search.study import open_study
from brain_tumor.settings import TuneParams

CLAIMANTS = 4
Section = Callable[..., TuneParams]


def claims(url: str, key: str) -> set[str]:
    """What claimants with a connection each say the attribute is, after all wanted another."""
    together = Barrier(CLAIMANTS)

    def wanted(number: int) -> str:
        storage = open_storage(url)
        together.wait()
        return claim(storage, "claimed", key, f"{key} {number}")

    with ThreadPoolExecutor(CLAIMANTS) as pool:
        return set(pool.map(wanted, range(CLAIMANTS)))


@pytest.mark.parametrize("database", ["sqlite_url", "postgres"])
def test_all_claimants_agree_on_the_first(
    database: str, section: Section, request: pytest.FixtureRequest
) -> None:
    url = request.getfixturevalue(database)
    study = open_study(open_storage(url), "claimed", section(), create=True)
    (first,) = claims(url, "run")
    assert study.user_attrs == {"run": first}
    (second,) = claims(url, "run.2")
    assert study.user_attrs == {"run": first, "run.2": second}


def test_a_claim_that_comes_too_late_changes_nothing(section: Section, sqlite_url: str) -> None:
    storage = open_storage(sqlite_url)
    open_study(storage, "claimed", section(), create=True)
    assert claim(storage, "claimed", "run", "a") == "a"
    assert claim(storage, "claimed", "run", "b") == "a"
    assert claim(storage, "claimed", "run.2", "b") == "b"
