"""Plain text as HTML."""

import re
from html import escape

_VERBATIM = re.compile(r"`([^`]+)`")
_JOINT = re.compile(r"(?<=[./_])(?=\w)")
_SECTION = re.compile(r"\b([Ss]ection (\d+))\b")


def text(plain: str) -> str:
    """Plain text as HTML; between backticks it is shown verbatim, `section 3` becomes a link."""
    html = escape(plain, quote=False).replace(" %", "\u00a0%").replace("n = ", "n\u00a0=\u00a0")
    html = _SECTION.sub(r'<a href="#section-\2">\1</a>', html)
    return _VERBATIM.sub(_code, html)


def _code(found: re.Match[str]) -> str:
    """Verbatim text, which may be broken after a dot, a slash or a low line."""
    return f"<code>{_JOINT.sub('<wbr>', found[1])}</code>"
