"""What came of growing or comparing the data set, as lines for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from brain_tumor.dataset.growth.diff import DataDiff

_SHOWN = 10  # names of each list, unless all are asked for


def diff_lines(diff: DataDiff, revision: str, data: Path, *, show_all: bool) -> Iterator[str]:
    """Describe how the data folder differs from a revision; names are cut unless `show_all`."""
    if diff.is_empty:
        yield f"{data}: as in {revision} ({counted(diff.after)})"
        return
    changes = (f"{name} {diff.before[name]} -> {diff.after[name]}" for name in diff.after)
    yield f"{data}, {revision} -> working folder: {', '.join(changes)}"
    for kind, names in diff.kinds.items():
        if names:
            yield f"{kind} ({len(names)}):"
            yield from listed(names, show_all=show_all)


def counted(counts: Mapping[str, int]) -> str:
    """Numbers of images: `98 no, 155 yes`."""
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def listed(names: Sequence[str], *, show_all: bool) -> Iterator[str]:
    """A line per name; the last ones as their number, unless `show_all`."""
    # One name more takes no more room than saying so.
    shown = len(names) if show_all or len(names) <= _SHOWN + 1 else _SHOWN
    yield from (f"  {name}" for name in names[:shown])
    if names[shown:]:
        yield f"  and {len(names) - shown} more"


def number_of(count: int, noun: str) -> str:
    """`1 mask`, `2 masks`."""
    return f"{count} {noun}{'' if count == 1 else 's'}"
