"""What a page is made of: plain data, drawn by `html`."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row names the row.

    A cell such as `0.91 (0.82 to 0.96)` is shown as a figure with its interval; a row of which
    only the first cell holds something is a heading of those below it.

    Attributes:
        head: the names of the columns.
        rows: as many cells each.
        caption: what it shows, of how many; the page numbers it.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    caption: str = ""

    def __post_init__(self) -> None:
        """Raise ValueError if a row has not as many cells as the head."""
        for row in self.rows:
            if len(row) != len(self.head):
                raise ValueError(
                    f"table {self.caption!r}: row {row} has not {len(self.head)} cells"
                )


@dataclass(frozen=True)
class Figure:
    """A drawing.

    Attributes:
        svg: as `figures` draws it.
        caption: what it shows, of how many, with which intervals; the page numbers it.
        alt: the same for those who do not see it, in a sentence.
    """

    svg: str
    caption: str
    alt: str


@dataclass(frozen=True)
class Beside:
    """Figures side by side where there is room."""

    figures: Sequence[Figure]


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
    """A figure to be seen first.

    Attributes:
        name: of the figure.
        value: as text.
        detail: its interval, or what it is of.
    """

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
    """A photograph, under what it shows.

    Attributes:
        jpeg: the file's bytes.
        caption: what it is.
        alt: the same for those who do not see it, in a sentence.
    """

    jpeg: bytes
    caption: str
    alt: str


@dataclass(frozen=True)
class Pictures:
    """Small photographs side by side; they have no numbers."""

    pictures: Sequence[Picture]


@dataclass(frozen=True)
class Link:
    """A paragraph that leads to another file.

    Attributes:
        text: what stands before the link.
        label: what the link says.
        href: where it leads, from the page.
    """

    text: str
    label: str
    href: str


Part = str | Table | Figure | Beside | Listing | Note | KeyFigures | Heading | Pictures | Link


@dataclass(frozen=True)
class Section:
    """A numbered part of a page.

    Attributes:
        title: its heading.
        parts: in order; a `str` is a paragraph of plain text, `verbatim` between backticks.
        new_page: whether it starts a new page on paper.
    """

    title: str
    parts: Sequence[Part]
    new_page: bool = False


@dataclass(frozen=True)
class Absent:
    """A part that a page could have and has not: a line in the contents, and nothing else.

    Attributes:
        title: what its heading would be.
        reason: why it is not there, and what would bring it.
    """

    title: str
    reason: str
