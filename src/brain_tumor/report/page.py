"""One self-contained HTML page: nothing is loaded, and no script is needed."""

from collections.abc import Sequence
from html import escape

from brain_tumor.report.html import Writer
from brain_tumor.report.html_text import text
from brain_tumor.report.parts import Absent, Section
from brain_tumor.report.style import CSS

# The browser itself refuses whatever would be loaded from elsewhere.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:"


def page(title: str, lead: str, sections: Sequence[Section], absent: Sequence[Absent] = ()) -> str:
    """A page as HTML, for screen (light, dark, narrow) and paper.

    Args:
        title: its heading.
        lead: a paragraph under it: what this is, and what it is not for.
        sections: numbered in order; tables and figures are numbered through.
        absent: what is not there and why; lines at the end of the contents.

    Returns:
        The whole document, ending with a newline.

    Raises:
        ValueError: a figure is no SVG.
    """
    writer = Writer()
    contents = "".join(
        f'<li><a href="#section-{number}">{escape(section.title)}</a></li>'
        for number, section in enumerate(sections, 1)
    )
    lines = "".join(f"<li>{escape(one.title)}: {text(one.reason)}</li>" for one in absent)
    if lines:
        lines = f'<p class="absent">Not in this report</p><ul class="absent">{lines}</ul>'
    body = "\n".join(writer.section(section, number) for number, section in enumerate(sections, 1))
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{_POLICY}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<title>{escape(title)}</title>
<style>
{CSS}</style>
</head>
<body>
<header>
<h1>{escape(title)}</h1>
<p class="lead">{text(lead)}</p>
</header>
<nav aria-label="Contents"><ol>{contents}</ol>{lines}</nav>
<main>
{body}
</main>
</body>
</html>
"""
