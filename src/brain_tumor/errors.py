"""An error that its user can mend, and the operating system's errors as sentences."""

import errno
import os
import shutil
import tempfile
from pathlib import Path

from brain_tumor.escaping import printable


class UserError(ValueError):
    """What was given or asked for cannot be used; the message names it and says what to do.

    Commands show it as one line. Any other error is a fault of the code: its traceback is shown.
    """


_REMEDIES = {
    errno.ENOSPC: "no space left on the disk: make room, then run the same command again",
    errno.EDQUOT: "the quota of the disk is used up: make room, then run the same command again",
    errno.EFBIG: "larger than a file may be here (`ulimit -f`, or the file system's own bound)",
    errno.EACCES: "permission denied: change it (`ls -l`), or give another path",
    errno.EPERM: "not permitted: give another path",
    errno.EROFS: "the disk can only be read: give another path",
    errno.ENOENT: "no such file or folder",
    errno.ENOTDIR: "a part of this path is a file, no folder",
    errno.EISDIR: "a folder, where a file is needed",
    errno.ELOOP: "links that lead in a circle: remove them",
    errno.ENAMETOOLONG: "a name longer than the file system takes: give a shorter one",
    errno.EMFILE: "too many files are open: raise the bound (`ulimit -n`)",
    errno.EIO: "the disk cannot be read or written (input/output error)",
}


def sentence(error: OSError) -> str:
    """An error of the operating system: file, what is wrong, what to do."""
    if isinstance(error, shutil.Error) and error.args and isinstance(error.args[0], list):
        failures = error.args[0]  # of `shutil.copytree`: source, target and reason of each file
        more = f"; and {len(failures) - 1} more" if failures[1:] else ""
        return f"{failures[0][0]}: cannot be copied: {failures[0][2]}{more}"
    if error.errno is None:
        return " ".join(str(error).split())
    reason = _REMEDIES.get(error.errno, error.strerror or os.strerror(error.errno))
    names = [name for name in (error.filename, error.filename2) if name is not None]
    if names:
        return f"{' to '.join(map(_named, names))}: {reason}"
    if error.errno == errno.ENOENT and "temporary directory" in str(error):
        return f"TMPDIR: no folder for temporary files that can be written: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        try:
            return f"{_fullest()}: {reason}"
        except OSError:  # not even the folder for temporary files can be told
            return reason
    return reason


def _named(file: str | bytes | int) -> str:
    return f"file descriptor {file}" if isinstance(file, int) else printable(os.fsdecode(file))


def _fullest() -> str:
    """The folder written to whose disk has the least room."""
    here, temporary = Path.cwd(), Path(tempfile.gettempdir())
    if shutil.disk_usage(here).free <= shutil.disk_usage(temporary).free:
        return str(here)
    return f"{temporary} (temporary files; TMPDIR names another folder for them)"
