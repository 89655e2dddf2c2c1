"""Where the repository is (what all of its working copies share lies there), and git in it."""

import os
import subprocess
from pathlib import Path


class GitError(ValueError):
    """git is missing or failed; holds the command and what git said."""


def git(*arguments: str, folder: Path = Path()) -> str:
    """Standard output of a git command in a folder.

    It takes no lock that it can do without, so it is never in the way of DVC's own git.

    Raises:
        GitError: git is missing, or it exits with another status than 0.
    """
    words = f"`git {' '.join(arguments)}`"
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0"}
    command = ["git", "-C", str(folder), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    except OSError as error:
        raise GitError(f"{words}: git does not run: {error}") from error
    if done.returncode:
        output = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise GitError(f"{words} failed: {output}")
    return done.stdout


def repository_root(start: Path | None = None) -> Path:
    """The folder that holds `mlruns/` and `.cache/`.

    DVC sets `DVC_ROOT` for every stage; for experiments that run in a temporary copy
    (`dvc exp run --temp` or `--queue`) it names the original repository, so their runs land in
    the one store. Elsewhere it is the nearest folder above `start` that holds `.dvc` or `.git`.

    Args:
        start: where to look from; the current folder by default.
    """
    if os.environ.get("DVC_ROOT"):
        return Path(os.environ["DVC_ROOT"]).resolve()
    start = (start or Path()).resolve()
    for marker in (".dvc", ".git"):
        for folder in (start, *start.parents):
            if (folder / marker).exists():
                return folder
    return start
