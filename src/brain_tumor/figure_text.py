"""Figures as people read them: their names, a number with its interval, a Markdown table."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

Split = Literal["train", "val", "test"]
SPLIT_NAMES: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}
FIGURES = {
    "balanced_accuracy": "balanced accuracy",
    "accuracy": "accuracy",
    "sensitivity": "sensitivity",
    "specificity": "specificity",
    "precision": "precision",
    "f1": "F1",
    "auroc": "AUROC",
    "auroc_per_fold": "AUROC, mean over folds",
    "auprc": "AUPRC",
    "log_loss": "log loss",
    "brier": "Brier score",
    "calibration_slope": "calibration slope",
    "calibration_intercept": "calibration intercept",
    "ece": "ECE, ten bins",
    "ece_floor": "ECE of perfect calibration (simulated)",
}
IN_WORDS, IN_BRACKETS = "{} ({} to {})", "{} [{}, {}]"
UNDEFINED = "-"


def figure_label(key: str) -> str:
    """A figure's name within a sentence."""
    return FIGURES.get(key, key.replace("_", " "))


def figure_name(key: str) -> str:
    """A figure's name at the start of a line."""
    return capitalised(figure_label(key))


def capitalised(text: str) -> str:
    """With a capital first letter; the others stay."""
    return text[:1].upper() + text[1:]


def listed(names: Sequence[str]) -> str:
    """Names in a sentence: `a, b and c`."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


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


@dataclass(frozen=True)
class Number:
    """A figure with the ends of its 95 % interval, if it has one.

    Attributes:
        digits: decimals that are shown.
        note: text behind it.
    """

    value: float
    low: float | None = None
    high: float | None = None
    digits: int = 2
    note: str = ""

    def __str__(self) -> str:
        """As `0.91 (0.82 to 0.96)`."""
        return self._with_ends(IN_WORDS)

    @property
    def bracketed(self) -> str:
        """As `0.91 [0.82, 0.96]`."""
        return self._with_ends(IN_BRACKETS)

    @property
    def text(self) -> str:
        """The figure alone."""
        return decimals(self.value, self.digits)

    @property
    def interval(self) -> str:
        """As `0.82 to 0.96`; empty without one."""
        if self.low is None or self.high is None:
            return ""
        return f"{decimals(self.low, self.digits)} to {decimals(self.high, self.digits)}"

    def _with_ends(self, form: str) -> str:
        number = partial(decimals, digits=self.digits)
        return with_interval(self.value, self.low, self.high, number=number, form=form) + self.note


Cell = str | Number


def cell(figures: Mapping[str, Any], key: str, digits: int = 2, note: str = "") -> Cell:
    """A figure for a table; a dash where it is undefined.

    Args:
        figures: name to value, low and high, as JSON or a card holds them.
        key: the figure's name.
        digits: decimals that are shown.
        note: text behind it.
    """
    figure = figures.get(key)
    if figure is None:
        return UNDEFINED
    parts = dict(figure)
    return Number(parts["value"], parts.get("low"), parts.get("high"), digits, note)


def bracketed(cell: Cell) -> str:
    """A cell as Markdown shows it: an interval in brackets."""
    return cell.bracketed if isinstance(cell, Number) else cell


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table; empty without rows.

    A cell stays on one line, without the signs that end it or start HTML; None is empty.
    """
    cells = [["" if cell is None else _escaped(str(cell)) for cell in row] for row in rows]
    lines = [head, ["---"] * len(head), *cells] if cells else []
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _escaped(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")
