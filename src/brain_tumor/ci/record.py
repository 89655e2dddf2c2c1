"""Commit what a run wrote (`brain-tumor ci results`) and push it to the branch it came from.

Needs nothing but Python and git, so that the job that may write to the repository installs nothing:
`PYTHONPATH=src python3 -m brain_tumor.ci.record PATCH --branch NAME`.
"""

import argparse
import subprocess
import sys
from pathlib import Path

from brain_tumor.errors import UserError

_AUTHOR = ("-c", "user.name=CI", "-c", "user.email=ci@localhost")
_ALLOWED = ("--include=dvc.lock", "--include=outputs/*")
# What decides the results, as `paths` of retrain.yml has it, and the results themselves: a branch
# that moved on in any of these has a run of its own.
DECIDES = (
    "data.dvc", "params.yaml", "dvc.yaml", "requirements.txt", "src", "docs/evidence",
    "dvc.lock", "outputs",
)  # fmt: skip


class RecordError(UserError):
    """The results cannot be committed; holds what git said."""


def record(patch: Path, branch: str) -> str:
    """Commit `patch` on HEAD and push that to `branch` of origin.

    What the patch changes elsewhere than in dvc.lock and outputs/ is left out. A branch that has
    moved on in what decides the results is left alone: the run of its new commit records its own.

    Args:
        patch: as `brain-tumor ci results` wrote it for HEAD.
        branch: name, as `main`.

    Returns:
        What was done, in a line.

    Raises:
        RecordError: the patch does not apply to HEAD.
    """
    if not patch.read_bytes().strip():
        return "nothing to record: the results are those of the commit"
    _git("apply", "--index", *_ALLOWED, str(patch.resolve()))
    if not _git("diff", "--cached", "--name-only"):
        return "nothing to record: no results in the patch"
    ran = _git("rev-parse", "--short", "HEAD")
    _git(*_AUTHOR, "commit", "--quiet", "--message", f"Record the results of {ran}")
    _git("fetch", "--quiet", "origin", f"refs/heads/{branch}")
    changed = _git("diff", "--name-only", "HEAD~1", "FETCH_HEAD", "--", *DECIDES).splitlines()
    if changed:
        return f"{branch} has moved on ({changed[0]}, ...): its own run records its results"
    _git(*_AUTHOR, "rebase", "--quiet", "--onto", "FETCH_HEAD", "HEAD~1")
    _git("push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    return f"results of {ran} pushed to {branch}"


def _git(*arguments: str) -> str:
    process = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    if process.returncode:
        words = [word for word in arguments if word not in _AUTHOR]
        raise RecordError(f"`git {' '.join(words)}` failed: {process.stderr.strip()}")
    return process.stdout.strip()


def main() -> None:
    """Command line: the patch and the branch."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("patch", type=Path, help="as `brain-tumor ci results` wrote it")
    parser.add_argument("--branch", required=True, help="branch of origin to push to")
    arguments = parser.parse_args()
    try:
        print(record(arguments.patch, arguments.branch))
    except (RecordError, OSError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
