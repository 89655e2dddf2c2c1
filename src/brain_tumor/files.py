"""Files written whole or not at all, JSON read or explained, and what is no file to be opened."""

import errno
import hashlib
import json
import os
import re
import secrets
import shutil
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from pydantic import TypeAdapter, ValidationError

from brain_tumor.errors import UserError, sentence
from brain_tumor.escaping import printable, terminal
from brain_tumor.machine import host, identify, is_alive

if TYPE_CHECKING:
    from pydantic import BaseModel

RESTORE = "run `dvc pull` or `dvc repro`"  # of outputs of the stages
ArtefactT = TypeVar("ArtefactT", bound="BaseModel")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` to write a file or folder to; it takes `path`'s place at the end.

    The temporary path keeps the suffix of `path` (writers choose a format by it). If the body
    raises, what was there stays as it was and the temporary path is removed. Of several processes
    that replace one path at once each puts its own there whole, and the last one's stays.
    """
    with scratch(path) as aside:
        try:
            yield aside
            _require_same_kind(aside, path)
            _swap(aside, path)
        except OSError as error:
            if error.errno is not None and error.filename is None:  # a write to a full disk
                error.filename = str(path)
            raise


@contextmanager
def scratch(path: Path) -> Iterator[Path]:
    """Yield a path beside `path` for a file or folder that is removed at the end.

    What killed processes left of `path` is cleared first; a folder that one had moved away to
    replace it comes back.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear_leftovers(path)
    aside = path.with_name(_partial(path, _mark(), "new"))
    try:
        yield aside
    finally:
        _remove(aside)


_Kind = Literal["new", "old"]
_LONGEST_STEM, _LONGEST_ENDING = 100, 40  # bytes; file systems take 255
_FOREIGN_S = 24 * 3600  # after this what another machine left counts as left by a killed process


def _partial(path: Path, mark: str, kind: _Kind) -> str:
    """Name beside `path`, no other file's, that fits however long the name of `path` is."""
    stem, ending = _stem_and_ending(path)
    return f".{stem}.{mark}.{kind}.partial{ending}"


def _stem_and_ending(path: Path) -> tuple[str, str]:
    ending = "".join(path.suffixes[-2:])
    if len(os.fsencode(ending)) > _LONGEST_ENDING:
        ending = ""
    stem = path.name.removesuffix(ending)
    if len(os.fsencode(stem)) > _LONGEST_STEM:
        stem = hashlib.sha256(os.fsencode(stem)).hexdigest()[:32]
    return stem, ending


def _mark() -> str:
    """Says which process on which machine writes, and that it is no other write of it."""
    process = identify(os.getpid()) or str(os.getpid())
    return f"{_machine()}-{process.replace(':', '_')}-{secrets.token_hex(4)}"


def _machine() -> str:
    return hashlib.sha256(host().encode()).hexdigest()[:8]


def _is_left(mark: str, file: Path) -> bool:
    """Whether nobody writes any more to what bears this mark."""
    match = re.fullmatch(r"([0-9a-f]{8})-(\w+)-[0-9a-f]{8}", mark)
    if match is None:  # by an earlier version
        return True
    if match[1] == _machine():
        return not is_alive(match[2].replace("_", ":"))
    try:
        return time.time() - file.lstat().st_mtime > _FOREIGN_S
    except OSError:  # gone meanwhile
        return False


def _require_same_kind(aside: Path, path: Path) -> None:
    if not os.path.lexists(aside):
        raise FileNotFoundError(f"{aside}: was not written")
    if path.is_dir() and not aside.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))


_TAKEN = (errno.ENOTEMPTY, errno.EEXIST)  # another process has put a folder there meanwhile


def _swap(aside: Path, path: Path) -> None:
    """Put `aside` in `path`'s place; a folder there can only be moved away first.

    Another process may do the same at any moment: then it is tried again.
    """
    while True:
        before = path.with_name(_partial(path, _mark(), "old"))
        if path.is_dir():
            with suppress(FileNotFoundError):  # another process has just moved it away
                path.rename(before)
        try:
            aside.replace(path)
        except BaseException as error:  # Ctrl-C, too, must lose neither folder
            _put_back(before, path)
            if not isinstance(error, OSError) or error.errno not in _TAKEN:
                raise
        else:
            _remove(before)
            return


def _put_back(before: Path, path: Path) -> None:
    """Move a folder back to `path`, unless another process has put its own there meanwhile."""
    if not os.path.lexists(before):
        return
    if not os.path.lexists(path):
        try:
            before.rename(path)
        except OSError as error:
            if error.errno not in _TAKEN:
                raise
        else:
            return
    _remove(before)


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed process left of `path`; a folder it had moved away comes back."""
    stem, ending = map(re.escape, _stem_and_ending(path))
    name = re.compile(rf"\.{stem}\.([\w-]+)\.(new|old)\.partial{ending}", re.DOTALL)
    matches = [match for entry in os.listdir(path.parent) if (match := name.fullmatch(entry))]  # noqa: PTH208
    for match in matches:
        leftover = path.with_name(match[0])
        if not _is_left(match[1], leftover):
            continue
        if match[2] == "old" and not os.path.lexists(path):
            leftover.rename(path)
        else:
            _remove(leftover)


_LONGEST_NAME = 255  # bytes


def fitting(name: str, ending: str) -> str:
    """`name` and `ending` as one file name; a name too long for that ends in a few hash digits."""
    if len(os.fsencode(name + ending)) <= _LONGEST_NAME:
        return name + ending
    digits = f"-{hashlib.sha256(os.fsencode(name)).hexdigest()[:8]}"
    room = _LONGEST_NAME - len(os.fsencode(digits + ending))
    return os.fsencode(name)[:room].decode("utf-8", "ignore") + digits + ending


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
    except (UserError, MemoryError):
        raise
    except Exception as error:
        if not os.path.lexists(path):
            raise UserError(f"{path}: missing{after}") from error
        raise UserError(f"{path}: not readable{after}: {_in_a_line(error)}") from error


_LONGEST = 300  # characters of a reason; Keras recites the whole network


def _in_a_line(error: Exception) -> str:
    if isinstance(error, OSError) and error.filename is not None:
        return sentence(OSError(error.errno, error.strerror))
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


# Links of stores that name a file by its content: DVC's cache (`cache.type symlink`) and git-annex.
_STORED = re.compile(r".*/[0-9a-f]{2}/[0-9a-f]{30}|.*/\.git/annex/objects/.*", re.DOTALL)


def obstacle(path: Path) -> str:
    """Why what lies at `path` is not opened as a file; "" for a regular file, or for nothing.

    A link is not followed, wherever it leads: whoever made a folder could have it point at any
    file of this machine. A link into DVC's cache or git-annex is as good as a file.
    """
    try:
        mode = path.lstat().st_mode
    except OSError:  # as opening it will tell
        return ""
    if stat.S_ISREG(mode):
        return ""
    if stat.S_ISLNK(mode):
        return _link_obstacle(path)
    for is_kind, name in (
        (stat.S_ISDIR, "folder"),
        (stat.S_ISFIFO, "named pipe (FIFO)"),
        (stat.S_ISSOCK, "socket"),
        (stat.S_ISCHR, "device"),
        (stat.S_ISBLK, "device"),
    ):
        if is_kind(mode):
            return f"a {name}, no file: not opened"
    return "no regular file: not opened"


def _link_obstacle(path: Path) -> str:
    target = terminal(printable(path.readlink()))
    try:
        mode = path.stat().st_mode
    except FileNotFoundError:
        return f"link to a file that does not exist ({target})"
    except (OSError, RuntimeError):
        return f"link that cannot be followed, as in a circle ({target})"
    if stat.S_ISREG(mode) and _STORED.fullmatch(os.path.realpath(path)):
        return ""
    kind = "link to a folder" if stat.S_ISDIR(mode) else f"link to {target}"
    return f"{kind}: not followed, put a copy in its place"


def read_bytes(path: Path) -> bytes:
    """The bytes of a regular file.

    Raises:
        UserError: a link, a pipe, a device or a folder lies there; the message is the reason,
            without the path.
        OSError: it is not there or cannot be read.
    """
    if reason := obstacle(path):
        raise UserError(reason)
    return path.read_bytes()


def require_space(folder: Path, needed: int, what: str) -> None:
    """Refuse to begin what the disk of `folder` cannot hold.

    Raises:
        UserError: it has fewer than `needed` bytes free; `what` begins the sentence.
    """
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise UserError(
            f"{what} needs {needed / 1e9:.1f} GB, but the disk of {folder} has {free / 1e9:.1f} GB "
            "free: make room first"
        )


def _remove(path: Path) -> None:
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    while path.is_dir():
        with suppress(FileNotFoundError):  # another process removes it too
            shutil.rmtree(path)
