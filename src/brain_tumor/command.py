"""How a command begins and ends: its place in the pipeline, and errors in one line."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import TextIOWrapper
from pathlib import Path
from typing import NoReturn

from brain_tumor.errors import UserError, sentence
from brain_tumor.escaping import terminal, terminal_lines
from brain_tumor.machine import quiet_tensorflow

# Packages that only some commands need, and the extra that brings them.
_EXTRAS = {
    "cloudpickle": "cluster",
    "dask": "cluster",
    "distributed": "cluster",
    "fastapi": "serve",
    "multipart": "serve",
    "python_multipart": "serve",
    "uvicorn": "serve",
    "tensorflow": "cpu",
}


INTERRUPTED = 130  # exit status after Ctrl-C, as of a shell: 128 + SIGINT


def run(main: Callable[[], None]) -> None:
    """Run a stage as a command, and say which one it is, of how many."""
    quiet_tensorflow()
    show_all_signs()
    announce(os.environ.get("DVC_STAGE", ""), main.__globals__["__doc__"])
    try:
        with reporting_errors():
            main()
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        raise SystemExit(INTERRUPTED) from None


def announce(stage: str, description: str) -> None:
    """Say where in its pipeline a stage stands; nothing where DVC does not run it.

    `stage` is as DVC calls it, `tune` or `evidence/dvc.yaml:headline`; the description is the
    docstring of its module, which says after the first colon what the stage does.
    """
    if not stage:
        return
    from ruamel.yaml import YAML

    file, _, name = stage.rpartition(":")
    pipeline = Path(file or "dvc.yaml")  # all stages run at the top of the repository
    names = list(YAML(typ="safe").load(pipeline.read_text(encoding="utf-8"))["stages"])
    what = description.splitlines()[0].partition(": ")[2].removesuffix(".")
    print(f"stage {names.index(name) + 1} of {len(names)}, {name}: {what}", file=sys.stderr)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Show what the user can mend as one line, and exit 1; other errors keep their traceback.

    The user can mend a `UserError`, an `OSError` (a file or a store that cannot be reached) and a
    package that is missing because its extra was not installed.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None:
            raise
        _fail(f"{error.name} is not installed: pip install 'brain-tumor[{extra}]'", error)
    except UserError as error:
        _fail(str(error), error)
    except BrokenPipeError:  # whoever read the output (`head`) has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(1) from None
    except OSError as error:
        _fail(sentence(error), error)


def _fail(message: str, error: Exception) -> NoReturn:
    print(f"error: {terminal_lines(message)}", file=sys.stderr)
    raise SystemExit(1) from error


def say(line: str) -> None:
    """Print a line in which names may stand.

    Raises:
        SystemExit: it cannot be written, and standard error says why.
    """
    with reporting_errors():
        try:
            print(terminal(line), flush=True)
        except OSError as error:
            error.filename = error.filename or "standard output"
            raise


def show_all_signs() -> None:
    r"""Let standard output write what its encoding lacks as `\u8111`, not end at it."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
