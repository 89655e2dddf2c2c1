"""Markdown without HTML: lists that end, numbers, file names."""

from collections.abc import Sequence

MOST_LISTED = 20


def listing(items: Sequence[str]) -> str:
    """A list of at most 20 items, and how many more there are."""
    shown = [f"- {item}" for item in items[:MOST_LISTED]]
    if len(items) > MOST_LISTED:
        shown.append(f"- ... and {len(items) - MOST_LISTED} more")
    return "\n".join(shown)


def number(value: float | None) -> str:
    """Three decimals for figures around 1, else four significant digits; None is empty."""
    if value is None:
        return ""
    return f"{value:.3f}" if 0.01 <= abs(value) < 100 or value == 0 else f"{value:.4g}"


def code(text: str) -> str:
    """A file name or such, verbatim."""
    return f"`{text.replace('`', chr(39))}`"
