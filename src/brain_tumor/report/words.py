"""Names and numbers as people read them: the same words on every page, in the card and in CI."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from brain_tumor.figure_text import IN_BRACKETS, IN_WORDS, decimals, with_interval

Split = Literal["train", "val", "test"]
SPLITS: dict[Split, str] = {"train": "training", "val": "validation", "test": "test"}
NOTHING = "-"
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

BASELINES = {
    "majority": "majority (share of tumours)",
    "metadata": "file metadata alone (random forest)",
    "pixels_1nn": "1-NN on 32x32 pixels",
    "probe": "linear probe, frozen `mixed6`",
}


@dataclass(frozen=True)
class Number:
    """A figure with the ends of its 95 % interval, if it has one.

    Attributes:
        value: the figure.
        low: lower end of its interval.
        high: upper end.
        digits: decimals that are shown.
        note: what stands behind it.
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


def cell(figures: Mapping[str, Any], key: str, digits: int = 2, note: str = "") -> Number | str:
    """A figure for a table; a dash where it is undefined.

    Args:
        figures: name to value, low and high, as JSON or a card holds them.
        key: the figure's name.
        digits: decimals that are shown.
        note: what stands behind it.
    """
    figure = figures.get(key)
    if figure is None:
        return NOTHING
    parts = dict(figure)
    return Number(parts["value"], parts.get("low"), parts.get("high"), digits, note)


def shown(figure: Any) -> str:
    """A figure of a card with its interval: `0.91 (0.82 to 0.96)`; a dash where there is none."""
    return str(cell({} if figure is None else {"": figure}, ""))


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
