"""Run a stage by its command line in this process: TensorFlow starts once for all of them."""

import io
import os
import runpy
import subprocess
import sys
import warnings
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from tests.small_project import FOREIGN


def run_here(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """What a command of dvc.yaml (`python -m MODULE ...`) does and prints in `folder`."""
    python, option, module, *arguments = command.split()
    assert (python, option) == ("python", "-m")
    code, out, err = 0, io.StringIO(), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        for name in [name for name in os.environ if name.startswith(FOREIGN)]:
            patch.delenv(name)
        patch.setenv("DVC_ROOT", str(folder))
        patch.chdir(folder)
        patch.setattr(sys, "argv", [module, *arguments])
        warnings.simplefilter("default")  # as in a process of its own, where none is an error
        warnings.filterwarnings("ignore", category=RuntimeWarning, module="runpy")
        with redirect_stdout(out), redirect_stderr(err):
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as end:
                code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return subprocess.CompletedProcess(command, code, out.getvalue(), err.getvalue())
