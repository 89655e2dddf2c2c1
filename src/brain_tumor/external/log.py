"""The log of runs on external data: a line each; under git it tells how often there were any."""

import csv
import io
import os
from pathlib import Path
from typing import Final

from brain_tumor.external.evaluation import Evaluation
from brain_tumor.settings import LABELS

_HEAD = ("date", "model", "model_digest", "engine", "threshold", "folder", "folder_digest")
_COUNTS = ("files", "copies_of_training_images", "related_to_copies", "unreadable", "slices",
           "clusters")  # fmt: skip
_FIGURES = ("sensitivity", "specificity")
_KINDS = ("", "_per_cluster", "_metadata_baseline")
_ENDS = ("", "_low", "_high")
COLUMNS: Final = (
    *_HEAD,
    *(f"{label}_{count}" for label in LABELS for count in _COUNTS),
    *(f"{figure}{kind}{end}" for figure in _FIGURES for kind in _KINDS for end in _ENDS),
)


def check_log(path: Path) -> None:
    """Raise ValueError, before any work, if a line cannot be added to this file."""
    if not path.parent.is_dir():
        raise ValueError(f"{path}: no folder {path.parent}; make it first")
    if path.is_dir():
        raise ValueError(f"{path}: is a folder; give a file with --log")
    if not path.is_file() or not path.stat().st_size:
        return
    with path.open(newline="", encoding="utf-8", errors="replace") as file:
        head = next(csv.reader(file), [])
    if head != list(COLUMNS):
        raise ValueError(
            f"{path}: is no log of external evaluations (its first line is {','.join(head)[:60]!r})"
            "; give a new file with --log"
        )


def append_line(path: Path, evaluation: Evaluation) -> None:
    """Add a line at the end, in one write; the header first where the file is new.

    Raises:
        ValueError: the file is something else.
    """
    check_log(path)
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    if not path.is_file() or not path.stat().st_size:
        writer.writeheader()
    elif not path.read_bytes().endswith(b"\n"):
        text.write("\n")
    writer.writerow(_line(evaluation))
    with path.open("ab") as file:
        file.write(text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())


def _line(evaluation: Evaluation) -> dict[str, str]:
    line = {name: str(getattr(evaluation, name)) for name in _HEAD}
    for label in LABELS:
        counts = evaluation.counts(label)
        line |= {f"{label}_{count}": str(counts[count]) for count in _COUNTS}
    for figures in evaluation.classes:
        rates = figures.as_dict()
        for kind in _KINDS:
            found = rates[f"{figures.name}{kind}"] or {}
            ends = zip(_ENDS, ("value", "low", "high"), strict=True)
            line |= {
                f"{figures.name}{kind}{end}": f"{found[key]:.4f}" for end, key in ends if found
            }
    return line
