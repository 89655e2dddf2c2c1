"""Where the repository is: what must be one for all of its working copies lies there."""

import os
from pathlib import Path


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
