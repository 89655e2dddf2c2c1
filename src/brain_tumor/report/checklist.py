"""Reporting checklists: every item, and where it is answered, or that it is not and why."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

UNANSWERED = "Not answered"
PENDING = {
    "headline": "the nested cross-validation (`make evidence`) has left no summary",
    "external": "the log (docs/evidence/external-log.csv) has no evaluation of this very model on "
    "other data (`brain-tumor evaluate ... --log`)",
    "explanation": "docs/evidence has no test of this very model's heat maps (`make evidence`)",
    "robustness": "docs/evidence has no degradation curves of this very model (`make evidence`)",
}


@dataclass(frozen=True)
class Item:
    """An item of a checklist.

    Attributes:
        number: as published.
        part: the part of a paper it belongs to.
        asks: what it asks for, in our words.
        answer: where that stands; `{data}` is put as the number of that section. Begins with
            `Not answered` where it is not, with the reason.
        needs: keys of `PENDING` without which it is not answered.
    """

    number: str
    part: str
    asks: str
    answer: str
    needs: tuple[str, ...] = ()

    def answered(self, present: Collection[str]) -> bool:
        """Whether there is an answer, with the evidence that is `present`."""
        return not self.answer.startswith(UNANSWERED) and set(self.needs) <= set(present)

    def where(self, present: Collection[str], sections: Mapping[str, str]) -> str:
        """The answer for people.

        Args:
            present: which evidence there is, keys of `PENDING`.
            sections: key of a section to how it is referred to.
        """
        lacking = [PENDING[key] for key in self.needs if key not in present]
        if lacking:
            return f"{UNANSWERED} yet: {'; '.join(lacking)}."
        where = self.answer.format_map(sections)
        return f"S{where[1:]}" if where.startswith("section") else where


def rows(
    items: Sequence[Item], present: Collection[str], sections: Mapping[str, str]
) -> list[list[str]]:
    """A row per item (number, what it asks, where it is answered), under one for each part."""
    made: list[list[str]] = []
    for part, of_part in groupby(items, key=lambda one: one.part):
        made.append([part, "", ""])
        made += [[one.number, one.asks, one.where(present, sections)] for one in of_part]
    return made


def tally(items: Sequence[Item], present: Collection[str]) -> str:
    """How many are answered."""
    count = sum(one.answered(present) for one in items)
    return f"{count} of {len(items)} items are answered, {len(items) - count} are not."
