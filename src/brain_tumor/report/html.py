"""The parts of a page as HTML."""

import re
from base64 import b64encode
from collections.abc import Iterator, Sequence
from html import escape
from itertools import count

from brain_tumor.report.html_text import text
from brain_tumor.report.parts import (
    Beside,
    Figure,
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
)

_SHORT = 16  # rows of a table that is not divided on paper
_INTERVAL = re.compile(r"(?P<value>\S+) (?P<interval>\(\S+ to \S+\))")
_NUMBER = re.compile(
    r"[-+]?[\d.,]+ ?%?|[-+]?[\d.]+e[-+]?\d+|\d+ (of|/) \d+( \(.*%\))?|-?|[-\d.]+ to [-\d.]+"
)


class Writer:
    """Draws the parts of one page and numbers its tables and figures."""

    def __init__(self) -> None:
        """Begin with table 1 and figure 1."""
        self._tables, self._figures = count(1), count(1)

    def section(self, section: Section, number: int) -> str:
        """A section under its number."""
        kind = ' class="new-page"' if section.new_page else ""
        parts = "\n".join(self._part(part) for part in section.parts)
        return (
            f'<section{kind} aria-labelledby="section-{number}">\n'
            f'<h2 id="section-{number}"><span class="number">{number}</span> '
            f"{escape(section.title)}</h2>\n{parts}\n</section>"
        )

    def _part(self, part: Part) -> str:
        match part:
            case Table():
                return self._table(part)
            case Figure():
                return self._figure(part)
            case Beside():
                return f'<div class="beside">{"".join(map(self._figure, part.figures))}</div>'
            case _:
                return _plain(part)

    def _table(self, table: Table) -> str:
        number = next(self._tables)
        told = [row for row in table.rows if not _is_group(row)]
        kinds = [_kind(column) for column in zip(*told, strict=True)]
        kinds = ["", *kinds[1:], *[""] * (len(table.head) - len(kinds))][: len(table.head)]
        head = "".join(
            f'<th scope="col"{kind}>{text(cell)}</th>'
            for cell, kind in zip(table.head, kinds, strict=True)
        )
        body = "\n".join(_row(row, kinds) for row in table.rows)
        short = " short" if len(table.rows) <= _SHORT else ""
        caption = f"<b>Table {number}.</b> {text(table.caption)}"
        return (
            f'<div class="tabled{short}"><p class="caption" id="table-{number}">{caption}</p>\n'
            f'<div class="scroll" role="region" tabindex="0" aria-labelledby="table-{number}">'
            f'<table aria-labelledby="table-{number}"><thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div></div>"
        )

    def _figure(self, figure: Figure) -> str:
        number = next(self._figures)
        return (
            f"<figure>{_inline(figure, f'figure-{number}')}\n"
            f"<figcaption><b>Figure {number}.</b> {text(figure.caption)}</figcaption></figure>"
        )


def _plain(part: str | Listing | Note | KeyFigures | Heading | Pictures | Link) -> str:
    """A part that has no number."""
    match part:
        case str():
            return f"<p>{text(part)}</p>"
        case Listing():
            return "<ul>" + "".join(f"<li>{text(item)}</li>" for item in part.items) + "</ul>"
        case Note():
            return f'<p class="note">{text(part.text)}</p>'
        case KeyFigures():
            return _key_figures(part)
        case Heading():
            return f"<h3>{text(part.text)}</h3>"
        case Pictures():
            return f'<div class="pictures">{"".join(map(_picture, part.pictures))}</div>'
        case Link():
            return f'<p>{text(part.text)} <a href="{escape(part.href)}">{text(part.label)}</a>.</p>'


def _picture(picture: Picture) -> str:
    data = b64encode(picture.jpeg).decode("ascii")
    return (
        f'<figure><img src="data:image/jpeg;base64,{data}" alt="{escape(picture.alt)}">'
        f"<figcaption>{text(picture.caption)}</figcaption></figure>"
    )


def _is_group(row: Sequence[str]) -> bool:
    """Whether a row is a heading of those below it: only its first cell holds something."""
    return len(row) > 1 and bool(row[0]) and not any(row[1:])


def _row(row: Sequence[str], kinds: Sequence[str]) -> str:
    if _is_group(row):
        return (
            f'<tr class="group"><th colspan="{len(row)}" scope="colgroup">{text(row[0])}</th></tr>'
        )
    return f"<tr>{''.join(_cells(row, kinds))}</tr>"


def _cells(row: Sequence[str], kinds: Sequence[str]) -> Iterator[str]:
    for place, (cell, kind) in enumerate(zip(row, kinds, strict=True)):
        found = _INTERVAL.fullmatch(cell)
        shown = (
            f'{escape(found["value"])} <span class="interval">{escape(found["interval"])}</span>'
            if found
            else text(cell)
        )
        yield f"<td{kind}>{shown}</td>" if place else f'<th scope="row"{kind}>{shown}</th>'


def _kind(column: Sequence[str]) -> str:
    """The class of a column: figures stand flush right."""
    return ' class="figures"' if all(map(_is_figure, column)) and any(column) else ""


def _is_figure(cell: str) -> bool:
    return bool(_NUMBER.fullmatch(cell) or _INTERVAL.fullmatch(cell))


def _key_figures(part: KeyFigures) -> str:
    items = "".join(map(_key_figure, part.figures))
    caption = f'<p class="caption">{text(part.caption)}</p>' if part.caption else ""
    return f'{caption}<dl class="key">{items}</dl>'


def _key_figure(figure: KeyFigure) -> str:
    return (
        f"<div><dt>{text(figure.name)}</dt><dd>{text(figure.value)}"
        f"<small>{text(figure.detail)}</small></dd></div>"
    )


def _inline(figure: Figure, prefix: str) -> str:
    """The drawing for its place in the page: named, and with identifiers no other has."""
    start = figure.svg.find("<svg")
    if start < 0:
        raise ValueError(f"figure {figure.caption!r}: is no SVG but {figure.svg[:40]!r}")
    svg = re.sub(r'\bid="', f'id="{prefix}-', figure.svg[start:])
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg).replace("url(#", f"url(#{prefix}-")
    return svg.replace("<svg", f'<svg role="img" aria-label="{escape(figure.alt)}"', 1)
