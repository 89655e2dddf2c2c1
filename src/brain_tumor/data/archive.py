"""Unpacking an archive of images: files and folders only, nothing outside, all of it bounded."""

import bz2
import errno
import gzip
import lzma
import os
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO, Any, Final

from brain_tumor.data.junk import is_junk
from brain_tumor.errors import UserError
from brain_tumor.escaping import printable, terminal
from brain_tumor.files import require_space

MAX_MEMBERS: Final = 200_000  # files and folders
MAX_DEPTH: Final = 32  # folders in one another
MAX_RATIO: Final = 200  # bytes unpacked for each byte of the archive, where there is more than
SMALL_BYTES: Final = 2**30  # this
_UNPACK = "unpack it by another program and fetch the folder"

_SUFFIXES: Final = (
    ".zip", ".tar", ".tgz", ".tbz", ".tbz2", ".txz", ".tzst", ".tar.gz", ".tar.bz2", ".tar.xz",
    ".tar.zst", ".tar.lz4", ".tar.z", ".7z", ".rar", ".cab", ".iso", ".dmg", ".ace", ".arj",
)  # fmt: skip
_UNREAD: Final = {
    b"7z\xbc\xaf\x27\x1c": "a 7z archive",
    b"Rar!\x1a\x07": "a RAR archive",
    b"\x28\xb5\x2f\xfd": "packed by Zstandard",
    b"\x04\x22\x4d\x18": "packed by LZ4",
    b"\x1f\x9d": "packed by compress",
    b"MSCF": "a cabinet archive",
}
_METHODS: Final = (
    zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA,
)  # fmt: skip

_OTHER_METHODS: Final = {9: "Deflate64", 93: "Zstandard", 95: "XZ", 98: "PPMd"}


def is_archive(name: str) -> bool:
    """Tell by its name whether a file is an archive."""
    return name.lower().endswith(_SUFFIXES)


def extract(archive: Path, folder: Path) -> None:
    """Unpack `archive` (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, told by content) into `folder`.

    All members are looked at before the first is written. A backslash in a name counts as a slash:
    some programs on Windows write it. What systems leave behind stays in the archive.

    Raises:
        UserError: it is none of these, is broken or encrypted; it holds something else than files
            and folders, a name that leads outside or a name twice; or it holds too much.
        OSError: a file cannot be written.
    """
    most = max(SMALL_BYTES, MAX_RATIO * archive.stat().st_size)
    with _explaining(archive), _opened(archive, most) as members:
        _require_bounds(archive, members, most, folder)
        places = _places(archive, members)
        _require_no_clash(archive, places)
        for path, member in places.items():
            if member.read is None:
                (folder / path).mkdir(parents=True, exist_ok=True)
            else:
                _write(member.read, member.size, folder / path)


@dataclass(frozen=True)
class _Member:
    """A member as its archive describes it.

    Attributes:
        name: as it is written there, with slashes.
        size: bytes once unpacked.
        refusal: what it is and why it is not taken, "" for files and folders.
        read: opens a file; None for a folder.
    """

    name: str
    size: int
    refusal: str
    read: Callable[[], IO[bytes]] | None


class _DamagedError(Exception):
    """The archive is not as it was made."""


@contextmanager
def _explaining(archive: Path) -> Iterator[None]:
    """Turn what the libraries raise on damage into a sentence; errors of the disk stay."""
    try:
        yield
    except (UserError, MemoryError):
        raise
    except (
        _DamagedError, zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError,
        ValueError, NotImplementedError, RuntimeError, LookupError, gzip.BadGzipFile,
    ) as error:  # fmt: skip
        raise _cannot_unpack(archive, error) from error
    except OSError as error:
        if error.filename is None:  # not of a file that is written, but of bz2 or a wrong offset
            raise _cannot_unpack(archive, error) from error
        raise


def _cannot_unpack(archive: Path, error: Exception) -> UserError:
    reason = terminal(str(error)) or type(error).__name__
    return UserError(f"{archive}: cannot be unpacked: {reason}; fetch it again")


