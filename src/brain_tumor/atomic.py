"""Writes that are whole or not there: aside first, then renamed into place."""

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; it takes `path`'s place at the end.

    The temporary path keeps the suffix of `path` (writers choose a format by it). If the body
    raises, what was there stays as it was and the temporary path is removed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    aside = path.with_name(_partial(path, f"{os.getpid()}.new"))
    try:
        yield aside
        _swap(aside, path)
    finally:
        _remove(aside)


def _partial(path: Path, mark: str) -> str:
    """Name beside `path`; no other file's, since it holds the whole of its name."""
    ending = "".join(path.suffixes)
    return f".{path.name.removesuffix(ending)}.{mark}.partial{ending}"


def _swap(aside: Path, path: Path) -> None:
    """Put `aside` in `path`'s place; a folder can only be moved away first, and back on failure."""
    if not path.is_dir():
        aside.replace(path)
        return
    before = path.with_name(_partial(path, f"{os.getpid()}.old"))
    path.rename(before)
    try:
        aside.rename(path)
    except OSError:
        before.rename(path)
        raise
    _remove(before)


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed process left of `path`; a folder it had moved away comes back."""
    escaped = path.with_name(glob.escape(path.name))
    for moved in path.parent.glob(_partial(escaped, "*.old")):
        if path.exists():
            _remove(moved)
        else:
            moved.rename(path)
    for unfinished in path.parent.glob(_partial(escaped, "*.new")):
        _remove(unfinished)


def write_text(path: Path, text: str) -> None:
    """Write `text` to `path` in UTF-8 with newlines as given, whole or not at all."""
    with replacing(path) as aside:
        aside.write_bytes(text.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON with a final newline, whole or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
