"""From paths, folders and patterns to files, and from files to findings."""

import glob
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from brain_tumor.imaging.atlas import Atlas
from brain_tumor.imaging.dicom import is_dicom
from brain_tumor.inference.classifier import SLICES, Classifier, Finding, Prepared, prepare
from brain_tumor.machine import spread
from brain_tumor.settings import PreprocessParams

Reader = Callable[[Path], list[Prepared] | str]

_BATCH = 8  # slices the network sees at once
# Of a folder all files are taken (DICOM has no fixed ending) but these, and hidden ones.
NO_IMAGES = frozenset(
    {".csv", ".dvc", ".html", ".json", ".log", ".md", ".npy", ".npz", ".pdf", ".py", ".tsv", ".txt"}
    | {".xml", ".yaml", ".yml", ".zip"}
)


@dataclass(frozen=True)
class FileResult:
    """What came of one file: findings, or why there are none.

    Attributes:
        path: of the file, as given or below the folder given.
        findings: one per slice.
        error: empty if there are findings.
    """

    path: Path
    findings: tuple[Finding, ...]
    error: str


def expand(given: Iterable[str]) -> list[Path]:
    """Files for paths, folders (at any depth) and patterns, each file once, in order.

    What is not there is kept: its error belongs to its own row.
    """
    found: dict[Path, None] = {}
    for text in given:
        path = Path(text)
        matches = [path] if os.path.lexists(path) else [Path(one) for one in _matches(text)]
        for match in matches or [path]:
            # (os.path: it takes a name that is too long for one that is not there)
            found |= dict.fromkeys(_inside(match) if os.path.isdir(match) else [match])  # noqa: PTH112
    return list(found)


def _matches(text: str) -> list[str]:
    # Unlike Path.glob this takes absolute patterns, and leaves hidden files alone.
    return sorted(glob.glob(text, recursive=True)) if glob.has_magic(text) else []  # noqa: PTH207


def _inside(folder: Path) -> list[Path]:
    """Files at any depth, linked folders (once each) included; folders that cannot be read stay."""
    found: list[Path] = []
    seen: set[str] = set()
    for at, folders, names in os.walk(folder, followlinks=True, onerror=_noting(found)):
        seen.add(os.path.realpath(at))
        folders[:] = [one for one in folders if os.path.realpath(Path(at, one)) not in seen]
        found += [Path(at, name) for name in names]
    return sorted(path for path in found if _may_be_image(path.relative_to(folder)))


def _noting(found: list[Path]) -> Callable[[OSError], None]:
    """A handler that adds what could not be read."""
    return lambda error: found.append(Path(os.fsdecode(error.filename)))


def _may_be_image(path: Path) -> bool:
    hidden = any(part.startswith(".") for part in path.parts)
    return not hidden and path.suffix.lower() not in NO_IMAGES and path.name != "DICOMDIR"


def examine_files(
    classifier: Classifier, paths: Sequence[Path], slices: int = SLICES
) -> Iterator[FileResult]:
    """Examine files, in order, with a progress bar; a bad one does not stop the others.

    Files are read and preprocessed in as many processes as there are processors.
    """
    read = partial(_read, classifier.atlas, classifier.preprocess, slices)
    waiting: list[tuple[Path, list[Prepared] | str]] = []
    for item in zip(paths, _surviving(read, paths), strict=True):
        waiting.append(item)
        if sum(len(one) for _, one in waiting if not isinstance(one, str)) >= _BATCH:
            yield from _judged(classifier, waiting)
            waiting = []
    yield from _judged(classifier, waiting)


def _surviving(read: Reader, paths: Sequence[Path]) -> Iterator[list[Prepared] | str]:
    """Read files in processes; a file that ends its process has that as its error.

    Where there is DICOM, some of whose decoders abort on damage, it is never this process.
    """
    done = 0
    try:
        for one in spread(read, paths, "predict", apart=any(map(_may_abort, paths))):
            done += 1
            yield one
    except BrokenProcessPool:  # which file it was is not told: the rest goes one by one
        yield from (_read_apart(read, path) for path in paths[done:])


def _may_abort(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_dicom(file.read(132))
    except OSError:
        return False


def _read_apart(read: Reader, path: Path) -> list[Prepared] | str:
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        try:
            return pool.submit(read, path).result()
        except BrokenProcessPool:
            return "damaged: reading it ended the process that did"


def _read(atlas: Atlas, params: PreprocessParams, slices: int, path: Path) -> list[Prepared] | str:
    try:
        return prepare(path.read_bytes(), atlas, params, slices)
    except FileNotFoundError:
        return "no such file"
    except (OSError, ValueError, MemoryError) as error:
        return str(error) or type(error).__name__


def _judged(
    classifier: Classifier, files: Sequence[tuple[Path, list[Prepared] | str]]
) -> Iterator[FileResult]:
    read = [one for _, prepared in files if not isinstance(prepared, str) for one in prepared]
    findings = iter(classifier.judge(read))
    for path, prepared in files:
        if isinstance(prepared, str):
            yield FileResult(path, (), prepared)
        else:
            yield FileResult(path, tuple(next(findings) for _ in prepared), "")
