"""A stage in this process, as its command runs it in a folder."""

from collections.abc import Callable
from contextlib import chdir
from pathlib import Path

import typer
from typer.testing import CliRunner, Result

from brain_tumor.command import reporting_errors


def invoke(main: Callable[[], None], folder: Path) -> Result:
    """Run a stage with `folder` as the repository; what it printed and its exit status."""
    app = typer.Typer()
    app.command()(reporting_errors()(main))
    with chdir(folder):
        return CliRunner().invoke(app, [])
