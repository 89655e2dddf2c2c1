"""What every stage shares on its command line: path options and how errors are shown."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

In = Annotated[Path, typer.Option(help="A file or folder the stage reads.")]
Out = Annotated[Path, typer.Option(help="A file or folder the stage writes.")]

# Packages that only some commands need, and the extra that brings them.
_EXTRAS = {
    "fastapi": "serve",
    "multipart": "serve",
    "python_multipart": "serve",
    "uvicorn": "serve",
    "tensorflow": "cpu",
}


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Turn an error in what the user gave (`ValueError`, `OSError`) into one line and exit 1.

    So is a package that is missing because its extra was not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        print(
            f"error: {error.name} is not installed: pip install 'brain-tumor[{extra}]'",
            file=sys.stderr,
        )
        raise SystemExit(1) from error
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        raise SystemExit(1) from error