@contextmanager
def _opened(archive: Path, most: int) -> Iterator[list[_Member]]:
    """The members; of a tar no more than it takes to see that they are more than `most` bytes."""
    with archive.open("rb") as file:
        start = file.read(8)
    unread = next((name for magic, name in _UNREAD.items() if start.startswith(magic)), None)
    if unread:
        raise UserError(f"{archive}: {unread} is not read here; {_UNPACK}")
    with _decompressed(archive, start) as stream:
        guarded = _Guarded(stream)
        tar = _tar(guarded)
        if tar is not None:
            yield _of_tar(tar, guarded, most)
            return
    if not zipfile.is_zipfile(archive):
        raise UserError(f"{archive}: no zip or tar archive, or its start or end is missing")
    with zipfile.ZipFile(archive) as bundle:
        yield [_of_zip(bundle, info) for info in bundle.infolist()]


_COMPRESSED: Final[dict[bytes, Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ": lzma.open,
}


def _decompressed(archive: Path, start: bytes) -> IO[bytes]:
    opener = next((_COMPRESSED[magic] for magic in _COMPRESSED if start.startswith(magic)), open)
    stream: IO[bytes] = opener(archive, "rb")
    return stream


class _Guarded:
    """A stream of which a header of a tar can take only so much: tarfile itself has no bound."""

    MOST = 2**20

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self.left: int | None = self.MOST  # None: contents are read
        self.seek, self.tell = stream.seek, stream.tell

    def read(self, size: int) -> bytes:
        if self.left is not None:
            self.left -= max(size, 1)
            if self.left < 0 or size < 0:
                raise _DamagedError("a header has no end")
        return self._stream.read(size)


def _tar(stream: _Guarded) -> tarfile.TarFile | None:
    try:
        tar = tarfile.TarFile(fileobj=stream)  # type: ignore[arg-type]
    except tarfile.ReadError:
        return None
    return tar if tar.firstmember else None  # type: ignore[attr-defined]


def _of_tar(tar: tarfile.TarFile, stream: _Guarded, most: int) -> list[_Member]:
    members: list[_Member] = []
    total = 0
    while total <= most and len(members) <= MAX_MEMBERS:
        stream.left = _Guarded.MOST
        info = tar.next()
        if info is None:
            _require_end(tar, stream)
            break
        if info.size < 0:
            raise _DamagedError(f"{info.name!r} has a negative size")
        total += info.size
        read = None if info.isdir() else _reader_of_tar(tar, info)
        members.append(_Member(info.name, info.size, _tar_refusal(info), read))
    stream.left = None
    return members


_MOST_PADDING = 2**26  # bytes of zeros after the last member


def _require_end(tar: tarfile.TarFile, stream: _Guarded) -> None:
    """Raise if zeros do not follow to the end: tarfile takes any damage for the end.

    Reading on has gzip compare its checksum, too.
    """
    stream.left = _MOST_PADDING
    stream.seek(tar.offset)
    block = stream.read(tarfile.BLOCKSIZE)
    if not block:
        raise _DamagedError("its end is missing")
    while block:
        if any(block):
            raise _DamagedError(f"damaged after byte {tar.offset}")
        block = stream.read(2**16)


def _reader_of_tar(tar: tarfile.TarFile, info: tarfile.TarInfo) -> Callable[[], IO[bytes]]:
    def read() -> IO[bytes]:
        stream = tar.extractfile(info)
        if stream is None:
            raise _DamagedError(f"{info.name!r} has no content")
        return stream

    return read


_ONLY_FILES = "an archive of images may hold only files and folders"


def _tar_refusal(info: tarfile.TarInfo) -> str:
    if info.isreg() or info.isdir():
        return ""
    if info.issym() or info.islnk():
        is_outside = ".." in info.linkname or info.linkname.startswith("/")
        leads = "a link that leads outside" if is_outside else "a link"
        return f"is {leads} (to '{info.linkname}'): {_ONLY_FILES}"
    kind = "named pipe" if info.isfifo() else "device" if info.isdev() else "member of unknown kind"
    return f"is a {kind}: {_ONLY_FILES}"


_DOS_FOLDER = 0x10  # bit of a zip member's attributes


def _of_zip(bundle: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Member:
    kind = stat.S_IFMT(info.external_attr >> 16)
    is_folder = (
        info.filename.replace("\\", "/").endswith("/")
        or kind == stat.S_IFDIR
        or bool(info.external_attr & _DOS_FOLDER)
    )
    if kind == stat.S_IFLNK:
        refusal = f"is a link: {_ONLY_FILES}"
    elif kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        refusal = f"is a named pipe, a socket or a device: {_ONLY_FILES}"
    elif info.flag_bits & 0x2041:
        refusal = f"is encrypted: {_UNPACK}"
    elif info.compress_type not in _METHODS:
        method = _OTHER_METHODS.get(info.compress_type, f"method {info.compress_type}")
        refusal = f"is packed by {method}, which is not read here: {_UNPACK}"
    else:
        refusal = ""
    read = None if is_folder else lambda: bundle.open(info)
    return _Member(info.filename, info.file_size, refusal, read)


def _require_bounds(archive: Path, members: Sequence[_Member], most: int, folder: Path) -> None:
    if len(members) > MAX_MEMBERS:
        raise UserError(f"{archive}: holds more than {MAX_MEMBERS} files; {_UNPACK}")
    total = sum(member.size for member in members)
    if total > most:
        raise UserError(
            f"{archive}: refused, its {archive.stat().st_size / 1e6:.1f} MB would become "
            f"{total / 1e9:.1f} GB or more, over {MAX_RATIO} times as much; {_UNPACK}, if that is "
            "meant"
        )
    # Unpacked, and copied from there.
    require_space(folder, 2 * total, f"{archive}: unpacking")


def _places(archive: Path, members: Sequence[_Member]) -> dict[PurePosixPath, _Member]:
    """Where in the folder each member goes; folders that only lead to files are not listed."""
    places: dict[PurePosixPath, _Member] = {}
    for member in members:
        path = _place(archive, member.name)
        if path is None or any(map(is_junk, path.parts)):
            continue
        shown = terminal(printable(member.name))
        if member.refusal:
            raise UserError(f"{archive}: refused, '{shown}' {terminal(member.refusal)}")
        if path in places and not (member.read is None and places[path].read is None):
            raise UserError(f"{archive}: holds '{shown}' twice; {_UNPACK}")
        places[path] = member
    return places


def _place(archive: Path, name: str) -> PurePosixPath | None:
    windows = PureWindowsPath(name)
    has_drive = bool(windows.drive) and (bool(windows.root) or os.name == "nt")
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    shown = terminal(printable(name))
    if has_drive or windows.root or ".." in parts or "\0" in name:
        raise UserError(f"{archive}: refused, a member leads outside: '{shown}'")
    if len(parts) > MAX_DEPTH:
        raise UserError(f"{archive}: '{shown[:80]}...' lies in more than {MAX_DEPTH} folders")
    return PurePosixPath(*parts) if parts else None


def _require_no_clash(archive: Path, places: dict[PurePosixPath, _Member]) -> None:
    folders = {parent for path in places for parent in path.parents}
    if len(folders) + len(places) > 2 * MAX_MEMBERS:
        raise UserError(f"{archive}: holds more than {MAX_MEMBERS} folders; {_UNPACK}")
    for path in folders & places.keys():
        if places[path].read is not None:
            shown = terminal(printable(str(path)))
            raise UserError(f"{archive}: '{shown}' is a file and a folder in it; {_UNPACK}")


_FULL: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def _write(read: Callable[[], IO[bytes]], size: int, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with read() as source, target.open("xb") as file:
        try:
            shutil.copyfileobj(source, file)
            file.flush()
        except OSError as error:
            if error.errno in _FULL:
                error.filename = str(target)
            raise
        if file.tell() != size:
            raise _DamagedError(f"'{target.name}' has {file.tell()} bytes instead of {size}")
