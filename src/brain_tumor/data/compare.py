"""What changed between two versions of the data set."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from brain_tumor.data import dvc
from brain_tumor.data.dvc import (
    ListingError,
    RemoteError,
    at_revision,
    in_folder,
    missing_on_remote,
    on_record,
)
from brain_tumor.data.fetch import has_files
from brain_tumor.data.folder import PATIENTS_FILE
from brain_tumor.data.junk import is_no_image
from brain_tumor.data.patients import read_patients
from brain_tumor.machine import GitError, git

Move = tuple[str, str]


@dataclass(frozen=True)
class DataDiff:
    """Two states of the data folder compared; paths are relative to it, everything is sorted.

    Each image that is gone from its path, and each that is new at one, stands in exactly one of
    the first five. Bytes go before names: images that moved to each other's paths moved.

    Attributes:
        added: images that were not there.
        removed: images that are there no more.
        relabelled: (old path, new path) of the same bytes, now in the other class folder.
        renamed: (old path, new path) of the same bytes in the same class folder.
        changed: images whose bytes became others.
        other: files that are no images of a class (patients.csv, masks/...) and differ.
        before: number of images in each class folder.
        after: number of images in each class folder.
    """

    added: tuple[str, ...]
    removed: tuple[str, ...]
    relabelled: tuple[Move, ...]
    renamed: tuple[Move, ...]
    changed: tuple[str, ...]
    other: tuple[str, ...]
    before: dict[str, int]
    after: dict[str, int]

    @property
    def kinds(self) -> dict[str, tuple[str, ...]]:
        """What differs, by kind, as lines to read."""
        return {
            "added": self.added,
            "removed": self.removed,
            "relabelled": tuple(f"{old} -> {new}" for old, new in self.relabelled),
            "renamed": tuple(f"{old} -> {new}" for old, new in self.renamed),
            "changed": self.changed,
            "other files": self.other,
        }

    @property
    def is_empty(self) -> bool:
        """Whether nothing differs."""
        return not any(self.kinds.values())

    def __str__(self) -> str:
        """How many of each kind: `1 added, 2 other files`."""
        return ", ".join(f"{len(names)} {kind}" for kind, names in self.kinds.items() if names)

    def as_dict(self) -> dict[str, Any]:
        """JSON-ready: the attributes; pairs of paths become `{"old": ..., "new": ...}`."""
        pairs = {
            kind: [{"old": old, "new": new} for old, new in getattr(self, kind)]
            for kind in ("relabelled", "renamed")
        }
        return asdict(self) | pairs


def compare(
    before: Mapping[str, str], after: Mapping[str, str], folders: Sequence[str]
) -> DataDiff:
    """Compare two listings (MD5 of each file, by its path) of the data folder.

    Where several files have the same bytes, as many as can be are taken to have kept their class,
    and of those as many as can be their name.
    """
    old, new = images(before, folders), images(after, folders)
    moved = sorted(_moves(_lost(old, new), _lost(new, old)))
    gone = _lost(old, new).keys() - {source for source, _ in moved}
    come = _lost(new, old).keys() - {target for _, target in moved}
    rest = (_others(before, old), _others(after, new))
    return DataDiff(
        added=tuple(sorted(come - gone)),
        removed=tuple(sorted(gone - come)),
        relabelled=tuple(pair for pair in moved if _class(pair[0]) != _class(pair[1])),
        renamed=tuple(pair for pair in moved if _class(pair[0]) == _class(pair[1])),
        changed=tuple(sorted(gone & come)),
        other=tuple(sorted({*_lost(*rest), *_lost(*reversed(rest))})),
        before=count(before, folders),
        after=count(after, folders),
    )


def images(listing: Mapping[str, str], folders: Sequence[str]) -> dict[str, str]:
    """The images of a listing: what lies in a class folder and is not hidden, as validated."""
    return {path: digest for path, digest in listing.items() if _is_image(path, folders)}


def count(listing: Mapping[str, str], folders: Sequence[str]) -> dict[str, int]:
    """Number of images in each class folder."""
    classes = [_class(path) for path in images(listing, folders)]
    return {folder: classes.count(folder) for folder in folders}


def _is_image(path: str, folders: Sequence[str]) -> bool:
    top, _, within = path.partition("/")
    return top in folders and bool(within) and not is_no_image(within)


def _class(path: str) -> str:
    return path.split("/")[0]


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _lost(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in old.items() if new.get(path) != digest}


def _others(listing: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in listing.items() if path not in chosen}


def _moves(gone: dict[str, str], come: dict[str, str]) -> Iterator[Move]:
    """Move what has the same bytes: of one class and name first, then more and more loosely."""
    sources_left, targets_left = dict(gone), dict(come)
    alike: list[Callable[[str], Move]] = [
        lambda path: (_class(path), _name(path)),
        lambda path: (_class(path), ""),
        lambda path: ("", _name(path)),
        lambda _: ("", ""),
    ]
    for likeness in alike:
        sources, targets = _grouped(sources_left, likeness), _grouped(targets_left, likeness)
        for key in sources.keys() & targets.keys():
            for old, new in zip(sources[key], targets[key], strict=False):  # the rest is left over
                del sources_left[old], targets_left[new]
                yield old, new


def _grouped(
    files: Mapping[str, str], likeness: Callable[[str], Move]
) -> dict[tuple[str, Move], list[str]]:
    groups: dict[tuple[str, Move], list[str]] = defaultdict(list)
    for path in sorted(files):
        groups[files[path], likeness(path)].append(path)
    return groups


def since(revision: str, data: Path, folders: Sequence[str]) -> DataDiff:
    """Compare what lies in the data folder with what a revision's data.dvc describes.

    Raises:
        ListingError: the folder is missing, or `at_revision` has no answer.
    """
    if not has_files(data):
        raise ListingError(f"{data} is missing: `brain-tumor data ensure` brings it back")
    return compare(at_revision(data, revision), in_folder(data), folders)


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


_Listing = Mapping[str, str] | None  # None: no data folder, or its list of files cannot be had
_Check = tuple[str, str]  # a line, and what to do about it ("": nothing)


def status(data: Path, folders: tuple[str, ...]) -> Iterator[str]:
    """Tell where the data stand, a line at a time as it becomes known, the next step last.

    Raises:
        DvcError: `data` is in no DVC repository.
    """
    pointer = dvc.pointer(data)
    present = in_folder(data) if has_files(data) else None
    try:
        recorded: _Listing = on_record(data)
    except ListingError:
        recorded = None
    if present is not None:
        yield f"{data}: {counted(count(present, folders))}"
        yield _patients(data, images(present, folders))
    elif not pointer.is_file():
        yield f"{data}: missing, and there is no {pointer}"
        yield "next: `brain-tumor data fetch SOURCE` (`brain-tumor data ensure` makes the phantom)"
        return
    else:
        counts = f"; on record: {counted(count(recorded, folders))}" if recorded else ""
        yield f"{data}: missing{counts}"
    if not pointer.is_file():
        yield f"{pointer}: missing, the data are not under DVC"
        yield f"next: `dvc add {data}`"
        return
    yield f"source: {dvc.origin(dvc.read_meta(data))}"
    steps: list[str] = []
    for check in (
        lambda: _folder(data, folders, present, recorded),
        lambda: _git(pointer),
        lambda: _remote(data, recorded),
    ):
        line, step = check()
        yield line
        steps.append(step)
    yield f"next: {next(filter(None, steps), '`dvc repro` trains on them, if it has not')}"


def _patients(data: Path, shown: Mapping[str, str]) -> str:
    patients, _ = read_patients(data / PATIENTS_FILE, shown)
    names = [patients[path] for path in shown if patients.get(path)]
    if not names:
        return f"patients: unknown (no {PATIENTS_FILE} names any)"
    without = len(shown) - len(names)
    rest = f"; {without} of {len(shown)} images are of unknown ones" if without else ""
    return f"patients: {len(set(names))} known{rest}"


def _folder(data: Path, folders: tuple[str, ...], present: _Listing, recorded: _Listing) -> _Check:
    pointer = dvc.pointer(data)
    if present is None:
        return f"{pointer}: the folder it describes is missing", "`brain-tumor data ensure`"
    if recorded is None:
        return (
            f"{pointer}: cannot be compared, its list of files is in no cache or remote here",
            f"`dvc fetch {pointer}` where a remote has it; or `dvc add {data}` keeps what is "
            "in the folder",
        )
    diff = compare(recorded, present, folders)
    if diff.is_empty:
        return f"{pointer}: describes what is in the folder", ""
    return (
        f"{pointer}: describes something else than the folder ({diff})",
        f"`dvc add {data}` keeps what is in the folder, `dvc checkout {pointer}` brings back "
        "what is on record",
    )


def _git(pointer: Path) -> _Check:
    try:
        changed = git("status", "--porcelain", "--", pointer.name, folder=pointer.absolute().parent)
    except GitError as error:
        return f"git: {'there is no git repository' if error.is_no_repository else error}", ""
    if changed:
        new = f" {pointer.with_name('.gitignore')}" if changed.startswith("?") else ""
        return (
            f"git: {pointer} is not committed as it is",
            f"`git add {pointer}{new} && git commit`",
        )
    return f"git: {pointer} is committed", ""


def _remote(data: Path, recorded: _Listing) -> _Check:
    wanted = len({*(recorded or {}).values()}) + 1  # with the list of files itself
    try:
        answer = missing_on_remote(data)
    except RemoteError as error:
        return f"remote: {error}", "put the remote right (`dvc remote list`)"
    if answer is None:
        step = "`dvc remote add -d NAME URL` and `dvc push`, if others are to have the data"
        return "remote: none is set", step
    # Without the list of files the remote lacks it too, and DVC tells no more.
    name, missing = answer if recorded is not None else (answer[0], 1)
    if missing:
        return f"remote: {name} lacks {missing} of {wanted} files", "`dvc push`"
    return f"remote: {name} has the data", ""
