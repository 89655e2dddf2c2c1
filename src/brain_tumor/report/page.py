"""A page as plain data, and its two writers: one HTML file that loads nothing, and Markdown."""

import re
from base64 import b64encode
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from html import escape

from jinja2 import Environment, PackageLoader, StrictUndefined, Template
from markupsafe import Markup

from brain_tumor.figure_text import Cell, Number, bracketed, markdown_table

_SHORT = 16  # rows of a table that is not divided on paper
_FIGURE = re.compile(
    r"[-+]?[\d.,]+ ?%?|[-+]?[\d.]+e[-+]?\d+|\d+ (of|/) \d+( \(.*%\))?|-?|[-\d.]+ to [-\d.]+"
)
_VERBATIM = re.compile(r"(?<!`)(`+)(?!`)( ?)(.+?)\2\1(?!`)")  # as `escaping.code` writes it
_JOINT = re.compile(r"(?<=[./_])(?=\w)")
_SECTION = re.compile(r"\b([Ss]ection (\d+))\b")


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names the row, or alone heads the rows below it.

    HTML numbers the caption and sets it above the table, Markdown sets it below.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    caption: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if a row has not as many cells as the head."""
        for row in self.rows:
            if len(row) != len(self.head):
                message = f"table {self.caption!r}: row {row} has not {len(self.head)} cells"
                raise ValueError(message)

    @property
    def is_short(self) -> bool:
        """Whether it is kept on one sheet of paper."""
        return len(self.rows) <= _SHORT

    @property
    def kinds(self) -> list[str]:
        """The class of each column in HTML: figures stand flush right, but for the first column."""
        rows = [row for row in self.rows if not _is_group(row)]
        columns = list(zip(*rows, strict=True))[1:] if rows else [()] * (len(self.head) - 1)
        return [
            "",
            *("figures" if any(cells) and all(map(_is_figure, cells)) else "" for cells in columns),
        ]


@dataclass(frozen=True)
class Drawing:
    """A drawing (SVG), numbered as a figure; `alt`: the same for those who do not see it."""

    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Beside:
    """Drawings side by side where there is room."""

    drawings: Sequence[Drawing]


@dataclass(frozen=True)
class Listing:
    """A list of short texts."""

    items: Sequence[str]


@dataclass(frozen=True)
class Note:
    """A text that must not be overlooked."""

    text: str


@dataclass(frozen=True)
class KeyFigure:
    """A figure to be seen first; `detail` is its interval, or what it is of."""

    name: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class KeyFigures:
    """Some figures side by side."""

    figures: Sequence[KeyFigure]
    caption: str = ""


@dataclass(frozen=True)
class Heading:
    """A heading within a section."""

    text: str


@dataclass(frozen=True)
class Picture:
    """A photograph: the JPEG's bytes, what it is, and the same for those who do not see it."""

    jpeg: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Pictures:
    """Small photographs side by side; they have no numbers."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Link:
    """A paragraph that ends with a link to another file; `href` is relative to the page."""

    text: str
    label: str
    href: str


Part = str | Table | Drawing | Beside | Listing | Note | KeyFigures | Heading | Pictures | Link


@dataclass(frozen=True)
class Section:
    """A numbered part of a page.

    Attributes:
        parts: in order; a `str` is a paragraph of plain text, `verbatim` between backticks.
        new_page: whether it starts a new page on paper.
    """

    title: str
    parts: Sequence[Part]
    new_page: bool = False


@dataclass(frozen=True)
class Absent:
    """A section that is not there: its title, why, and what would bring it."""

    title: str
    reason: str


def page(title: str, lead: str, sections: Sequence[Section], absent: Sequence[Absent] = ()) -> str:
    """A page as HTML, for screen (light, dark, narrow) and paper.

    Sections, tables and figures are numbered in order; what is `absent` and why stands at the end
    of the contents.

    Raises:
        ValueError: a drawing is no SVG.
    """
    template, css = _template()
    return template.render(title=title, lead=lead, sections=sections, absent=absent, css=css)


@cache
def _template() -> tuple[Template, Markup]:
    """The template and the style sheet, which lie beside this module."""
    loader = PackageLoader("brain_tumor.report", "")
    environment = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, keep_trailing_newline=True,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters |= {
        "kind": lambda part: type(part).__name__, "text": _text, "cell": _cell,
        "class": lambda kind: Markup(' class="{}"').format(kind) if kind else "",
        "base64": lambda data: b64encode(data).decode("ascii"), "inline": _inline,
    }  # fmt: skip
    environment.tests["group"] = _is_group
    css, _, _ = loader.get_source(environment, "page.css")
    return environment.get_template("page.html.j2"), Markup(css)


def _is_group(row: Sequence[Cell]) -> bool:
    """Whether a row is a heading of those below it: only its first cell holds something."""
    return len(row) > 1 and bool(row[0]) and not any(row[1:])


def _is_figure(cell: Cell) -> bool:
    return isinstance(cell, Number) or bool(_FIGURE.fullmatch(cell))


def _text(plain: str) -> Markup:
    """Plain text as HTML; between backticks it is shown verbatim, `section 3` becomes a link.

    Verbatim text may be broken after a dot, a slash or a low line.
    """
    html = escape(plain, quote=False).replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")
    html = _SECTION.sub(r'<a href="#section-\2">\1</a>', html)
    code = _VERBATIM.sub(lambda hit: f"<code>{_JOINT.sub('<wbr>', hit[3])}</code>", html)
    return Markup(code)


def _cell(cell: Cell) -> Markup:
    if isinstance(cell, str):
        return _text(cell)
    if not cell.interval:
        return Markup("{}").format(str(cell))
    form = Markup('{} <span class="interval">({})</span>{}')
    return form.format(cell.text, cell.interval, cell.note)


def _inline(drawing: Drawing, prefix: str) -> Markup:
    """The drawing for its place in the page: named, and with identifiers no other has."""
    start = drawing.svg.find("<svg")
    if start < 0:
        raise ValueError(f"figure {drawing.caption!r}: is no SVG but {drawing.svg[:40]!r}")
    svg = re.sub(r'\bid="', f'id="{prefix}-', drawing.svg[start:])
    svg = re.sub(r'href="#', f'href="#{prefix}-', svg).replace("url(#", f"url(#{prefix}-")
    name = f'<svg role="img" aria-label="{escape(drawing.alt)}"'
    return Markup(svg.replace("<svg", name, 1))


def markdown(parts: Iterable[str | Heading | Listing | Table]) -> str:
    """Parts as Markdown, a blank line between them; a `str` is Markdown already."""
    return "\n\n".join(text for part in parts if (text := _markdown(part))) + "\n"


def _markdown(part: str | Heading | Listing | Table) -> str:
    match part:
        case Heading():
            return f"## {part.text}"
        case Listing():
            return "\n".join(f"- {item}" for item in part.items)
        case Table():
            rows = [[bracketed(cell) for cell in row] for row in part.rows]
            table = markdown_table(part.head, rows)
            return f"{table}\n\n{part.caption}" if part.caption else table
        case _:
            return part
