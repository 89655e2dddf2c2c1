"""Unpack zip and tar archives without trusting them."""

import lzma
import tarfile
import zipfile
import zlib
from pathlib import Path, PurePosixPath, PureWindowsPath


class ArchiveError(ValueError):
    """An archive is broken, of an unknown kind, or reaches outside its own folder."""


def extract(archive: Path, folder: Path) -> None:
    """Unpack `archive` (.zip, .tar, .tar.gz, .tar.bz2, .tar.xz, told by content) into `folder`.

    Raises:
        ArchiveError: it is none of these, is broken or encrypted, or holds a path or link that
            leads outside `folder`.
    """
    broken = (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, EOFError)
    try:
        if zipfile.is_zipfile(archive):
            _extract_zip(archive, folder)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as tar:
                tar.extractall(folder, filter="data")
        else:
            raise ArchiveError(f"{archive}: no zip or tar archive, or its start or end is missing")
    except tarfile.FilterError as error:
        raise ArchiveError(f"{archive}: refused, a member leads outside: {error}") from error
    except (*broken, RuntimeError, NotImplementedError, OSError) as error:
        raise ArchiveError(f"{archive}: cannot be unpacked: {error}; fetch it again") from error


def _extract_zip(archive: Path, folder: Path) -> None:
    with zipfile.ZipFile(archive) as bundle:
        for name in bundle.namelist():
            if _leads_outside(name):
                raise ArchiveError(f"{archive}: refused, a member leads outside: {name!r}")
        bundle.extractall(folder)


def _leads_outside(name: str) -> bool:
    windows = PureWindowsPath(name)
    return ".." in windows.parts or bool(windows.anchor) or PurePosixPath(name).is_absolute()
