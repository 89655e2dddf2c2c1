"""From paths, folders and patterns to files, and from files to results."""

import glob
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from brain_tumor.data.archive import is_archive
from brain_tumor.data.folder import walk
from brain_tumor.data.junk import is_no_image
from brain_tumor.imaging.read import Content, opened, read_each
from brain_tumor.inference.classifier import SLICES, Classifier, Prepared, SliceResult, prepare
from brain_tumor.settings import PreprocessParams

_BATCH = 8  # slices the network sees at once


@dataclass(frozen=True)
class FileResult:
    """What came of one file: results, or why there are none.

    Attributes:
        path: of the file, as given or below the folder given.
        slices: a result each.
        error: empty if there are results.
    """

    path: Path
    slices: tuple[SliceResult, ...]
    error: str


def expand(texts: Iterable[str]) -> list[Path]:
    """Files for paths, folders (at any depth) and patterns, each file once, in order.

    What is not there is kept: its error belongs to its own row.
    """
    files: dict[Path, None] = {}
    for text in texts:
        path = Path(text)
        matches = [path]
        if not os.path.lexists(path) and glob.has_magic(text):
            # Unlike Path.glob this takes absolute patterns, and leaves hidden files alone.
            matches = [Path(name) for name in sorted(glob.glob(text, recursive=True))]  # noqa: PTH207
        for match in matches or [path]:
            # (os.path: it takes a name that is too long for one that is not there)
            files |= dict.fromkeys(_inside(match) if os.path.isdir(match) else [match])  # noqa: PTH112
    return list(files)


def _inside(folder: Path) -> list[Path]:
    """Files at any depth that may be images (DICOM has no fixed ending).

    A link to a folder and a folder that cannot be read stay, each for its own row.
    """
    return sorted(
        folder / path
        for path, kind in walk(folder)
        if kind != "folder" and not is_no_image(path) and not is_archive(path)
    )


def examine_files(
    classifier: Classifier, paths: Sequence[Path], slices: int = SLICES
) -> Iterator[FileResult]:
    """Examine files, in order, with a progress bar; a bad one does not stop the others.

    They are decoded and preprocessed over processes or machines (see `machine.spread`).
    """
    work = partial(_prepared, classifier.preprocess, slices)
    waiting: list[tuple[Path, list[Prepared] | str]] = []
    for item in zip(paths, read_each(work, paths, "predict"), strict=True):
        waiting.append(item)
        if sum(len(parts) for _, parts in waiting if not isinstance(parts, str)) >= _BATCH:
            yield from _judged(classifier, waiting)
            waiting = []
    yield from _judged(classifier, waiting)


def _prepared(params: PreprocessParams, slices: int, content: Content) -> list[Prepared] | str:
    try:
        return prepare(opened(content), params, slices)
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError, MemoryError) as error:
        return str(error) or type(error).__name__


def _judged(
    classifier: Classifier, files: Sequence[tuple[Path, list[Prepared] | str]]
) -> Iterator[FileResult]:
    prepared = [part for _, parts in files if not isinstance(parts, str) for part in parts]
    results = iter(classifier.judge(prepared))
    for path, parts in files:
        if isinstance(parts, str):
            yield FileResult(path, (), parts)
        else:
            yield FileResult(path, tuple(next(results) for _ in parts), "")
