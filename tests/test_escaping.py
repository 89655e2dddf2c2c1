"""Names of others reach terminal, CSV, JSON and Markdown as texts and as nothing else."""

import csv
import io
import json
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from brain_tumor.escaping import as_json, code, markdown, printable, table_cell, terminal

NASTY = [
    "\x1b[2J\x1b]0;title\x07.png",
    "a\nb.png",
    "a\r\n# Approved\n.png",
    "a\u2028b\u0085c.png",
    "\u202egnp.exe",
    "\x9b31m.png",
    "`](x)` ``b``.png",
    "[Approve here](https://evil.example).png",
    "![x](https://evil.example/x.png)",
    "<script>alert(1)</script>.png",
    "&lt;b&gt;&amp;.png",
    "**bold** _it_ ~~no~~ $x$ \\[a\\]",
    "www.evil.example https://evil.example HTTP://evil.example WWW.evil.example",
    "=HYPERLINK(1).png",
    "a|b.png",
    "'\",;\t.png",
    "-x.png",
    "ümläut 脑 🧠.png",
]


@pytest.mark.parametrize("name", NASTY)
def test_a_terminal_gets_one_line_without_control_characters(name: str) -> None:
    shown = terminal(name)
    assert shown.isprintable()
    assert len(shown.splitlines()) == 1


def test_what_is_text_stays_as_it_is() -> None:
    assert terminal("ümläut 脑 🧠\u200d.png") == "ümläut 脑 🧠\u200d.png"


@pytest.mark.parametrize("name", NASTY)
def test_json_holds_the_very_name_and_no_sign_that_acts(name: str) -> None:
    text = as_json({"file": name}, indent=None)
    assert json.loads(text) == {"file": name}
    assert text.isprintable()


@pytest.mark.parametrize("name", NASTY)
def test_a_cell_of_csv_is_one_line_and_no_formula(name: str) -> None:
    text = io.StringIO()
    csv.writer(text).writerow([table_cell(name)])
    assert len(text.getvalue().splitlines()) == 1
    [[cell]] = csv.reader(io.StringIO(text.getvalue()))
    assert cell[0] not in "=+-@\t"


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("escape", [markdown, code])
def test_markdown_shows_the_name_and_makes_nothing_of_it(name: str, escape) -> None:  # type: ignore[no-untyped-def]
    reference = "[Approve here]: https://evil.example"
    page = f"- {escape(name)}: broken\n- {escape(reference)}\n\n{escape('[Approve here]')}\n"
    tokens = MarkdownIt("gfm-like", {"linkify": False}).parse(page)
    inline = [child for token in tokens for child in token.children or []]
    kinds = {token.type for token in [*tokens, *inline]}
    assert kinds <= {
        "bullet_list_open", "bullet_list_close", "list_item_open", "list_item_close",
        "paragraph_open", "paragraph_close", "inline", "text", "text_special", "code_inline",
    }  # fmt: skip
    first = next(token for token in tokens if token.type == "inline")
    shown = "".join(child.content for child in first.children or []).replace("\u200b", "")
    assert shown == f"{terminal(name)}: broken"
    if escape is markdown:  # GitHub makes links of plain addresses, but not in code
        assert not re.search(r"https?://|www\.", "".join(token.content for token in inline), re.I)


def test_bytes_that_are_no_text_can_be_printed() -> None:
    assert printable(Path("a") / "\udcff.png") == "a/\\xff.png"
