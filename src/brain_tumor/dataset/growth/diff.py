"""What became of the images between two states of the data folder."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from brain_tumor.dataset.validation.layout import is_junk

Pair = tuple[str, str]


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
    relabelled: tuple[Pair, ...]
    renamed: tuple[Pair, ...]
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
        lists = {
            kind: list(getattr(self, kind)) for kind in ("added", "removed", "changed", "other")
        }
        return asdict(self) | lists | pairs


def compare(
    before: Mapping[str, str], after: Mapping[str, str], folders: Sequence[str]
) -> DataDiff:
    """Compare two listings of the data folder.

    Where several files have the same bytes, as many as can be are taken to have kept their class,
    and of those as many as can be their name.

    Args:
        before: MD5 of each file, by its path in the folder; `after` likewise.
        after: the later state.
        folders: class folders.
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
    parts = PurePosixPath(path).parts
    return len(parts) > 1 and parts[0] in folders and not any(map(is_junk, parts))


def _class(path: str) -> str:
    return path.split("/")[0]


def _name(path: str) -> str:
    return path.rsplit("/", 1)[-1]


def _lost(old: Mapping[str, str], new: Mapping[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in old.items() if new.get(path) != digest}


def _others(listing: Mapping[str, str], chosen: Mapping[str, str]) -> dict[str, str]:
    return {path: digest for path, digest in listing.items() if path not in chosen}


def _moves(gone: dict[str, str], come: dict[str, str]) -> Iterator[Pair]:
    """Pair what has the same bytes: of one class and name first, then more and more loosely."""
    left, right = dict(gone), dict(come)
    alike: list[Callable[[str], Pair]] = [
        lambda path: (_class(path), _name(path)),
        lambda path: (_class(path), ""),
        lambda path: ("", _name(path)),
        lambda _: ("", ""),
    ]
    for likeness in alike:
        sources, targets = _grouped(left, likeness), _grouped(right, likeness)
        for key in sources.keys() & targets.keys():
            for old, new in zip(sources[key], targets[key], strict=False):  # the rest is left over
                del left[old], right[new]
                yield old, new


def _grouped(
    files: Mapping[str, str], likeness: Callable[[str], Pair]
) -> dict[tuple[str, Pair], list[str]]:
    groups: dict[tuple[str, Pair], list[str]] = defaultdict(list)
    for path in sorted(files):
        groups[files[path], likeness(path)].append(path)
    return groups
