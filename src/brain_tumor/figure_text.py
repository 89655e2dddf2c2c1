"""Figures as people read them: a number with its interval, and a Markdown table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

IN_WORDS, IN_BRACKETS = "{} ({} to {})", "{} [{}, {}]"


def decimals(value: float, digits: int = 2) -> str:
    """So many decimals; a value that rounds to nothing has no sign."""
    return f"{round(value, digits) + 0.0:.{digits}f}"


def with_interval(
    value: float,
    low: float | None,
    high: float | None,
    *,
    number: Callable[[float], str] = decimals,
    form: str = IN_WORDS,
) -> str:
    """A number with its interval, as `0.91 (0.82 to 0.96)`; alone where an end is missing."""
    if low is None or high is None:
        return number(value)
    return form.format(number(value), number(low), number(high))


def cell(figure: Mapping[str, float] | None, digits: int = 2, form: str = IN_BRACKETS) -> str:
    """A stored figure (value, low, high) of a table; a dash where it is undefined."""
    if figure is None:
        return "-"
    number = partial(decimals, digits=digits)
    ends = (figure.get("low"), figure.get("high"))
    return with_interval(figure["value"], *ends, number=number, form=form)


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; empty without rows.

    A cell stays on one line, without the signs that end it or start HTML; None is empty.
    """
    cells = [["" if cell is None else _escaped(str(cell)) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells] if cells else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
