"""Data Docs of a validation as one page that needs no network and holds no time stamp."""

from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brain_tumor.atomic import write_text

if TYPE_CHECKING:
    from great_expectations.core import ExpectationSuiteValidationResult

# Great Expectations' own page loads styles, scripts and a counting pixel from six hosts and prints
# the time. Its sections are kept and wrapped in a page of their own; what Bootstrap and Font
# Awesome would have done is done by these few lines.
_STYLE = """
body { font: 15px/1.45 system-ui, sans-serif; color: #222; background: #fff;
       margin: 2rem auto; max-width: 62rem; padding: 0 1rem }
h1 { font-size: 1.5rem } h5 { font-size: 1.05rem; margin: 0 } h6 { font-size: 1rem; margin: 0 }
.alert { background: #eceff1; border-radius: 4px; padding: .6rem .9rem }
.ge-section { margin-bottom: 1.6rem }
table { border-collapse: collapse; width: 100%; margin-top: .4rem }
th, td { border-bottom: 1px solid #cfd8dc; padding: .35rem .6rem; text-align: left;
         vertical-align: top; overflow-wrap: anywhere }
.badge { background: #eceff1; border-radius: 3px; padding: 0 .3rem; font-family: monospace }
i.text-success::before { content: "\\2714"; color: #00695c; font-style: normal }
i.text-danger::before { content: "\\2718"; color: #b71c1c; font-style: normal }
strong.text-danger { color: #b71c1c }
"""
_PAGE = """<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>{title}</title><style>{style}</style></head>
<body><h1>{title}</h1>
<p>{lead}</p>
{body}
</body></html>
"""
_SECTIONS = """{% for section in sections %}{% set section_loop = loop -%}
{% include 'section.j2' %}{% endfor %}"""


def write_data_docs(
    folder: Path, title: str, lead: str, result: "ExpectationSuiteValidationResult"
) -> None:
    """Write `folder/index.html`: what was expected, what was found, the values that failed.

    The paragraph `lead` under the title says which data these are.
    """
    write_text(folder / "index.html", render_page(title, lead, result))


def render_page(title: str, lead: str, result: "ExpectationSuiteValidationResult") -> str:
    """Render the sections of Great Expectations' validation page into one HTML page."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    document = ValidationResultsPageRenderer().render(result).to_json_dict()
    sections = [_without_run(section) for section in document["sections"]]
    body = DefaultJinjaPageView().env.from_string(_SECTIONS).render(sections=sections)
    lines = "\n".join(line.rstrip() for line in body.splitlines() if line.strip())
    return _PAGE.format(title=escape(title), lead=escape(lead), style=_STYLE, body=lines)


def _without_run(section: dict[str, Any]) -> dict[str, Any]:
    """Leave out the folded block on the run (load time, batch) and links to pages not written."""
    kept = [
        block
        for block in section["content_blocks"]
        if block["content_block_type"] not in ("collapse", "header") or not _of_run(block)
    ]
    return {**section, "content_blocks": kept}


def _of_run(block: dict[str, Any]) -> bool:
    return block["content_block_type"] == "collapse" or "Overview" in str(block.get("header"))
