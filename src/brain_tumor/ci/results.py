"""What a run changed of the files git tracks: a patch another machine can commit."""

from pathlib import Path

from brain_tumor.atomic import replacing
from brain_tumor.repository import git

RESULTS = ("dvc.lock", "outputs")
"""What the pipeline writes and git tracks: the lock and the small metrics."""


def write_results(patch: Path) -> list[str]:
    """Write the difference of `RESULTS` to HEAD as a binary git patch, new files included.

    Returns:
        The files it changes, sorted; with none the patch is empty.

    Raises:
        GitError: git fails.
    """
    present = [name for name in RESULTS if Path(name).exists()]
    git("add", "--intent-to-add", "--", *present)
    try:
        text = git("diff", "--binary", "--no-color", "--no-ext-diff", "HEAD", "--", *RESULTS)
        names = git("diff", "--name-only", "HEAD", "--", *RESULTS).splitlines()
    finally:
        git("reset", "--quiet", "--", *present)
    with replacing(patch) as aside:
        aside.write_bytes(text.encode("utf-8"))
    return sorted(names)
