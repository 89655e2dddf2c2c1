"""A small data set under git and DVC with a remote, and batches to grow it by."""

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from PIL import Image

from tests import sections

IDENTITY = {
    f"GIT_{who}_{what}": f"tester{at}"
    for who in ("AUTHOR", "COMMITTER")
    for what, at in (("NAME", ""), ("EMAIL", "@example.org"))
}


def picture(file: Path, seed: int, side_px: int = 24) -> Path:
    """Write a grey picture of noise; the same seed gives the same bytes."""
    file.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(seed).integers(0, 256, (side_px, side_px), dtype=np.uint8)
    Image.fromarray(noise).save(file)
    return file


def batch(folder: Path, seeds: Mapping[str, int]) -> Path:
    """Write a picture of each seed to its path in `folder`."""
    for path, seed in seeds.items():
        picture(folder / path, seed)
    return folder


def run(folder: Path, *command: str) -> str:
    """Run a command that must succeed in `folder`; what it printed."""
    environment = os.environ | IDENTITY | {"DVC_NO_ANALYTICS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def dvc(folder: Path, *arguments: str) -> str:
    """Run a DVC command that must succeed in `folder`; what it printed."""
    return run(folder, sys.executable, "-m", "dvc", *arguments)


def commit(folder: Path, message: str) -> None:
    """Commit everything git does not ignore."""
    run(folder, "git", "add", "--all")
    run(folder, "git", "commit", "--quiet", "--message", message)


def make_template(root: Path) -> Path:
    """Make root/repository, two images of each class committed and pushed to root/store."""
    repository = root / "repository"
    batch(
        repository / "data",
        {f"{c}/{i}.png": 10 * (c == "yes") + i for c in ("no", "yes") for i in (1, 2)},
    )
    sections.write_params(repository, validate={"min_side_px": 16}, phantom={"no": 2, "yes": 2})
    (repository / ".gitignore").write_text("*.partial*\n")
    run(repository, "git", "init", "--quiet", "--initial-branch", "main")
    dvc(repository, "init", "--quiet")
    dvc(repository, "remote", "add", "--quiet", "--default", "store", "../store")
    dvc(repository, "add", "--quiet", "data")
    commit(repository, "Four images")
    dvc(repository, "push", "--quiet")
    return root


def copy_template(template: Path, target: Path) -> Path:
    """Copy a template with its store; the repository's new path."""
    shutil.copytree(template, target, symlinks=True)
    return target / "repository"


def files(folder: Path) -> dict[str, bytes]:
    """Content of every file, by its path in `folder`."""
    return {
        p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()
    }
