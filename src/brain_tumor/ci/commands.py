"""Run DVC and hand back what it prints."""

import json
import os
import subprocess
import sys
from typing import Any


class CommandError(ValueError):
    """DVC failed; holds the command and what it said."""


def dvc(*arguments: str) -> str:
    """Standard output of a DVC command in the current folder.

    Raises:
        CommandError: it exits with another status than 0.
    """
    command = [sys.executable, "-m", "dvc", *arguments]
    environment = os.environ | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        output = (done.stderr or done.stdout).strip() or f"exit status {done.returncode}"
        raise CommandError(f"`dvc {' '.join(arguments)}` failed: {output}")
    return done.stdout


def dvc_json(*arguments: str) -> dict[str, Any]:
    """What a DVC command prints with `--json`; {} where it prints nothing.

    Raises:
        CommandError: it exits with another status than 0.
    """
    text = dvc(*arguments, "--json").strip()
    return dict(json.loads(text)) if text else {}
