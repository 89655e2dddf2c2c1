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
    ending = "".join(path.suffixes)
    name = path.name.removesuffix(ending)
    for left_by_a_killed_process in path.parent.glob(f".{glob.escape(name)}.*.partial*"):
        _remove(left_by_a_killed_process)
    aside, before = (
        path.with_name(f".{name}.{os.getpid()}{kind}.partial{ending}") for kind in ("", "-before")
    )
    try:
        yield aside
        if path.is_dir():
            path.rename(before)
        aside.replace(path)
    finally:
        _remove(aside)
        _remove(before)


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
