"""Run git and DVC and hand back what they print."""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from typing import Any


class CommandError(ValueError):
    """git or DVC failed; holds the command and what it said."""


def git(*arguments: str) -> str:
    """Standard output of a git command in the current folder.

    Raises:
        CommandError: it exits with another status than 0.
    """
    return _run(["git", *arguments], "git")


def dvc(*arguments: str) -> str:
    """Standard output of a DVC command in the current folder.

    Raises:
        CommandError: it exits with another status than 0.
    """
    return _run([sys.executable, "-m", "dvc", *arguments], "dvc")


def dvc_json(*arguments: str) -> dict[str, Any]:
    """What a DVC command prints with `--json`; {} where it prints nothing.

    Raises:
        CommandError: it exits with another status than 0.
    """
    text = dvc(*arguments, "--json").strip()
    return dict(json.loads(text)) if text else {}


def _run(command: Sequence[str], name: str) -> str:
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        words = command[1:] if name == "git" else command[3:]
        raise CommandError(f"`{name} {' '.join(words)}` failed: {said}")
    return done.stdout
