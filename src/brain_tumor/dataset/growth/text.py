"""What came of growing or comparing the data set, as lines for a terminal."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath

from brain_tumor.dataset.fetch.data_dvc import pointer
from brain_tumor.dataset.growth.add import Added
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
            yield from _listed(names, show_all=show_all)


def added_lines(added: Added, data: Path) -> Iterator[str]:
    """Describe what became of a batch and of the data folder, and what is next."""
    plan = added.plan
    renamed = {
        path: target
        for path, target in plan.images.items()
        if PurePosixPath(target).name != PurePosixPath(path).name
    }
    masks = f" and {_number(len(plan.masks), 'mask')}" if plan.masks else ""
    yield f"added: {_number(len(plan.images), 'image')}{masks}"
    yield from _explained("under another name, theirs was taken", renamed, "->")
    yield from _explained("skipped, the same bytes are there already", plan.skipped, "=")
    if added.left_out:
        yield f"left out, no images ({len(added.left_out)}):"
        yield from _listed(added.left_out, show_all=False)
    if plan.table is not None:
        yield "patients.csv: extended"
    if added.unknown_patients:
        yield (
            "their patients are unknown: a patients.csv (columns path,patient) in the folder "
            "would keep images of one patient in one split"
        )
    yield f"{data}: {counted(added.counts)}"
    if not plan.is_empty:
        pushed = "" if added.remote is None else ", then `dvc push`"
        yield f"next: `git add {pointer(data)} && git commit`{pushed}"


def counted(counts: Mapping[str, int]) -> str:
    """Numbers of images: `98 no, 155 yes`."""
    return ", ".join(f"{number} {name}" for name, number in counts.items())


def _explained(title: str, pairs: Mapping[str, str], sign: str) -> Iterator[str]:
    if pairs:
        yield f"{title} ({len(pairs)}):"
        lines = [f"{path} {sign} {other}" for path, other in pairs.items()]
        yield from _listed(lines, show_all=False)


def _listed(names: Sequence[str], *, show_all: bool) -> Iterator[str]:
    # One name more takes no more room than saying so.
    shown = len(names) if show_all or len(names) <= _SHOWN + 1 else _SHOWN
    yield from (f"  {name}" for name in names[:shown])
    if names[shown:]:
        yield f"  and {len(names) - shown} more"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
