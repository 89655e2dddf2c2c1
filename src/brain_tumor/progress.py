"""Progress of long loops on standard error: a bar on a terminal, plain lines in a log."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

Item = TypeVar("Item")


def track(items: Iterable[Item], description: str, total: int) -> Iterator[Item]:
    """Yield `items`, showing `description`, how many of `total` are done and the time left.

    Where standard error is no terminal one line is printed at the end.
    """
    with _bar() as bar:
        yield from bar.track(items, total=total, description=description)
    if bar.disable:
        print(f"{description}: {total} done", file=sys.stderr, flush=True)


@contextmanager
def working(description: str) -> Iterator[None]:
    """Show what is going on during one long step: beside a spinner, or as a line in a log."""
    console = Console(stderr=True)
    if not console.is_terminal:
        print(f"{description} ...", file=sys.stderr, flush=True)
        yield
        return
    with console.status(description):
        yield
    console.print(f"{description}: done", highlight=False, markup=False)


@contextmanager
def counting(description: str, total: int) -> Iterator[Callable[[str], None]]:
    """Give a function that counts one of at most `total` steps and shows a line about it.

    Where standard error is no terminal every line is printed.
    """
    with _bar() as bar:
        task = bar.add_task(description, total=total)

        def step(line: str) -> None:
            if bar.disable:
                print(f"{description}: {line}", file=sys.stderr, flush=True)
            bar.update(task, advance=1, description=f"{description}: {line}")

        yield step


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
