"""The checklists are whole, and honest about what is missing."""

import re
from types import ModuleType

import pytest

from brain_tumor.report import claim, tripod
from brain_tumor.report.checklist import PENDING, UNANSWERED, Item, rows, tally

LISTS = [claim, tripod]
# The sections a report has; tests/report/test_document.py proves that it has these.
SECTIONS = {
    key: f"section {number}, {key}"
    for number, key in enumerate(
        (
            "summary", "use", "data", "methods", "training", "performance", "calibration",
            "failures", "crossvalidation", "published", "external", "explanation", "robustness",
            "lineage", "parameters",
        ),
        1,
    )
} | {"decisions": "docs/evidence/decisions.md"}  # fmt: skip


def test_claim_has_its_44_items_in_order() -> None:
    assert [one.number for one in claim.ITEMS] == [str(number) for number in range(1, 45)]


def test_tripod_ai_has_its_27_items_with_their_letters() -> None:
    letters = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef",
               20: "abc", 23: "ab", 27: "abc"}  # fmt: skip
    expected = [
        f"{number}{letter}"
        for number in range(1, 28)
        for letter in letters.get(number, "_").replace("_", " ")
    ]
    assert [one.number for one in tripod.ITEMS] == [name.strip() for name in expected]
    assert len(tripod.ITEMS) == 52


@pytest.mark.parametrize("checklist", LISTS)
@pytest.mark.parametrize("present", [frozenset(), frozenset(PENDING)])
def test_every_item_says_where_or_why_not(checklist: ModuleType, present: frozenset[str]) -> None:
    for item in checklist.ITEMS:
        text = item.where(present, SECTIONS)
        assert "{" not in text
        if item.answered(present):
            assert re.search(r"[Ss]ection \d|\w+\.(md|yaml|txt|json)|README|LICENSE", text)
        else:
            assert re.match(rf"{UNANSWERED}( yet)?: .{{10}}", text)


@pytest.mark.parametrize("checklist", LISTS)
def test_evidence_answers_what_waited_for_it(checklist: ModuleType) -> None:
    waiting = [one for one in checklist.ITEMS if one.needs]
    assert waiting
    assert not any(one.answered(frozenset()) for one in waiting)
    assert all(one.answered(frozenset(PENDING)) for one in waiting)


def test_what_is_not_answered_is_not_counted_as_answered() -> None:
    items = [
        Item("1", "Part", "one", "{data}"),
        Item("2", "Part", "two", "Not answered: nobody knows"),
        Item("3", "Other", "three", "{data}", ("external",)),
    ]
    assert tally(items, []) == "1 of 3 items are answered, 2 are not."
    assert tally(items, ["external"]) == "2 of 3 items are answered, 1 are not."
    assert [row[0] for row in rows(items, [], SECTIONS)] == ["Part", "1", "2", "Other", "3"]
