"""File names and other foreign texts, made safe for where they are shown.

A file may be called almost anything: with a line break, with the escape sequences of a terminal,
with the signs of Markdown. Whoever shows a name escapes it for the medium: `terminal` (also CSV),
`as_json`, `markdown` and `code`. HTML is escaped by Jinja.
"""

import json
import os
import re
import sys
import unicodedata
from pathlib import Path

# Order marks that turn the text after them around (Unicode Standard Annex 9).
_TURNING = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_NO_TEXT = {"Cc", "Cs", "Zl", "Zp"}  # control, half of a pair, line and paragraph separators
_JSON_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_MARKDOWN = re.compile(r"([\\`*_\[\]~$])")
_LINKS_ITSELF = re.compile(r":(?=//)|www(?=\.)", re.IGNORECASE)
_BREAKS_FORMULA = ("=", "+", "-", "@")


def printable(path: Path | str) -> str:
    r"""A path with slashes; bytes of its name that are no text become `\xff`."""
    text = path.as_posix() if isinstance(path, Path) else path
    return os.fsencode(text).decode("utf-8", "backslashreplace")


def is_text(path: Path | str) -> bool:
    """Whether a path is text in UTF-8, so that a table can hold it."""
    text = path.as_posix() if isinstance(path, Path) else path
    return printable(path) == text


def terminal(text: str) -> str:
    r"""`text` on one line that changes nothing on a terminal: `\x1b`, `\n` for what would."""
    return "".join(map(_visible, text))


def terminal_lines(text: str) -> str:
    """As `terminal`, but a line break before two spaces stays: a message that is a list has it."""
    return "\n".join(map(terminal, re.split(r"\n(?=  |$)", text)))


def _visible(sign: str) -> str:
    is_text = unicodedata.category(sign) not in _NO_TEXT and sign not in _TURNING
    return sign if is_text else ascii(sign)[1:-1]


def table_cell(path: str) -> str:
    """A path as a cell of CSV: one line, and nothing that a spreadsheet takes for a formula."""
    return terminal(f"./{path}" if path.startswith(_BREAKS_FORMULA) else path)


def as_json(value: object, *, indent: int | None = 2) -> str:
    r"""JSON to print: every value as it is, without a sign that acts on a terminal.

    Where standard output cannot show all signs, those beyond ASCII are written as `\u00e9`.
    """
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return json.dumps(value, indent=indent, ensure_ascii=True)
    return _JSON_UNSAFE.sub(lambda sign: f"\\u{ord(sign[0]):04x}", text)


def markdown(text: str) -> str:
    """`text` as plain words in a line of Markdown: no sign of it is markup, a link or HTML."""
    escaped = _MARKDOWN.sub(r"\\\1", terminal(text))
    plain = escaped.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _LINKS_ITSELF.sub(lambda sign: f"{sign[0]}\u200b", plain)


def code(text: str) -> str:
    """`text` verbatim in Markdown, on one line, whatever backticks are in it."""
    text = terminal(text)
    longest = max(map(len, re.findall("`+", text)), default=0)
    fence, space = "`" * (longest + 1), " " if "`" in text else ""
    return f"{fence}{space}{text}{space}{fence}"
