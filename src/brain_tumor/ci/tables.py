"""Markdown without HTML: tables, lists that end, numbers."""

from collections.abc import Sequence
from typing import Any

from brain_tumor.tracking.wording import markdown_table

MOST_LISTED = 20


def table(header: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table; empty without rows."""
    return markdown_table(header, [[cell(value) for value in row] for row in rows]) if rows else ""


def listing(items: Sequence[str]) -> str:
    """A list of at most 20 items, and how many more there are."""
    shown = [f"- {item}" for item in items[:MOST_LISTED]]
    if len(items) > MOST_LISTED:
        shown.append(f"- ... and {len(items) - MOST_LISTED} more")
    return "\n".join(shown)


def cell(value: Any) -> str:
    """A value in a table, without the sign that starts HTML."""
    text = number(value) if isinstance(value, float) else "" if value is None else str(value)
    return text.replace("<", "&lt;")


def number(value: float) -> str:
    """Three decimals for figures around 1, else four significant digits."""
    return f"{value:.3f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.4g}"


def code(text: str) -> str:
    """A file name or such, verbatim."""
    return f"`{text.replace('`', chr(39))}`"
