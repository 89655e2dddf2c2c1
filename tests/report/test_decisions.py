"""The decision log is shown as it stands, whatever Markdown it uses."""

from pathlib import Path

import pytest
from tests.report import evidence_made

from brain_tumor.report.decisions import parts
from brain_tumor.report.page import page
from brain_tumor.report.parts import Heading, Listing, Section, Table

ROOT = Path(__file__).parents[2]


def test_every_kind_of_block_becomes_a_part() -> None:
    first, heading, table, decision, items = parts(evidence_made.DECISIONS)
    assert first == "Before the run. See the page."
    assert heading == Heading("Head")
    assert table == Table(["head", "figures"], [["`solved`", "0.91"]], "Head.")
    assert decision == "Decision: solved, always:"
    assert items == Listing(["no epochs, no stopping", "2 * 3 * 4 stays"])


@pytest.mark.parametrize("text", ["", "\n\n", "# Only a title"])
def test_nothing_written_is_nothing_shown(text: str) -> None:
    assert list(parts(text)) == []


def test_a_section_of_the_log_is_not_linked_to_one_of_the_report() -> None:
    html = page("t", "l", [Section("Decisions", list(parts("As in section 4.")))])
    assert 'href="#section-4"' not in html
    assert "section\u00a04" in html


def test_a_row_of_another_length_is_filled_up() -> None:
    (table,) = parts("| a | b |\n|---|---|\n| 1 |\n| 1 | 2 | 3 |")
    assert isinstance(table, Table)
    assert [list(row) for row in table.rows] == [["1", ""], ["1", "2"]]


def test_the_committed_log_is_shown_whole() -> None:
    text = (ROOT / "docs" / "evidence" / "decisions.md").read_text(encoding="utf-8")
    found = list(parts(text))
    html = page("t", "l", [Section("Decisions", found)])
    assert html.count("<h3>") == text.count("\n## ")
    rules = [line for line in text.splitlines() if line.strip().startswith("|--")]
    assert html.count("<table") == len(rules)
    assert "**" not in html
