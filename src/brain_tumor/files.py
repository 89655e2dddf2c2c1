"""Files written whole or not at all, and JSON read or explained."""

import glob
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from brain_tumor.errors import UserError

if TYPE_CHECKING:
    from pydantic import BaseModel

RESTORE = "run `dvc pull` or `dvc repro`"  # of outputs of the stages
ArtefactT = TypeVar("ArtefactT", bound="BaseModel")


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


def read_json(path: Path, remedy: str = "", shape: Any = Any) -> Any:
    """Read a JSON file.

    Args:
        path: of the file.
        remedy: what to do where it is damaged.
        shape: type of its content, as `dict[str, float]`.

    Raises:
        UserError: it is missing, no JSON or of another shape; the message names it and has the
            remedy.
    """
    expected = TypeAdapter(shape)
    with reading(path, remedy):
        return expected.validate_python(json.loads(path.read_text(encoding="utf-8")))


def read_artefact(path: Path, kind: type[ArtefactT], remedy: str = "") -> ArtefactT:
    """Read a JSON file that a stage or a registered model left.

    Values are typed strictly. Keys that `kind` does not have are passed over: another version of
    this project may have written the file. (Of params.yaml an unknown key is an error.)

    Raises:
        UserError: it is missing or holds something else; the message names it and has the remedy.
    """
    with reading(path, remedy):
        return kind.model_validate_json(path.read_text(encoding="utf-8"), extra="ignore")


@contextmanager
def reading(path: Path, remedy: str = "") -> Iterator[None]:
    """Explain what goes wrong in a block that does nothing but read a file.

    Libraries say in many ways that a file is not what it should be (BadZipFile, EOFError, KeyError,
    zlib.error, ...), so whatever the block raises counts as that: it may hold nothing else.

    Raises:
        UserError: the file is missing or holds something else; the message names it and has the
            remedy.
    """
    after = f"; {remedy}" if remedy else ""
    try:
        yield
    except UserError:
        raise
    except Exception as error:
        if not os.path.lexists(path):
            raise UserError(f"{path}: missing{after}") from error
        raise UserError(f"{path}: not readable{after}: {_in_a_line(error)}") from error


_LONGEST = 300  # characters of a reason; Keras recites the whole network


def _in_a_line(error: Exception) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, ValidationError):
        text = "; ".join(
            f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}".removeprefix(": ")
            for problem in error.errors()
        )
    text = text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
    return (
        text
        if text and not isinstance(error, KeyError)
        else f"{type(error).__name__} {text}".strip()
    )


def printable(path: Path) -> str:
    """A path with slashes that can be printed; bytes of its name that are no text are escaped."""
    return os.fsencode(path.as_posix()).decode("utf-8", "backslashreplace")


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
