"""The pages of the project: README.md, CONTRIBUTING.md, CHANGELOG.md and docs/."""

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).parents[1]
_JOINED = re.compile(r"(?:\\|(\|))\n\s*")  # a command goes on behind a backslash or a pipe
_BETWEEN = ("&&", ";", "|", "&")
_ASSIGNMENT = re.compile(r"[A-Z_]+=")


class Block(NamedTuple):
    """A fenced block: `page` relative to the repository; language and name as in its fence."""

    page: str
    language: str
    name: str
    text: str


def pages() -> list[Path]:
    """All Markdown files a reader is sent to."""
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def blocks() -> Iterator[Block]:
    """The fenced blocks of all pages, in order."""
    for page in pages():
        for token in _tokens(page):
            if token.type == "fence":
                language, _, name = token.info.strip().partition(" ")
                yield Block(page.relative_to(ROOT).as_posix(), language, name, token.content)


def commands(text: str) -> Iterator[str]:
    """The simple commands of a shell block, without comments, assignments and redirections."""
    for line in _JOINED.sub(r"\1 ", text).splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=";&|<>")
        lexer.whitespace_split, lexer.commenters = True, "#"
        words: list[str] = []
        for word in [*lexer, ";"]:
            if word not in _BETWEEN:
                words.append(word)
                continue
            while words and _ASSIGNMENT.match(words[0]):
                del words[0]
            if words:
                yield shlex.join(words[: words.index(">")] if ">" in words else words)
            words = []


def links(page: Path) -> Iterator[str]:
    """Targets of links and pictures."""
    for token in _inline(page):
        target = token.attrs.get("href") or token.attrs.get("src")
        if target:
            yield str(target)


def anchors(page: Path) -> set[str]:
    """The names GitHub gives to the headings of a page."""
    names: list[str] = []
    for opened, token in pairwise(_tokens(page)):
        if opened.type == "heading_open":
            text = "".join(part.content for part in token.children or ())
            name = re.sub(r"[^\w\- ]", "", text.lower()).replace(" ", "-")
            names.append(name + (f"-{names.count(name)}" if name in names else ""))
    return set(names)


def _tokens(page: Path) -> list[Token]:
    return MarkdownIt("gfm-like", {"linkify": False}).parse(page.read_text(encoding="utf-8"))


def _inline(page: Path) -> Iterator[Token]:
    for token in _tokens(page):
        yield from token.children or ()
