"""The checklists are whole, and honest about what is missing."""

import re

import pytest

from brain_tumor.report.checklists import CLAIM, PENDING, TRIPOD, UNANSWERED, Checklist, Item
from brain_tumor.report.page import Table

LISTS = [CLAIM, TRIPOD]
# The sections a report has; tests/report/test_model_sections.py proves that it has these.
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
    assert [item.number for item in CLAIM.items] == [str(number) for number in range(1, 45)]


def test_tripod_ai_has_its_27_items_with_their_letters() -> None:
    letters = {3: "abc", 5: "ab", 6: "abc", 8: "abc", 9: "abc", 12: "abcdefg", 18: "abcdef",
               20: "abc", 23: "ab", 27: "abc"}  # fmt: skip
    expected = [
        f"{number}{letter}"
        for number in range(1, 28)
        for letter in letters.get(number, "_").replace("_", " ")
    ]
    assert [item.number for item in TRIPOD.items] == [name.strip() for name in expected]
    assert len(TRIPOD.items) == 52


@pytest.mark.parametrize("checklist", LISTS)
@pytest.mark.parametrize("present", [frozenset(), frozenset(PENDING)])
def test_every_item_says_where_or_why_not(checklist: Checklist, present: frozenset[str]) -> None:
    for item in checklist.items:
        text = item.where(present, SECTIONS)
        assert "{" not in text
        if item.answered(present):
            assert re.search(r"[Ss]ection \d|\w+\.(md|yaml|txt|json)|README|LICENSE", text)
        else:
            assert re.match(rf"{UNANSWERED}( yet)?: .{{10}}", text)


@pytest.mark.parametrize("checklist", LISTS)
def test_evidence_answers_what_waited_for_it(checklist: Checklist) -> None:
    waiting = [item for item in checklist.items if item.needs]
    assert waiting
    assert not any(item.answered(frozenset()) for item in waiting)
    assert all(item.answered(frozenset(PENDING)) for item in waiting)


def test_what_is_not_answered_is_not_counted_as_answered() -> None:
    items = (
        Item("1", "Part", "one", "{data}"),
        Item("2", "Part", "two", "Not answered: nobody knows"),
        Item("3", "Other", "three", "{data}", ("external",)),
    )
    checklist = Checklist("A list", items)
    assert checklist.tally([]) == "1 of 3 items are answered, 2 are not."
    assert checklist.tally(["external"]) == "2 of 3 items are answered, 1 are not."
    [table] = checklist.section([], SECTIONS).parts
    assert isinstance(table, Table)
    assert [row[0] for row in table.rows] == ["Part", "1", "2", "Other", "3"]
