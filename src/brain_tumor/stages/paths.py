"""What every stage shares on its command line: path options and how errors are shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

In = Annotated[Path, typer.Option(help="A file or folder the stage reads.")]
Out = Annotated[Path, typer.Option(help="A file or folder the stage writes.")]


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn an error in what the user gave (`ValueError`, `OSError`) into one line and exit 1."""
    try:
        yield
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
