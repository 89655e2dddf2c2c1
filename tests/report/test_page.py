"""A page is whole in itself, and shows what it is given as it is."""

import re
from html.parser import HTMLParser

import numpy as np
import pytest

from brain_tumor.figure_text import Number, markdown_table
from brain_tumor.report.drawings import confusion_svg
from brain_tumor.report.page import (
    Absent,
    Beside,
    Drawing,
    Heading,
    KeyFigure,
    KeyFigures,
    Link,
    Listing,
    Note,
    Part,
    Picture,
    Pictures,
    Section,
    Table,
    markdown,
    page,
)

VOID = {"meta", "link", "wbr", "img", "br"}
EVIL = "<script>alert('x')</script> & \"more\""


class Reader(HTMLParser):
    """Collects tags, identifiers and text, and checks that what is opened is closed."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [str(value) for name, value in attrs if name == "id"]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def everything() -> str:
    svg = confusion_svg(np.array([[5, 1], [2, 7]]))
    figures = [Drawing(svg, "One (n = 15).", 'a "quoted" name'), Drawing(svg, "Two.", "b")]
    table = Table(
        ("Figure", "Test"), [["Group", ""], ["AUROC", Number(0.91, 0.82, 0.96)]], "Of 15."
    )
    keys = KeyFigures([KeyFigure("AUROC", "0.91", "0.82 to 0.96")], "n = 15")
    first = Section("First", [EVIL, Heading("Sub"), Note(EVIL), keys, table, Listing([EVIL])])
    second = Section("Second", [Beside(figures), figures[0], "See section 1 and `a/b_c`."], True)
    return page(EVIL, EVIL, [first, second])


def read(html: str) -> Reader:
    reader = Reader()
    reader.feed(html)
    reader.close()
    return reader


def test_tags_nest_and_identifiers_are_unique() -> None:
    reader = read(everything())
    assert not reader.open
    assert len(reader.ids) == len(set(reader.ids))
    assert reader.tags.count("svg") == 3


def test_references_of_every_drawing_lead_to_its_own_parts() -> None:
    html = everything()
    names = set(read(html).ids)
    referred = set(re.findall(r'href="#([^"]+)"', html)) | set(re.findall(r"url\(#([^)]+)\)", html))
    assert referred
    assert referred <= names


def test_text_is_shown_and_never_run() -> None:
    reader = read(everything())
    assert "script" not in reader.tags
    assert reader.text.count(EVIL) == 6  # title twice, lead, paragraph, note, list


def test_tables_and_figures_are_numbered_through() -> None:
    text = read(everything()).text
    assert [f"Table {n}." in text for n in (1, 2)] == [True, False]
    assert [f"Figure {n}." in text for n in (1, 2, 3, 4)] == [True, True, True, False]


def test_an_interval_stands_apart_from_its_figure() -> None:
    assert '0.91 <span class="interval">(0.82 to 0.96)</span>' in everything()


def test_a_row_with_one_cell_heads_those_below() -> None:
    assert '<tr class="group"><th colspan="2" scope="colgroup">Group</th></tr>' in everything()


def test_a_row_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="has not 2 cells"):
        Table(("a", "b"), [["only one"]])


def test_a_figure_that_is_no_drawing_is_refused() -> None:
    with pytest.raises(ValueError, match="is no SVG"):
        page("t", "l", [Section("s", [Drawing("<p>no</p>", "caption", "alt")])])


def test_what_is_given_is_shown_and_never_run_wherever_it_stands() -> None:
    keys = KeyFigures([KeyFigure(EVIL, EVIL, EVIL)], EVIL)
    table = Table((EVIL, "b"), [[EVIL, EVIL], ["c", Number(1, note=EVIL)]], EVIL)
    pictures = Pictures([Picture(b"", EVIL, EVIL)])
    parts: list[Part] = [keys, table, Heading(EVIL), pictures, Link(EVIL, EVIL, EVIL)]
    reader = read(page("t", "l", [Section(EVIL, parts)], [Absent(EVIL, EVIL)]))
    assert not {"script", "alert"} & set(reader.tags)
    assert reader.text.count(EVIL) == 4 + 4 + 1 + 1 + 1 + 2 + 2 + 2


def test_one_table_has_two_writers() -> None:
    table = Table(
        ("figure", "test"), [["AUROC", Number(0.914, 0.82, 0.961, note=" (7)")]], "Of 15."
    )
    assert markdown([Heading("Title"), table, Listing(["a", "b"])]) == (
        "## Title\n\n| figure | test |\n| --- | --- |\n| AUROC | 0.91 [0.82, 0.96] (7) |\n\n"
        "Of 15.\n\n- a\n- b\n"
    )
    assert '0.91 <span class="interval">(0.82 to 0.96)</span> (7)' in page(
        "t", "l", [Section("s", [table])]
    )


def test_cells_cannot_break_a_markdown_table() -> None:
    assert markdown_table(["a"], [["x|y\n<z"]]).splitlines()[-1] == "| x\\|y &lt;z |"
    assert markdown_table(["a"], []) == ""


def test_small_figures_are_never_minus_zero() -> None:
    assert str(Number(-0.001, -0.2, 0.1)) == "0.00 (-0.20 to 0.10)"
