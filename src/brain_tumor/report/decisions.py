"""The section on what was tried and decided: the committed decision log, Markdown as parts."""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby

from brain_tumor.report.committed import nothing_yet
from brain_tumor.report.findings import Findings
from brain_tumor.report.parts import Heading, Listing, Note, Part, Section, Table

_TITLE = "Decisions"
_ITEM = re.compile(r"[-*+] +|\d+\. +")
_EMPHASIS = re.compile(r"(?<!\w)(\*\*|\*)(?=\S)(.+?)(?<=\S)\1(?!\w)", re.DOTALL)
_LINK = re.compile(r"!?\[([^\]]*)\]\([^)]*\)")
_OWN_SECTION = re.compile(r"\b([Ss]ection) (?=\d)")
_NUMBERED = re.compile(r"\d+[.)] +")
_RULE = re.compile(r"[|:\- ]+")


def decisions(found: Findings) -> Section:
    """The decision log as it stands."""
    text = found.evidence.decisions
    if not text.strip():
        return Section(_TITLE, [Note(nothing_yet("decisions"))])
    intro = (
        "What was tried on the way to this recipe, and why it was kept or dropped; "
        "docs/evidence/decisions.md, word for word. These figures chose; they judge nothing."
    )
    return Section(_TITLE, [intro, *parts(text)], new_page=True)


def parts(markdown: str) -> Iterator[Part]:
    """Yield headings, paragraphs, lists and tables of a Markdown text; its title is left out."""
    heading = ""
    for block in _blocks(markdown):
        first = block[0]
        if first.startswith("#"):
            heading = _plain(first.lstrip("# "))
            if not first.startswith("# "):
                yield Heading(heading)
        elif first.startswith("|"):
            yield _table(block, _NUMBERED.sub("", heading))
        elif _ITEM.match(first):
            yield Listing(_items(block))
        else:
            yield _plain(" ".join(block))


def _blocks(markdown: str) -> Iterator[list[str]]:
    """Lines that belong together, without what is around them; a heading is alone."""
    kinds = [(line.strip(), _kind(line)) for line in markdown.splitlines()]
    for kind, lines in groupby(kinds, key=lambda one: one[1]):
        told = [line for line, _ in lines]
        if kind == "#":
            yield from ([line] for line in told)
        elif kind:
            yield from _lists_apart(told) if kind == "text" else [told]


def _kind(line: str) -> str:
    text = line.strip()
    return text[0] if text[:1] in ("#", "|") else "text" if text else ""


def _lists_apart(lines: Sequence[str]) -> Iterator[list[str]]:
    """A paragraph and the list that follows it."""
    start = next((place for place, line in enumerate(lines) if _ITEM.match(line)), len(lines))
    yield from (list(part) for part in (lines[:start], lines[start:]) if part)


def _items(lines: Sequence[str]) -> list[str]:
    """One text an item, with the lines that go on with it."""
    items: list[str] = []
    for line in lines:
        if found := _ITEM.match(line):
            items.append(line[found.end() :])
        else:
            items[-1] += f" {line}"
    return [_plain(item) for item in items]


def _table(lines: Sequence[str], caption: str) -> Table:
    head, *rows = [
        [_plain(cell.strip()) for cell in line.strip("|").split("|")]
        for line in lines
        if not _RULE.fullmatch(line)
    ]
    return Table(head, [(row + [""] * len(head))[: len(head)] for row in rows], f"{caption}.")


def _plain(text: str) -> str:
    """Without links and emphasis; what stands between backticks stays.

    A section of the log is not one of the report: a space that is no plain one keeps it unlinked.
    """
    plain = _EMPHASIS.sub(r"\2", _LINK.sub(r"\1", text))
    return _OWN_SECTION.sub("\\1\u00a0", plain)
